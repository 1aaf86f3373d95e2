"""The source to the left of the result, in one picture."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import StreamV2VError
from .frame import LateFrame

if TYPE_CHECKING:
    import numpy as np

    from .frame import Frame

__all__ = ["SideBySide", "pair_size"]


def pair_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) of two pictures of `size` beside each other."""
    return 2 * _even(size[0]), size[1]


def _even(width: int) -> int:
    # Colours are often stored for two columns together: so no such pair lies across the seam.
    return width + width % 2


class SideBySide:
    """Puts each frame that a translator gives back to the right of the frame that it was given.

    Where the widths are odd, the last column of both pictures is repeated. Only the sources of frames that the
    translator still holds are kept.

    Args:
        translator: gives each frame back once and in order; whatever else it can do, this one can as well.
    """

    def __init__(self, translator: Any) -> None:
        self._translator = translator
        self._sources: deque[Frame] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._translator, name)

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; the pairs that are finished.

        Raises:
            StreamV2VError: the translator gave another frame than was due.
        """
        self._sources.append(frame)
        return self._paired(self._translator.push(frame))

    def flush(self) -> list[Frame]:
        """The pairs in flight."""
        return self._paired(self._translator.flush())

    def reset(self) -> None:
        """Forget all frames in flight."""
        self._translator.reset()
        self._sources.clear()

    def _paired(self, results: list[Frame]) -> list[Frame]:
        pairs: list[Frame] = []
        for result in results:
            if not self._sources or self._sources[0].pts != result.pts:
                raise StreamV2VError(f"The translator gave a frame at {result.pts} that was not due.")
            source = self._sources.popleft()
            pairs.append(LateFrame(result, partial(_pair, source, result)))
        return pairs


def _pair(source: Frame, result: Frame) -> np.ndarray:
    return _beside(source.pixels, result.pixels)


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Both (height, width, 3) pictures in one, the left one in the size of the right one."""
    import numpy as np

    from .media.resize import resized

    height, width = right.shape[:2]
    pair = np.empty((height, 2 * _even(width), 3), np.uint8)
    for start, picture in ((0, resized(left, (width, height))), (_even(width), right)):
        pair[:, start : start + width] = picture
        pair[:, start + width : start + _even(width)] = picture[:, -1:]
    return pair
