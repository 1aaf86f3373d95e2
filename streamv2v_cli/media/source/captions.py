"""Closed captions, which travel inside the pictures of a video (CEA-608 and CEA-708 by ATSC A/53)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from av.packet import Packet
from av.video.reformatter import VideoReformatter

from streamv2v_cli.media.info import Timed
from streamv2v_cli.media.side_data import side_data

__all__ = ["CaptionReader"]

_CODECS = ("h264", "hevc", "mpeg2video", "av1")
"""Those whose decoders give captions."""
_SMALL = 16
"""Pixels of a side of the copy that is asked: whoever is asked for side data stays in memory for a while."""


class CaptionReader:
    """Collects the captions of decoded frames until they are taken, so that none is lost where frames are left out.

    Args:
        codec: FFmpeg's name of the video's codec.
    """

    def __init__(self, codec: str) -> None:
        self._possible = codec in _CODECS
        self._shrink = VideoReformatter()
        self._collected = b""

    def watched(self, items: Iterator[Timed | Packet[Any]]) -> Iterator[Timed | Packet[Any]]:
        """The items as they are."""
        for item in items:
            if self._possible and isinstance(item, Timed):
                copy = self._shrink.reformat(item.picture, _SMALL, _SMALL, interpolation="POINT", threads=1)
                self._collected += side_data(copy, "A53_CC") or b""
            yield item

    def take(self) -> bytes:
        """What was collected since the last time, as `cc_data_pkt` of three bytes each."""
        taken, self._collected = self._collected, b""
        return taken
