"""FFmpeg's errors as sentences."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import av

__all__ = ["describe", "last_message"]

_MEANINGS = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "the operation is not permitted",
    errno.EISDIR: "it is a folder",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk reports an error",
    errno.EPIPE: "the reader went away",
    errno.EFBIG: "the file grew too large",
}


def describe(error: BaseException) -> str:
    """What went wrong, as the end of a sentence without its full stop."""
    code = getattr(error, "errno", None)
    if code in _MEANINGS:
        return _MEANINGS[code]
    if isinstance(error, av.error.InvalidDataError):
        return "it is no video that FFmpeg knows, or it is damaged from the start"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]


@contextmanager
def last_message() -> Iterator[list[str]]:
    """Collect FFmpeg's error messages in the block, so that a refusal can be explained in FFmpeg's words."""
    before, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # the second refusal of the same kind has the same reason
    messages: list[str] = []
    try:
        with av.logging.Capture() as logs:
            try:
                yield messages
            finally:
                messages += [text.strip() for _, _, text in logs if text.strip()]
    finally:
        av.logging.set_level(before)
        av.logging.set_skip_repeated(skips)
