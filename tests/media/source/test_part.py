"""Parts of the input: the right frames from the right place, with the sound and subtitles that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import TICK, Seen, look, make_clip, number_of
from helpers.media import file_source

from streamv2v_cli.errors import SourceError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.source.decoding import picture_decoder
from streamv2v_cli.media.trim import Trim

B_FRAMES = {"preset": "ultrafast", "bf": "3", "g": "25", "crf": "10"}
NO_B_FRAMES = {"preset": "ultrafast", "bf": "0", "g": "25", "crf": "10"}
VARIABLE = (0, 512, 1500, 1600, 4000, 4100, 9000, 9512)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".nut", ".avi"])
@pytest.mark.parametrize("first", [0, 1, 24, 26, 101, 180])
def test_every_container_is_cut_at_the_frame(first: int, suffix: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"pts": range(0, 512 * 200, 512), "options": B_FRAMES, "tones": (0.0,)}
    if suffix == ".avi":
        keys = {"codec": "mpeg4", "options": {}, "time_base": Fraction(1, 25), "pts": range(200)}
    path = make_clip(tmp_path / f"in{suffix}", **keys)
    trim = Trim.parse(start=str(first / 25), duration="0.4")
    with file_source(path, trim=trim) as source:
        frames = [item for item in source if isinstance(item, Frame)]
        assert source.damaged_packets == 0
    assert [number_of(frame.pixels) for frame in frames] == list(range(first, first + 10))
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(10)], abs=0.0011)


def test_a_late_start_is_found_without_decoding_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 1000, 512), options=B_FRAMES)
    decoded: list[Any] = []

    class Counting:
        """The decoder of a stream."""

        def __init__(self, video: Any) -> None:
            self._decoder = picture_decoder(video)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._decoder, name)

        def decode(self, packet: Any) -> list[Any]:
            frames = list(self._decoder.decode(packet))
            decoded.extend(frames)
            return frames

    monkeypatch.setattr("streamv2v_cli.media.source.demuxer.picture_decoder", Counting)
    with file_source(path, trim=Trim.parse(start="36", end="36.2")) as source:
        numbers = [number_of(item.pixels) for item in source if isinstance(item, Frame)]
    assert numbers == list(range(900, 905))
    assert 5 <= len(decoded) < 120


def test_times_are_rounded_to_milliseconds_without_losing_a_frame(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "in.mp4",
        time_base=Fraction(1, 30000),
        pts=range(0, 1001 * 60, 1001),
        rate=Fraction(30000, 1001),
    )
    parts = []
    for start, end in ((None, "0.334"), ("0.334", "1.368"), ("1.368", None)):  # 10 and 41 frames of 33.37 ms
        with file_source(path, trim=Trim.parse(start=start, end=end)) as source:
            frames = [item for item in source if isinstance(item, Frame)]
        assert frames[0].pts is not None
        assert frames[0].pts >= 0
        parts += [number_of(frame.pixels) for frame in frames]
    assert parts == list(range(60))


def test_variable_rates_keep_their_times(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=VARIABLE, options=NO_B_FRAMES)
    rewrite(path, tmp_path / "out.mp4", trim=Trim.parse(start="0.1", end="0.5"))
    after = look(tmp_path / "out.mp4")
    assert after.numbers == [2, 3, 4, 5]
    assert after.times == [(pts - 1280) * TICK for pts in VARIABLE[2:6]]
    assert after.last_end == pytest.approx(0.4, abs=0.0015)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("start", ["0.5", "3.217", "5"])
def test_sound_is_cut_with_the_picture_and_stays_in_step(
    start: str, suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 200, 512), options=B_FRAMES, tones=(0.0, 0.01))
    rewrite(path, tmp_path / f"out{suffix}", trim=Trim.parse(start=start, duration="1"))
    before, after = look(path), look(tmp_path / f"out{suffix}")
    begin = Fraction(start)
    assert after.numbers == [n for n in range(200) if begin <= Fraction(n, 25) < begin + 1]
    assert after.times[0] == pytest.approx(Fraction(after.numbers[0], 25) - begin, abs=0.001)
    for old, new in zip(before.sounds, after.sounds, strict=True):
        expected = [(time, digest) for time, digest in old if begin <= time < begin + 1]
        assert [digest for _, digest in new] == [digest for _, digest in expected]
        for (old_time, _), (new_time, _) in zip(expected, new, strict=True):
            assert _offset(after, new_time, after.numbers[0]) == pytest.approx(old_time, abs=0.001)


def _offset(seen: Seen, time: Fraction, first: int) -> Fraction:
    """Where a moment of the part is in the whole, seen from its first frame."""
    return time - seen.times[0] + Fraction(first, 25)


def test_subtitles_and_chapters_are_cut(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    chapters = [
        {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "a"}},
        {"id": 2, "start": 500, "end": 2000, "time_base": Fraction(1, 1000), "metadata": {"title": "b"}},
    ]
    clip = make_clip(tmp_path / "in.mkv", pts=range(0, 512 * 50, 512), chapters=chapters)
    words = tmp_path / "in.srt"
    lines = (("00:00:00,100 --> 00:00:00,400", "gone"), ("00:00:00,400 --> 00:00:00,900", "shortened"))
    lines = (*lines, ("00:00:01,400 --> 00:00:01,800", "cut"), ("00:00:01,600 --> 00:00:01,900", "late"))
    words.write_text("\n\n".join(f"{n}\n{when}\n{text}" for n, (when, text) in enumerate(lines, 1)))
    source = tmp_path / "both.mkv"
    with av.open(str(clip)) as video, av.open(str(words)) as text, av.open(str(source), "w") as output:
        output.set_chapters(list(video.chapters()))
        streams = {s: output.add_stream_from_template(s) for s in (*video.streams, *text.streams)}
        for container in (text, video):
            for packet in container.demux():
                if packet.size:
                    packet.stream = streams[packet.stream]
                    output.mux(packet)
    rewrite(source, tmp_path / "out.mkv", trim=Trim.parse(start="0.6", end="1.5"))
    with av.open(str(tmp_path / "out.mkv")) as container:
        seen = [
            (bytes(packet), packet.pts, packet.duration)
            for packet in container.demux(container.streams.subtitles[0])
            if packet.size
        ]
        kept = [(c["metadata"]["title"], c["start"] * c["time_base"]) for c in container.chapters()]
    assert seen == [(b"shortened", 0, 300), (b"cut", 800, 100)]
    assert kept == [("b", 0)]


def test_nothing_there(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4")
    with pytest.raises(SourceError, match="no frame at or after --start 5 s"):
        file_source(path, trim=Trim.parse(start="5"))


def test_sound_with_long_ticks_stays_in_step(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    path = make_clip(
        tmp_path / "in.avi",
        codec="mpeg4",
        options={},
        time_base=Fraction(1, 25),
        pts=range(50),
        tones=(0.0,),
        audio_codec="libmp3lame",
        sound=lambda time, hertz: 0.3 * np.sin(hertz * time * (6 + time)),  # no two packets are alike
    )
    rewrite(path, tmp_path / "out.mkv", trim=Trim.parse(start="0.53", end="1.4"))
    before, after = look(path), look(tmp_path / "out.mkv")
    old = {digest: time for time, digest in before.sounds[0]}
    zero = before.times[before.numbers.index(after.numbers[0])] - after.times[0]
    assert len(after.sounds[0]) > 30
    for time, digest in after.sounds[0]:
        assert abs(time + zero - old[digest]) <= Fraction(1, 1000)  # AVI's ticks of MP3 are 24 ms long


def test_a_source_of_some_frames_gives_only_their_sound(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 100, 512), tones=(0.0,))
    with file_source(path, trim=Trim(frames=30)) as source:
        items = list(source)
    starts = [item.pts * item.time_base for item in items if not isinstance(item, Frame)]
    last_frame = max(index for index, item in enumerate(items) if isinstance(item, Frame))
    assert sum(isinstance(item, Frame) for item in items) == 30
    assert all(
        item.pts * item.time_base < 30 * 512 * TICK
        for item in items[last_frame:]
        if not isinstance(item, Frame)
    )
    assert max(starts) >= 30 * 512 * TICK - Fraction(1024, 48000)
