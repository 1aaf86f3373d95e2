"""The streams beside the video: their packets wait until the video has reached their time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.format import Flags
from av.packet import Packet

from streamv2v_cli.media.ffmpeg import rescale_packet, time_of
from streamv2v_cli.media.sink.hidden import HiddenPackets
from streamv2v_cli.media.sink.offset import OutputClock
from streamv2v_cli.media.sink.tracks import open_track

if TYPE_CHECKING:
    from streamv2v_cli.media.sink.plan import OutputPlan
    from streamv2v_cli.media.sink.verify import Verifier

__all__ = ["CopiedStreams"]

_MAX_HELD_PACKETS = 4096
"""Packets of one stream that wait for the video to catch up; beyond that the oldest go ahead of it."""
_PACKETS = {"audio": ("packet of sound", "packets of sound"), "subtitle": ("subtitle", "subtitles")}
"""Kind of stream -> what one and several of its packets are called."""


class CopiedStreams:
    """Copies or converts the packets of the other streams, and writes them between those of the video.

    What FFmpeg or the system says of a failure is not translated here.

    Args:
        output: PyAV's container; its header is not written yet.
        plan: the output, whose tracks are added to it.
        can_hide: the output hides what is before its beginning.
        clock: turns times into those of the output.
        verifier: notes what is written; None for nobody.
        write: puts a packet of that kind of stream into the output.
    """

    def __init__(
        self,
        output: Any,
        plan: OutputPlan,
        *,
        can_hide: bool,
        clock: OutputClock,
        verifier: Verifier | None,
        write: Callable[[Packet[Any], str], None],
    ) -> None:
        self._tracks = {
            track.template: open_track(output, track, with_metadata=plan.metadata is not None)
            for track in plan.tracks
        }
        self._converted = {track.template for track in plan.tracks if track.codec is not None}
        self._held: dict[Any, deque[Packet[Any]]] = {template: deque() for template in self._tracks}
        self._hidden = HiddenPackets(can_hide=can_hide)
        self._increasing = _IncreasingTimes(output)
        self._clock, self._verifier, self._write = clock, verifier, write
        self._refused = Counter[str]()

    @property
    def waiting(self) -> Iterable[Iterable[Packet[Any]]]:
        """Of each stream the packets that wait."""
        return self._held.values()

    @property
    def sounds(self) -> dict[int, int]:
        """Index of a copied sound stream of the input -> that in the output."""
        return {
            template.index: track.stream.index
            for template, track in self._tracks.items()
            if template not in self._converted and template.type == "audio"
        }

    def take(self, packet: Packet[Any]) -> None:
        """Take in a packet of the input."""
        template = packet.stream
        track = self._tracks.get(template)
        if track is None or packet.dts is None:
            return
        # A converted track decodes, which leaves out what is hidden to the sample.
        if template in self._converted or not self._hidden(packet):
            self._hold(template, track.take(packet))

    def flush(self) -> None:
        """Take in what converters have kept until the end."""
        for template, track in self._tracks.items():
            self._hold(template, track.flush())

    def release(self, until: Fraction | None) -> None:
        """Write the packets that wait and begin before `until` seconds; all of them for None."""
        if not self._clock.started:
            return
        for held in self._held.values():
            while held and (until is None or time_of(held[0]) < until):
                self._give(held.popleft())

    def refuse(self, kind: str) -> bool:
        """Count a packet that the container does not take; False if it cannot be one of these streams."""
        if self._tracks:
            self._refused["audio" if kind == "video" else kind] += 1
        return bool(self._tracks)

    def damage_text(self) -> str:
        """What could not be converted, as one sentence; empty if all could."""
        counts = Counter(self._refused)
        for track in self._tracks.values():
            counts[track.stream.type] += track.damaged_packets
        lost = [f"{count} {_PACKETS[kind][count > 1]}" for kind, count in sorted(counts.items()) if count]
        return f"The input is damaged: {' and '.join(lost)} could not be converted." if lost else ""

    def _hold(self, template: Any, packets: list[Packet[Any]]) -> None:
        held = self._held[template]
        held.extend(packets)
        while len(held) > _MAX_HELD_PACKETS:
            self._clock.start(None, self.waiting)
            self._give(held.popleft())

    def _give(self, packet: Packet[Any]) -> None:
        if self._verifier is not None:
            self._verifier.wrote_packet(packet)
        moved = self._clock.moved(packet)
        if moved is not None:
            self._write(self._increasing(moved), packet.stream.type)


class _IncreasingTimes:
    """Lets the decoding times of each track increase in ticks of the output, without which FFmpeg refuses a packet.

    Times of the input that differ may be the same in longer ticks. Subtitles may begin at once, and some containers
    allow it for all.

    Args:
        output: PyAV's container.
    """

    def __init__(self, output: Any) -> None:
        self._needed = not output.format.flags & Flags.ts_nonstrict.value
        self._last: dict[int, int] = {}

    def __call__(self, packet: Packet[Any]) -> Packet[Any]:
        """The packet, moved by some ticks if its track has come so far already."""
        stream = packet.stream
        if not self._needed or stream.type == "subtitle" or packet.dts is None:
            return packet
        rescale_packet(packet, stream.time_base)
        least = self._last.get(stream.index, packet.dts - 1) + 1
        if packet.dts < least:
            packet.dts = least
            packet.pts = least if packet.pts is None else max(packet.pts, least)
        self._last[stream.index] = packet.dts
        return packet
