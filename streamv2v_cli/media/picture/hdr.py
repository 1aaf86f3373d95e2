"""From HDR or BT.2020 to SDR BT.709: the curves of light, and what becomes of a colour.

Sources: ITU-R BT.2100-2 (PQ, HLG and its OOTF), BT.2390-10 section 5.4.1 (the EETF that compresses highlights),
BT.2408-5 (203 cd/m2 as the white of diffuse surfaces), BT.2087 (BT.2020 to BT.709) and BT.1886 (SDR displays).
Everything is relative to a perfect black.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from streamv2v_cli.media.side_data import side_data

if TYPE_CHECKING:
    from streamv2v_cli.media.picture.colour import Colour

__all__ = ["SDR_WHITE", "ToneMap", "ToneTables", "peak_of", "tone_map_for"]

SDR_WHITE = 203.0
"""cd/m2 of HDR that become the white of SDR."""
USUAL_PEAK = 1000.0
"""cd/m2 of the brightest highlight where nothing else is said; what HLG is defined with."""
_PQ_MAXIMUM = 10_000.0
_SDR_GAMMA = 2.4
_HLG_GAMMA = 1.2

_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""H.273 code: x and y of red, green and blue, all with a white of D65."""
_D65 = (0.3127, 0.3290)
_BT709, _BT2020 = 1, 9
_LEVELS = 1 << 16
_PIXELS_AT_ONCE = 1 << 15
"""A strip of the picture that stays in the processor's cache."""
_PQ, _HLG = 16, 18


@dataclass(frozen=True, slots=True)
class ToneMap:
    """How the colours of a source become those of SDR BT.709.

    Attributes:
        curve: of the source: PQ, HLG, or SDR for a source that has only wider primaries.
        primaries: of the source, by their code in H.273.
        peak: brightest light of the source, in cd/m2.
        compressed: highlights are compressed to end at the white of SDR; otherwise they are cut off there.
    """

    curve: Literal["PQ", "HLG", "SDR"]
    primaries: int
    peak: float
    compressed: bool

    def __str__(self) -> str:
        if self.curve == "SDR":
            return "BT.2020"
        return f"HDR ({self.curve}, up to {self.peak:g} cd/m2)"

    def light(self, signal: np.ndarray) -> np.ndarray:
        """Light that a channel's signal from 0 to 1 stands for, 1 being the white of SDR; of the scene for HLG."""
        if self.curve == "PQ":
            return np.asarray(_pq_light(signal) / SDR_WHITE)
        return np.asarray(_hlg_scene(signal) if self.curve == "HLG" else signal**_SDR_GAMMA)

    def gain(self, brightest: np.ndarray) -> np.ndarray:
        """What a pixel's light is multiplied with to compress it, by its brightest channel."""
        if not self.compressed or self.peak <= SDR_WHITE:
            return np.ones_like(brightest)
        light = np.maximum(brightest, 1e-9)
        return np.asarray(_compressed(light * SDR_WHITE, self.peak) / (light * SDR_WHITE))

    @property
    def luminance(self) -> np.ndarray:
        """Share of each of linear R, G and B in the luminance."""
        return np.asarray(_to_xyz(self.primaries)[1])

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3): from linear RGB of the source to that of BT.709."""
        return np.linalg.solve(_to_xyz(_BT709), _to_xyz(self.primaries))


class ToneTables:
    """A tone map made fast: everything that depends on one number is looked up.

    The largest of R, G and B decides on how far a pixel is darkened, so that it keeps its hue. What lies outside
    of BT.709 afterwards is cut off there.

    Args:
        tone: the map.
        white: the number of a signal of 1.
    """

    def __init__(self, tone: ToneMap, white: int) -> None:
        steps = np.linspace(0, 1, _LEVELS)
        self._is_hlg = tone.curve == "HLG"
        self._most = tone.peak / SDR_WHITE
        self._light = tone.light(np.minimum(np.arange(_LEVELS) / white, 1)).astype(np.float32)
        self._gain = tone.gain(steps**2 * self._most).astype(np.float32)
        # The OOTF of HLG, from light of the scene to that of a display of the usual peak.
        ootf = USUAL_PEAK / SDR_WHITE * np.maximum(steps, 1e-9) ** (2 * (_HLG_GAMMA - 1))
        self._ootf = ootf.astype(np.float32)
        self._luminance = tone.luminance.astype(np.float32)
        self._matrix = tone.matrix.astype(np.float32)
        self._signal = np.round(255 * steps ** (2 / _SDR_GAMMA)).astype(np.uint8)

    def __call__(self, red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
        """(height, width, 3) uint8 pixels of BT.709 from three (height, width) uint16 planes of the source."""
        height, width = red.shape
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, _PIXELS_AT_ONCE // width)
        for top in range(0, height, rows):
            part = slice(top, top + rows)
            codes = np.stack([red[part], green[part], blue[part]]).reshape(3, -1)
            pixels[part] = self._toned(codes).T.reshape(-1, width, 3)
        return pixels

    def _toned(self, codes: np.ndarray) -> np.ndarray:
        """(3, pixels) uint8 from uint16."""
        light = self._light.take(codes)
        if self._is_hlg:
            light *= _looked_up(self._ootf, self._luminance @ light)
        light *= _looked_up(self._gain, light.max(axis=0) / self._most)
        return np.asarray(_looked_up(self._signal, self._matrix @ light))


def _looked_up(table: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The entry of a table over the square roots of 0 to 1, which are finer where it is dark."""
    root = np.sqrt(np.clip(value, 0, 1))
    root *= _LEVELS - 1
    root += 0.5
    return np.asarray(table.take(root.astype(np.uint16)))


def tone_map_for(colour: Colour, mode: str, peak: float | None = None) -> ToneMap | None:
    """The map that pictures of a colour need; None if they are SDR BT.709 or near to it, or stay as they are.

    Wide primaries other than BT.2020, such as those of telephones (P3), are near enough to keep them with their tag.

    Args:
        colour: of the pictures.
        mode: `tonemap`, `clip` or `keep`, as in `input.hdr`.
        peak: brightest light of the source in cd/m2, from its metadata.
    """
    curve: Literal["PQ", "HLG", "SDR"]
    if colour.transfer == _PQ:
        curve = "PQ"
    elif colour.transfer == _HLG:
        curve, peak = "HLG", None
    elif colour.primaries == _BT2020:
        curve, peak = "SDR", SDR_WHITE
    else:
        return None
    if mode == "keep":
        return None
    # HDR without a word on its primaries, or with unusual ones, is BT.2100, which has those of BT.2020.
    primaries = colour.primaries if colour.primaries in _PRIMARIES else _BT2020
    return ToneMap(curve, primaries, peak or USUAL_PEAK, mode == "tonemap")


def peak_of(frame: Any) -> float | None:
    """The brightest light in cd/m2 by a frame's side data: MaxCLL (CTA-861.3), or that of the mastering display."""
    maximum = 0.0
    if light := side_data(frame, "CONTENT_LIGHT_LEVEL"):
        maximum = float(struct.unpack_from("=I", light)[0])
    if not maximum and (mastering := side_data(frame, "MASTERING_DISPLAY_METADATA")):
        # AVMasteringDisplayMetadata: eight ratios of chromaticity, then darkest and brightest, then two flags.
        numerator, denominator, _, has_luminance = struct.unpack_from("=4i", mastering, 72)
        maximum = numerator / denominator if has_luminance and denominator else 0.0
    return min(maximum, _PQ_MAXIMUM) if maximum > SDR_WHITE else None


def _pq_light(signal: np.ndarray) -> np.ndarray:
    """The EOTF of PQ (BT.2100 table 4)."""
    power = np.clip(signal, 0, 1) ** (32 / 2523)
    ratio = np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)
    return np.asarray(_PQ_MAXIMUM * ratio ** (8192 / 1305))


def _pq_signal(light: np.ndarray | float) -> np.ndarray:
    """The inverse of the EOTF of PQ."""
    power = (np.asarray(light) / _PQ_MAXIMUM) ** (1305 / 8192)
    return np.asarray(((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def _hlg_scene(signal: np.ndarray) -> np.ndarray:
    """The inverse of the OETF of HLG (BT.2100 table 5): light of the scene from 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _compressed(light: np.ndarray, peak: float) -> np.ndarray:
    """The EETF: light up to `peak` brought below the white of SDR, dark and middle tones left alone."""
    if peak <= SDR_WHITE:
        return light
    top = _pq_signal(peak)
    level = np.minimum(_pq_signal(light) / top, 1)
    target = float(_pq_signal(SDR_WHITE) / top)
    knee = 1.5 * target - 0.5
    t = np.maximum(level - knee, 0) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * target
    )
    return _pq_light(np.where(level < knee, level, bent) * top)


def _to_xyz(primaries: int) -> np.ndarray:
    """The matrix from linear RGB to CIE XYZ with a white of luminance 1 (SMPTE RP 177)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in _PRIMARIES[primaries]]).T
    x, y = _D65
    white = np.array([x / y, 1, (1 - x - y) / y])
    return np.asarray(columns * np.linalg.solve(columns, white))
