"""The source to the left of the result, in one picture."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch, TranslatorWrapper
from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import LateFrame
from streamv2v_cli.settings.sizes import even

if TYPE_CHECKING:
    import numpy as np

    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.frame import Frame

__all__ = ["SideBySide"]


class SideBySide(TranslatorWrapper):
    """Puts each frame that a translator gives back to the right of the frame that it was given.

    Where the widths are odd, the last column of both pictures is repeated. Only the sources of frames that the
    translator still holds are kept.

    Args:
        translator: gives each frame back once and in order.
    """

    def __init__(self, translator: FrameTranslator) -> None:
        super().__init__(translator)
        self._sources: deque[Frame] = deque()

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; the pairs that are finished.

        Raises:
            StreamV2VError: the translator gave another frame than was due.
        """
        self._sources.append(frame)
        return self._paired(super().push(frame))

    def flush(self) -> list[Frame]:
        """The pairs in flight."""
        return self._paired(super().flush())

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """Forget all frames in flight."""
        super().reset(stretch)
        self._sources.clear()

    def _paired(self, results: list[Frame]) -> list[Frame]:
        pairs: list[Frame] = []
        for result in results:
            if not self._sources or self._sources[0].pts != result.pts:
                raise StreamV2VError(f"The translator gave a frame at {result.pts} that was not expected.")
            source = self._sources.popleft()
            pairs.append(LateFrame(result, partial(_pair, source, result)))
        return pairs


def _pair(source: Frame, result: Frame) -> np.ndarray:
    return _beside(source.pixels, result.pixels)


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Both (height, width, 3) pictures in one, the left one in the size of the right one."""
    import numpy as np

    from streamv2v_cli.media.picture.resize import resized

    height, width = right.shape[:2]
    pair = np.empty((height, 2 * even(width), 3), np.uint8)
    for start, picture in ((0, resized(left, (width, height))), (even(width), right)):
        pair[:, start : start + width] = picture
        pair[:, start + width : start + even(width)] = picture[:, -1:]
    return pair
