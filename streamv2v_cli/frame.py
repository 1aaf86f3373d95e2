"""A picture that never travels without its timestamp."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np

__all__ = ["Closed", "Connection", "Cut", "Discontinuity", "Frame", "LateFrame", "wait_for_pixels"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One upright video frame.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, full range.
        pts: presentation timestamp in units of `time_base`; None where the source gave none.
        time_base: seconds per tick of `pts` and `duration`.
        duration: display time in ticks; None where the source gave none.
        alpha: (height, width) uint8 opacity of what `pixels` were laid on a colour from; None where they were opaque.
        captions: closed captions that come with it: `cc_data_pkt` of CEA-708, three bytes each.
        control: (height, width, 3) uint8 control picture that was made elsewhere, for ControlNets; None without one.
    """

    pixels: np.ndarray
    pts: int | None = None
    time_base: Fraction = Fraction(1, 1000)
    duration: int | None = None
    captions: bytes = b""
    control: np.ndarray | None = None
    alpha: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def time(self) -> float | None:
        """Presentation time in seconds."""
        return None if self.pts is None else float(self.pts * self.time_base)

    def with_pixels(self, pixels: np.ndarray) -> Frame:
        """The same moment with another picture."""
        return Frame(pixels, self.pts, self.time_base, self.duration, self.captions, alpha=self.alpha)


class LateFrame(Frame):
    """A frame whose pixels are still on their way from the device: who asks for them waits.

    Args:
        like: a frame with the same timestamps and captions.
        fetch: waits for the pixels, (height, width, 3) uint8; called once.
    """

    __slots__ = ("_fetch", "_pixels")
    _fetch: Callable[[], np.ndarray] | None
    _pixels: np.ndarray

    def __init__(self, like: Frame, fetch: Callable[[], np.ndarray]) -> None:
        for name in ("pts", "time_base", "duration", "captions", "alpha"):
            object.__setattr__(self, name, getattr(like, name))
        object.__setattr__(self, "control", None)
        object.__setattr__(self, "_fetch", fetch)

    @property
    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8, RGB, full range."""
        if self._fetch is not None:
            object.__setattr__(self, "_pixels", self._fetch())
            object.__setattr__(self, "_fetch", None)
        return self._pixels


def wait_for_pixels(frames: Iterable[Frame]) -> None:
    """Return once the pixels of all of them are there."""
    for frame in frames:
        _ = frame.pixels


@dataclass(frozen=True, slots=True)
class Cut:
    """The beginning of a scene.

    Attributes:
        frame: its first frame, counted from 0 in the frames that the source gave.
        time: of that frame, in seconds; None where the source gave none.
    """

    frame: int
    time: float | None


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Between two frames of a source: what follows does not continue what came before."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Something that happened to the connection of a live source.

    Attributes:
        state: `lost`; `restored`; or `given up`, when no further attempt is made.
        time: of the output, in seconds: of the last frame before, or of the first one after.
        attempts: that were made since it was lost.
        reason: why it was lost or could not be restored; empty otherwise.
    """

    state: Literal["lost", "restored", "given up"]
    time: float
    attempts: int = 0
    reason: str = ""


class Closed(Exception):  # noqa: N818 - it is the normal end of a channel
    """The channel gives or takes nothing any more."""
