"""Decoding times of a video whose parts were encoded one by one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from streamv2v_cli.errors import SinkError
from streamv2v_cli.media.picture.colour import RgbWriter
from streamv2v_cli.media.sink.containers import Container, NullFile
from streamv2v_cli.media.sink.video import add_video, start_encoding, usual_duration

if TYPE_CHECKING:
    from av.packet import Packet

    from streamv2v_cli.media.sink.encoder import EncoderPlan
    from streamv2v_cli.media.sink.video import ShownFrame

__all__ = ["DecodingTimes", "encoder_delay"]

_ENOUGH = 6
"""Frames after which an encoder has shown its delay, which is two for all that are known."""


def encoder_delay(plan: EncoderPlan, container: Container) -> int:
    """Frames by which an encoder's decoding times begin before the first frame, found by encoding a few.

    Encoders do not all say it, and some that say one have none.

    Raises:
        av.error.FFmpegError: the encoder fails.
    """
    file: Any = NullFile()
    with av.open(file, "w", format=container.name) as output:
        stream = add_video(output, plan)
        start_encoding(output)
        picture = plan.picture
        blank = np.zeros((picture.height, picture.width, 3), np.uint8)
        to_yuv, duration = RgbWriter(plan.pix_fmt, plan.colour), usual_duration(plan)
        packets = []
        for number in range(_ENOUGH):
            frame: Any = to_yuv(blank)
            frame.pts, frame.duration, frame.time_base = number * duration, duration, picture.time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        return sum(packet.dts is not None and packet.dts < 0 for packet in packets)


class DecodingTimes:
    """Gives packets the decoding times that one encoder would have given all of them.

    With a delay of D frames, packet n is decoded when frame n - D, in the order of presentation, is shown. The
    encoder of a part begins D frames before its first one, which may be before the end of the part before.

    Args:
        codec: the encoder, for messages.
        delay: see `encoder_delay`.
        usual: duration of a frame, in ticks.
    """

    def __init__(self, codec: str, delay: int, usual: int) -> None:
        self._codec, self._delay, self._usual = codec, delay, usual
        self._shown: deque[int] = deque()
        self._count = 0
        self._evenly = False

    def frame(self, shown: ShownFrame) -> None:
        """Take in a frame, in the order of presentation and before its packet."""
        self._shown.append(shown.pts)

    def set(self, packet: Packet[Any]) -> None:
        """Set the decoding time of a packet; they come in the order of decoding.

        Raises:
            SinkError: its frame would be shown before it is decoded.
        """
        ahead = self._delay - self._count
        if ahead > 0:
            first = self._shown[0]
            assert packet.dts is not None
            # An encoder of fewer frames than its delay has none.
            self._evenly = self._evenly or packet.dts >= first
            if self._evenly:
                packet.dts = first - ahead * self._usual
        else:
            packet.dts = self._shown.popleft()
        self._count += 1
        assert packet.pts is not None
        if packet.dts > packet.pts:
            raise SinkError(
                f"The encoder {self._codec} delays frames by more than at first: its segments cannot be joined.",
                "Use another --codec, or neither --resume nor --workers.",
            )
