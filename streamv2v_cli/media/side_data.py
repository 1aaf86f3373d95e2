"""What FFmpeg attaches to a frame beside its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from av.sidedata.sidedata import Type

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["side_data"]


def side_data(frame: VideoFrame, name: str) -> bytes | None:
    """The data of one kind that a frame has; None if it has none of it.

    PyAV ties a frame and its side data to each other, so that only the garbage collector frees a frame once asked.

    Args:
        frame: decoded.
        name: PyAV's name of the kind, such as `DISPLAYMATRIX`.
    """
    everything: Any = frame.side_data
    return next((bytes(data) for data in everything if data.type.name == name), None)


def _nameless(cls: Any, value: object) -> Any:
    """A member for a kind that is newer than PyAV's list of them, without which it refuses all that a frame has."""
    member = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


Type._missing_ = classmethod(_nameless)  # type: ignore[assignment]
