"""HDR and wide colours become SDR BT.709, as a slow reference of the formulas has it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import look, make_clip
from helpers.media import file_source
from helpers.patches import FULL, LIMITED, TAGS, in_steps, plain_frame, rgb_of, yuv_of

from streamv2v_cli.frame import Frame
from streamv2v_cli.settings.schema import Input

PQ, HLG, BT2020, BT709, SDR = 16, 18, 9, 1, 1
WHITE = 203.0

# Light in cd/m2 of R, G and B of BT.2020: greys up to the white of SDR and beyond, and colours inside and outside
# of BT.709.
LIGHTS = [(grey,) * 3 for grey in (0, 0.1, 1, 10, 50, 100, 203, 400, 1000, 4000)] + [
    (120, 60, 40), (30, 60, 120), (500, 400, 300), (100, 20, 10), (203, 0, 0), (0, 900, 0), (20, 10, 300),
]  # fmt: skip


def pq_of(light: float) -> float:
    """BT.2100 table 4: the signal from 0 to 1 of light in cd/m2."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = (light / 10000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def light_of_pq(signal: float) -> float:
    """The inverse, by halving."""
    low, high = 0.0, 10000.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if pq_of(middle) < signal else (low, middle)
    return low


def light_of_hlg(signals: list[float]) -> list[float]:
    """BT.2100 table 5 and its OOTF for a display of 1000 cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = [s * s / 3 if s <= 0.5 else (math.exp((s - c) / a) + b) / 12 for s in signals]
    luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2]
    return [1000 * luminance**0.2 * value if luminance > 0 else 0.0 for value in scene]


def compressed(light: float, peak: float) -> float:
    """BT.2390 section 5.4.1, with black at 0 on both sides."""
    e1 = min(1.0, pq_of(light) / pq_of(peak))
    most = pq_of(WHITE) / pq_of(peak)
    ks = 1.5 * most - 0.5
    if e1 >= ks:
        t = (e1 - ks) / (1 - ks)
        e1 = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * most
    return light_of_pq(e1 * pq_of(peak))


def expected(signals: list[float], curve: int, *, peak: float | None) -> list[float]:
    """R'G'B' of BT.709 from 0 to 255; without a peak highlights are cut off."""
    if curve == PQ:
        light = [light_of_pq(signal) for signal in signals]
    elif curve == HLG:
        light = light_of_hlg(signals)
    else:
        light = [WHITE * signal**2.4 for signal in signals]
    brightest = max(light)
    if peak is not None and brightest > 0:
        light = [value * compressed(brightest, peak) / brightest for value in light]
    # BT.2087, table 4.
    rows = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
    linear = [sum(factor * value for factor, value in zip(row, light, strict=True)) / WHITE for row in rows]
    return [255 * min(1.0, max(0.0, value)) ** (1 / 2.4) for value in linear]


def coded(lights: tuple[float, ...], curve: int) -> tuple[float, float, float]:
    """Y'CbCr of BT.2020 in steps of 8 bits; for SDR the lights are of 203 cd/m2 at most."""
    if curve == PQ:
        signals = [pq_of(light) for light in lights]
    elif curve == HLG:
        signals = [
            min(1.0, light / 1000) ** 0.5 for light in lights
        ]  # some signal: the reference starts from it
    else:
        signals = [min(1.0, light / WHITE) ** (1 / 2.4) for light in lights]
    return yuv_of(tuple(255 * signal for signal in signals), "2020", False)


def patches(path: Path, curve: int, pix_fmt: str = "yuv444p10le") -> Path:
    return make_clip(
        path,
        pts=range(0, 512 * len(LIGHTS), 512),
        codec="ffv1",
        pix_fmt=pix_fmt,
        options={},
        tags=(TAGS["2020"], LIMITED, BT2020, curve),
        picture=lambda index: plain_frame(coded(LIGHTS[index], curve), (64, 48), pix_fmt),
    )


def pictures_of(path: Path, **settings: Any) -> list[np.ndarray]:
    with file_source(path, settings=Input(**settings)) as source:
        return [item.pixels for item in source if isinstance(item, Frame)]


def signals_of(lights: tuple[float, ...], curve: int) -> list[float]:
    """R'G'B' from 0 to 1 of what was really coded, in 10 bits."""
    yuv = [value / 4 for value in in_steps(coded(lights, curve), 10)]
    return list(rgb_of(tuple(yuv), "2020", False) / 255)


@pytest.mark.parametrize("pix_fmt", ["yuv444p10le", "yuv420p10le"])
@pytest.mark.parametrize("mode", ["tonemap", "clip"])
@pytest.mark.parametrize("curve", [PQ, HLG, SDR], ids=["PQ", "HLG", "BT.2020"])
def test_colours_are_those_of_the_formulas(curve: int, mode: str, pix_fmt: str, tmp_path: Path) -> None:
    source = patches(tmp_path / "in.mkv", curve, pix_fmt)
    peak = 1000.0 if mode == "tonemap" and curve != SDR else None
    for pixels, lights in zip(pictures_of(source, hdr=mode), LIGHTS, strict=True):
        assert pixels[8:-8, 8:-8].std(axis=(0, 1)).max() == 0
        reference = expected(signals_of(lights, curve), curve, peak=peak)
        assert np.abs(pixels[24, 32] - np.array(reference)).max() <= 1, (lights, pixels[24, 32], reference)


def test_white_and_black_stay_where_they_belong() -> None:
    greys = {light: expected([pq_of(light)] * 3, PQ, peak=1000)[1] for light in (0, 50, 203, 1000)}
    assert greys[0] == 0
    assert greys[50] == pytest.approx(
        255 * (50 / 203) ** (1 / 2.4), abs=0.3
    )  # below the knee nothing changes
    assert 220 < greys[203] < 240
    assert greys[1000] == pytest.approx(255, abs=0.5)


@pytest.mark.parametrize("curve", [PQ, HLG, SDR], ids=["PQ", "HLG", "BT.2020"])
def test_the_output_is_tagged_as_what_it_is(curve: int, tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    plan = rewrite(patches(tmp_path / "in.mkv", curve), tmp_path / "out.mp4", pix_fmt="yuv444p", crf=0)
    assert look(tmp_path / "out.mp4").tags == (1, LIMITED, 1, 1)
    name = {PQ: "HDR (PQ", HLG: "HDR (HLG", SDR: "BT.2020"}[curve]
    assert [note for note in plan.notes if name in note and "mapped to SDR BT.709" in note]


def test_kept_colours_keep_their_numbers_and_tags(tmp_path: Path) -> None:
    source = patches(tmp_path / "in.mkv", PQ)
    with file_source(source, settings=Input(hdr="keep")) as opened:
        assert (opened.info.colour.primaries, opened.info.colour.transfer) == (BT2020, PQ)
        assert not opened.info.notes
    for pixels, lights in zip(pictures_of(source, hdr="keep"), LIGHTS, strict=True):
        assert np.abs(pixels[24, 32] - 255 * np.array(signals_of(lights, PQ))).max() <= 1


def test_hdr_that_is_stored_as_rgb(tmp_path: Path) -> None:
    def frame(index: int) -> av.VideoFrame:
        red, green, blue = (256 * 1023 / 1024 * pq_of(light) for light in LIGHTS[index])
        return plain_frame((green, blue, red), (64, 48), "gbrp10le")

    source = make_clip(
        tmp_path / "in.mkv",
        pts=range(0, 512 * len(LIGHTS), 512),
        codec="ffv1",
        pix_fmt="gbrp10le",
        options={},
        tags=(0, FULL, BT2020, PQ),
        picture=frame,
    )
    for pixels, lights in zip(pictures_of(source), LIGHTS, strict=True):
        signals = [round(1023 * pq_of(light)) / 1023 for light in lights]
        assert np.abs(pixels[24, 32] - np.array(expected(signals, PQ, peak=1000))).max() <= 1


def hdr10(path: Path, params: str) -> Path:
    """A clip as telephones and discs have it: its highlights are in the metadata."""
    return make_clip(
        path,
        pts=range(0, 512 * 3, 512),
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"preset": "ultrafast", "x265-params": f"log-level=none:lossless=1:{params}"},
        tags=(TAGS["2020"], LIMITED, BT2020, PQ),
        picture=lambda index: plain_frame(coded((400, 400, 400), PQ), (64, 64), "yuv420p10le"),
        size=(64, 64),
    )


MASTERING = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"


@pytest.mark.parametrize(
    ("params", "peak"),
    [
        (f"{MASTERING}:max-cll=600,200", 600),
        (MASTERING, 4000),
        ("max-cll=0,0", 1000),
        ("max-cll=100,50", 1000),
    ],
)
def test_the_metadata_say_how_bright_it_gets(
    params: str, peak: float, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = hdr10(tmp_path / "in.mp4", params)
    reference = expected(signals_of((400, 400, 400), PQ), PQ, peak=peak)
    assert np.abs(pictures_of(source)[0][32, 32] - np.array(reference)).max() <= 2
    plan = rewrite(
        source, tmp_path / "out.mp4", codec="libx265", preset="ultrafast", explicit=("output.codec",)
    )
    assert any(f"up to {peak:g} cd/m2" in note for note in plan.notes)
    with file_source(source) as opened:
        assert any("are assumed" in remark for remark in opened.info.remarks) == (peak == 1000)
    with av.open(str(tmp_path / "out.mp4")) as container:
        for frame in container.decode(video=0):
            assert not [
                data for data in frame.side_data if "MASTERING" in data.type.name or "LIGHT" in data.type.name
            ]


def test_hdr_that_begins_on_the_way_is_mapped_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "in.hevc"
    with path.open("wb") as file:
        for curve, tag in ((SDR, "709"), (PQ, "2020")):
            yuv = coded((100, 100, 100), curve)
            piece = make_clip(
                tmp_path / "piece.hevc",
                pts=range(0, 512 * 3, 512),
                format="hevc",
                codec="libx265",
                pix_fmt="yuv420p10le",
                options={"preset": "ultrafast", "x265-params": "log-level=none:lossless=1"},
                tags=(TAGS[tag], LIMITED, TAGS[tag], curve),
                picture=lambda index, yuv=yuv: plain_frame(yuv, (64, 64), "yuv420p10le"),
                size=(64, 64),
            )
            file.write(piece.read_bytes())
    with caplog.at_level(logging.WARNING):
        pictures = pictures_of(path)
    grey = 255 * (100 / WHITE) ** (1 / 2.4)
    assert [abs(float(pixels[32, 32, 1]) - grey) <= 2 for pixels in pictures] == [True] * 6
    assert len([record for record in caplog.records if "becomes HDR (PQ" in record.message]) == 1
