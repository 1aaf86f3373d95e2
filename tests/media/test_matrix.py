"""Every kind of input into every container: the same frames at the same times, the same sound beside them.

What a container cannot hold is named in `Case.*` below, and then it must have been said.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import TICK, look, make_clip, number_of, numbered
from helpers.media import file_source, target_of

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.address import STDOUT
from streamv2v_cli.media.sink.audio import without_header
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.plan_video import plan_output
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Output

MILLISECOND = Fraction(1, 1000)
B_FRAMES = {"preset": "ultrafast", "bf": "3", "crf": "10"}
NO_B_FRAMES = {"preset": "ultrafast", "bf": "0", "crf": "10"}
STEADY = tuple(range(0, 512 * 12, 512))
UNEVEN = (0, 512, 1500, 1600, 4000, 4100, 9000, 9512)
UNEVEN_DURATIONS = (512, 988, 100, 2400, 100, 4900, 512, 3333)
IN_AVI: dict[str, Any] = {
    "codec": "mpeg4",
    "options": {"qscale": "2"},
    "time_base": Fraction(1, 25),
    "pts": range(12),
    "audio_codec": "pcm_s16le",
}
CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": MILLISECOND, "metadata": {"title": "first"}},
    {"id": 2, "start": 200, "end": 480, "time_base": MILLISECOND, "metadata": {"title": "zweitens"}},
]
FINE_START = {"movie_timescale": "90000"}


def _ten_bits(index: int) -> Any:
    return av.VideoFrame.from_ndarray(numbered(index), "rgb24").reformat(format="yuv420p10le")


INPUTS: dict[str, dict[str, Any]] = {
    "steady.mp4": {"options": NO_B_FRAMES, "tones": (0.0,)},
    "b-frames.mp4": {"options": B_FRAMES, "tones": (0.0,)},
    "uneven.mp4": {"pts": UNEVEN, "durations": UNEVEN_DURATIONS, "options": NO_B_FRAMES},
    "uneven-b-frames.mp4": {
        "pts": UNEVEN,
        "durations": UNEVEN_DURATIONS,
        "options": B_FRAMES,
        "tones": (0.0,),
    },
    "edit-list.mp4": {"pts": tuple(range(-512 * 4, 512 * 12, 512)), "tones": (0.0,)},
    "late-start.mp4": {
        "pts": tuple(range(13760, 13760 + 512 * 12, 512)),
        "tones": (0.9037,),
        "container_options": FINE_START,
    },
    "rotated.mov": {"rotation": (90, False, False), "audio_codec": "pcm_s16le", "tones": (0.0,)},
    "several-tracks.mov": {"tones": (0.0, 0.1), "languages": ("deu", "fra"), "container_options": FINE_START},
    "silent.mov": {},
    "negative-start.ts": {
        "pts": tuple(range(-1920, 512 * 8, 512)),
        "options": NO_B_FRAMES,
        "tones": (-0.2,),
        "audio_codec": "mp2",
        "container_options": {"avoid_negative_ts": "disabled", "mpegts_copyts": "1"},
    },
    "chapters.mkv": {"chapters": CHAPTERS, "tones": (0.02,), "languages": ("eng",), "audio_codec": "ac3"},
    "flac.mkv": {"audio_codec": "flac", "tones": (0.0,)},
    "ten-bits.mkv": {"pix_fmt": "yuv420p10le", "picture": _ten_bits, "tones": (0.0,)},
    "odd-size.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p", "options": {}, "size": (67, 51)},
    "narrow-pixels.mkv": {"aspect": Fraction(2, 3)},
    "b-frames.ts": {"options": B_FRAMES, "tones": (0.1,)},
    "mp2-late.ts": {
        "pts": tuple(range(13760, 13760 + 512 * 12, 512)),
        "tones": (1.1,),
        "audio_codec": "mp2",
        "container_options": {"mpegts_copyts": "1"},
    },
    "steady.avi": {**IN_AVI, "tones": (0.0,)},
    "opus.webm": {
        "codec": "libvpx",
        "options": {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "4M"},
        "audio_codec": "libopus",
        "tones": (0.05,),
    },
    "uneven-b-frames.nut": {
        "pts": UNEVEN,
        "durations": UNEVEN_DURATIONS,
        "options": B_FRAMES,
        "tones": (0.1,),
    },
}
FILES = ["mp4", "mov", "mkv", "webm", "ts", "avi", "nut"]
PIPES = ["matroska", "mp4", "mpegts", "nut"]
WITH_CHAPTERS = ("mp4", "mov", "mkv", "webm", "nut", "matroska")


@dataclass
class Case:
    """An input that was written through once.

    Attributes:
        source, output: the files.
        kind: of the output: an extension, or the name of a format in a pipe.
        notes: of the plan.
        codecs: for each sound that gets into the output the encoder that it is converted with, or None.
        resampled: what the source said about that.
        warnings: what was said meanwhile.
    """

    source: Path
    output: Path
    kind: str
    notes: tuple[str, ...]
    codecs: list[str | None]
    resampled: str
    warnings: str


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("matrix")
    return {name: make_clip(folder / name, **{"pts": STEADY, **keys}) for name, keys in INPUTS.items()}


@pytest.fixture(params=[*FILES, *(f"pipe-{name}" for name in PIPES)])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=INPUTS)
def case(
    request: pytest.FixtureRequest,
    target: str,
    inputs: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Case:
    """Write one input into one container, in one thread, and check it on the way where it is a file."""
    source, kind = inputs[request.param], target.removeprefix("pipe-")
    piped = kind != target
    output = tmp_path / f"out.{'video' if piped else kind}"
    encoding = {"codec": "libvpx", "crf": 4, "bitrate": None, "preset": None} if kind == "webm" else {}
    fast = (
        {"encoder_opt": ("deadline=realtime", "cpu-used=8")}
        if encoding
        else {"preset": "veryfast", "crf": 12}
    )
    settings = Output(**{**fast, **encoding, "format": kind if piped else "auto"})
    goes_to = Target.of(STDOUT, kind) if piped else target_of(output, source)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT) if piped else None
    constant = goes_to.container.constant_rate
    with caplog.at_level(logging.WARNING), file_source(source, constant=constant) as opened:
        size = opened.info.size
        explicit = ("output.codec",) if encoding else ()
        plan = plan_output(opened, goes_to, size, settings, descriptor=descriptor, explicit=explicit)
        sink = FileSink(plan, verify=not piped)
        for item in opened:
            if isinstance(item, Frame):
                sink.write(item)
            else:
                sink.copy(item)
        sink.finish()
        resampled = opened.resampled_text()
        codecs = [track.codec for track in plan.tracks if track.template.type == "audio"]
    if descriptor is not None:
        os.close(descriptor)
    return Case(source, output, kind, plan.notes, codecs, resampled, caplog.text)


def test_all_is_there_at_its_time(case: Case) -> None:
    before, after = look(case.source), look(case.output)
    if case.resampled:
        assert case.kind == "avi"
        assert case.source.name.startswith("uneven")
        return
    turned = 1 if case.source.name == "rotated.mov" else 0
    assert [number_of(np.rot90(pixels, -turned)) for pixels in after.pixels] == before.numbers
    shift = after.times[0] - before.times[0]
    if case.kind == "avi":
        assert after.times[0] == 0
        assert abs(before.times[0]) < Fraction(1, 50) or any(
            "holds no start time" in note for note in case.notes
        )
    elif before.times[0] < 0 or case.kind in ("ts", "mpegts", "nut"):
        assert 0 <= shift < Fraction(1, 4)
        assert ("everything begins" in case.warnings) == (shift > after.tick)
    else:
        assert abs(shift) <= after.tick
        shift = Fraction(0)
    errors = [abs(new - old - shift) for new, old in zip(after.times, before.times, strict=True)]
    assert max(errors) <= after.tick
    _check_length(case)
    _check_sound(case, after.times[0] - before.times[0])
    if before.chapters and case.kind in WITH_CHAPTERS:
        assert [_titled(chapter) for chapter in after.chapters] == [_titled(c) for c in before.chapters]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", [name for name in INPUTS if name != "rotated.mov"])
def test_a_part_is_cut_at_its_frames(
    name: str, suffix: str, inputs: dict[str, Path], tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    begin, end = Fraction(13, 100), Fraction(34, 100)
    rewrite(inputs[name], tmp_path / f"out{suffix}", trim=Trim(start=begin, end=end))
    before, after = look(inputs[name]), look(tmp_path / f"out{suffix}")
    first, last = before.times[0] + begin, before.times[0] + end
    zero = first // before.tick * before.tick  # times of a part are counted in whole ticks of the input
    wanted = [
        (number, time - zero)
        for number, time in zip(before.numbers, before.times, strict=True)
        if first <= time < last
    ]
    assert after.numbers == [number for number, _ in wanted]
    for time, (_, expected) in zip(after.times, wanted, strict=True):
        assert abs(time - expected) <= max(after.tick, before.tick)
    for old, new in zip(_tracks(inputs[name]), _tracks(tmp_path / f"out{suffix}"), strict=True):
        if new.codec != old.codec:
            continue
        kept = [start - zero for start in old.starts if zero <= start < last]
        assert len(new.starts) == len(kept)
        moved = after.times[0] - wanted[0][1]
        assert all(abs(n - o - moved) <= MILLISECOND for n, o in zip(new.starts, kept, strict=True))


def _titled(chapter: Any) -> tuple[Fraction, str]:
    return chapter["start"] * chapter["time_base"], chapter["metadata"]["title"]


def _check_length(case: Case) -> None:
    """The last frame lasts as long as it did."""
    keys = INPUTS[case.source.name]
    unit = keys.get("time_base", TICK)
    pts = keys.get("pts", STEADY)
    length = (pts[-1] - max(0, pts[0])) * unit + (
        keys["durations"][-1] * unit if "durations" in keys else Fraction(1, 25)
    )
    if case.kind not in ("mp4", "mov") or case.source.suffix != ".mkv" or pts[0] < 0:
        return  # the others tell it for everything together, or not at all
    with av.open(str(case.output)) as container:
        video = container.streams.video[0]
        if video.duration is not None:
            assert abs(video.duration * video.time_base - length) <= MILLISECOND


def _check_sound(case: Case, shift: Fraction) -> None:
    can_hide = case.output.suffix in (".mp4", ".mov")
    before, after = _tracks(case.source, hidden=can_hide), _tracks(case.output)
    assert len(before) == len(after) == len(case.codecs)
    for old, new, codec in zip(before, after, case.codecs, strict=True):
        if case.kind not in ("avi", "nut"):
            assert new.language == old.language
        if codec is not None:
            assert any("is converted to" in note or "it is converted to" in note for note in case.notes)
            assert new.codec == codec.removeprefix("lib")
            continue
        assert new.payload == old.payload
        if case.kind == "avi":
            assert abs(new.starts[0]) <= MILLISECOND
            continue
        for old_time, new_time in zip(old.starts, new.starts, strict=True):
            assert abs(new_time - old_time - shift) <= MILLISECOND


@dataclass
class _Sound:
    codec: str
    language: str
    starts: list[Fraction]
    payload: bytes


def _tracks(path: Path, *, hidden: bool = True) -> list[_Sound]:
    """The sound tracks; with or without packets that an edit list hides."""
    found = {}
    with av.open(str(path)) as container:
        for stream in container.streams.audio:
            found[stream.index] = _Sound(
                stream.codec_context.codec.canonical_name, stream.metadata.get("language", "und"), [], b""
            )
        for packet in container.demux(*container.streams.audio) if found else ():
            if packet.size and (hidden or not packet.is_discard):
                sound = found[packet.stream.index]
                sound.starts.append(packet.pts * Fraction(packet.time_base))
                sound.payload += bytes(without_header(packet) if sound.codec == "aac" else packet)
    return list(found.values())
