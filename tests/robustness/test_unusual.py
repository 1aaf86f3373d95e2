"""Whole files that are only unusual: every frame comes out, once, in order, in its shape."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import TICK, Clip, look, make_clip, number_of, numbered
from helpers.ran import Ran

Restyle = Callable[..., Ran]
TEN = tuple(range(0, 512 * 10, 512))
FAST = {"preset": "ultrafast", "crf": "10"}
HOURS = 3 * 3600
EXACT: dict[str, Any] = {"codec": "ffv1", "options": {}, "pts": TEN}


def converted(pix_fmt: str) -> Callable[[int], Any]:
    return lambda index: av.VideoFrame.from_ndarray(numbered(index), "rgb24").reformat(format=pix_fmt)


def transparent(index: int) -> Any:
    alpha = np.full((*numbered(index).shape[:2], 1), 255, np.uint8)
    alpha[:, 60:] = 0
    return av.VideoFrame.from_ndarray(np.concatenate([numbered(index), alpha], axis=-1), "rgba")


def plain(width: int, height: int) -> Callable[[int], np.ndarray]:
    return lambda index: np.full((height, width, 3), 40 * index + 20, np.uint8)


UNUSUAL: dict[str, dict[str, Any]] = {
    "240fps.mp4": {"rate": Fraction(240), "time_base": Fraction(1, 240), "pts": range(10), "options": FAST},
    "1fps.mp4": {"rate": Fraction(1), "time_base": Fraction(1), "pts": range(10), "options": FAST},
    "10bit.mkv": {**EXACT, "pix_fmt": "yuv420p10le", "picture": converted("yuv420p10le")},
    "444.mkv": {**EXACT, "pix_fmt": "yuv444p"},
    "411.mkv": {**EXACT, "pix_fmt": "yuv411p"},
    "grey.mkv": {**EXACT, "pix_fmt": "gray", "picture": converted("gray")},
    "grey16.mkv": {**EXACT, "pix_fmt": "gray16le", "picture": converted("gray16le")},
    "alpha.mkv": {**EXACT, "pix_fmt": "bgra", "picture": transparent},
    "full-range.mkv": {**EXACT, "pix_fmt": "yuv420p", "tags": (6, 2, 2, 2)},
    "interlaced.mkv": {"pts": TEN, "options": {**FAST, "x264-params": "interlaced=1:tff=1"}},
    "narrow.mp4": {"pts": TEN, "aspect": Fraction(2, 3), "options": FAST},
    "edit-list.mp4": {"pts": tuple(range(-512 * 4, 512 * 6, 512)), "options": FAST},
    "late.mkv": {"pts": tuple(n + 12800 * HOURS for n in TEN), "options": FAST},
    "pause.mkv": {"pts": (*TEN[:5], *(n + 12800 * HOURS for n in TEN[5:])), "options": FAST},
    "negative.ts": {
        "pts": tuple(range(-1920, -1920 + 5120, 512)),
        "options": FAST,
        "container_options": {"avoid_negative_ts": "disabled", "mpegts_copyts": "1"},
    },
    "no-times.h264": {"pts": TEN, "options": FAST, "format": "h264"},
    "no-times.m2v": {
        "codec": "mpeg2video",
        "options": {"qscale": "2"},
        "pts": range(10),
        "time_base": Fraction(1, 25),
        "format": "mpeg2video",
    },
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_every_frame_comes_out(restyle: Restyle, name: str) -> None:
    source = make_clip(Path(name), **UNUSUAL[name])
    ran = restyle(source)
    assert ran.code == 0, ran
    assert ran.output is not None
    after = look(ran.output)
    # What an edit list leaves out is shown by nobody.
    assert after.numbers == list(range(4 if name == "edit-list.mp4" else 0, 10))
    if not name.startswith("no-times"):
        before = look(source)
        # Matroska holds no times below zero; that everything is moved is said.
        shift = max(Fraction(0), -before.times[0])
        assert ("begin" in ran.said) == bool(shift)
        errors = [abs(new - old - shift) for new, old in zip(after.times, before.times, strict=True)]
        assert max(errors) <= Fraction(1, 1000), (before.times, after.times)
    else:
        assert all(later > earlier for earlier, later in zip(after.times, after.times[1:], strict=False))
    assert after.aspect == (Fraction(2, 3) if name == "narrow.mp4" else 1 if after.aspect else None)


def test_full_range_keeps_its_greys(restyle: Restyle) -> None:
    ran = restyle(make_clip(Path("in.mkv"), **UNUSUAL["full-range.mkv"]))
    assert ran.output is not None
    before, after = look(Path("in.mkv")), look(ran.output)
    assert np.abs(before.pixels[9].astype(int) - after.pixels[9]).mean() < 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_pictures_stand_upright(restyle: Restyle, degrees: int) -> None:
    source = make_clip(Path("in.mp4"), pts=TEN, rotation=(degrees, False, False), options=FAST)
    ran = restyle(source)
    assert ran.output is not None
    after = look(ran.output)
    assert (after.width, after.height) == ((48, 64) if degrees in (90, 270) else (64, 48))
    assert [number_of(np.rot90(pixels, -degrees // 90)) for pixels in after.pixels] == list(range(10))


@pytest.mark.parametrize(
    ("size", "written"), [((1, 1), (2, 2)), ((2, 2), (2, 2)), ((16, 16), (16, 16)), ((5, 300), (6, 300))]
)
def test_small_pictures(restyle: Restyle, size: tuple[int, int], written: tuple[int, int]) -> None:
    how = {"codec": "ffv1", "options": {}, "pix_fmt": "bgr0", "size": size, "picture": plain(*size)}
    ran = restyle(make_clip(Path("in.mkv"), pts=TEN[:5], **how))
    assert ran.code == 0, ran
    assert ran.output is not None
    after = look(ran.output)
    assert (after.width, after.height) == written
    assert [round(pixels.mean() / 40 - 0.5) for pixels in after.pixels] == list(range(5))


def test_large_pictures(restyle: Restyle) -> None:
    size = 7680, 4320
    how = {"codec": "mpeg4", "options": {"qscale": "2"}, "time_base": Fraction(1, 25), "pts": range(2)}
    ran = restyle(make_clip(Path("in.mkv"), **how, size=size, picture=plain(*size)))
    assert ran.code == 0, ran
    assert ran.output is not None
    with av.open(str(ran.output)) as container:
        pictures = list(container.decode(video=0))
    assert [(picture.width, picture.height) for picture in pictures] == [size] * 2


def test_a_picture_that_asks_for_all_the_memory_is_refused(restyle: Restyle) -> None:
    Path("huge.y4m").write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 C420jpeg\nFRAME\n" + b"\0" * 999)
    ran = restyle("huge.y4m")
    assert (ran.code, len(ran.errors), ran.output) == (1, 1, None)


def joined(*parts: Path) -> Path:
    """One file after the other, as recorders and `cat` do it with transport streams."""
    path = Path("joined.ts")
    with path.open("wb") as file:
        for part in parts:
            with part.open("rb") as one:
                shutil.copyfileobj(one, file)
    return path


def piece(name: str, first: int, *, start: int = 0, **how: Any) -> Path:
    """Ten numbered frames of a transport stream that begins `start` seconds late."""
    size = how.get("size", (64, 48))
    clip = Clip(
        pts=tuple(n + 12800 * start for n in TEN),
        options={**FAST, "g": "1"},
        picture=lambda index: numbered(first + index, *size),
        container_options={"mpegts_copyts": "1"},
        **how,
    )
    return make_clip(Path(name), clip)


@pytest.mark.parametrize(
    ("second", "changes"),
    [
        ({"size": (128, 96)}, ["changes to 128x96"]),
        ({"pix_fmt": "yuv444p"}, []),
        ({"pix_fmt": "yuv422p10le", "picture": None}, []),
    ],
)
def test_pictures_that_change_on_the_way(
    restyle: Restyle, second: dict[str, Any], changes: list[str]
) -> None:
    if "picture" in second:
        second = {"pix_fmt": "yuv422p10le"}
        make = Clip(
            pts=tuple(n + 12800 for n in TEN),
            options={**FAST, "g": "1"},
            picture=lambda index: converted("yuv422p10le")(10 + index),
            container_options={"mpegts_copyts": "1"},
            **second,
        )
        ran = restyle(joined(piece("a.ts", 0), make_clip(Path("b.ts"), make)))
    else:
        ran = restyle(joined(piece("a.ts", 0), piece("b.ts", 10, start=1, **second)))
    assert ran.code == 0, ran
    assert ran.output is not None
    after = look(ran.output)
    # The number of a picture that was scaled is in the same places.
    scale = second.get("size", (64, 48))[0] // 64
    tens = [number_of(pixels) for pixels in after.pixels[:10]]
    assert tens == list(range(10))
    assert len(after.times) == 20
    if scale == 1:
        assert after.numbers == list(range(20))
    assert all(words in ran.said for words in changes)


@pytest.mark.parametrize(("first", "then"), [(0, HOURS), (HOURS, 0), (5, 0)])
def test_recordings_one_after_the_other(restyle: Restyle, first: int, then: int) -> None:
    """Forwards the time that passed stays; backwards the second one goes on where the first ended."""
    ran = restyle(joined(piece("a.ts", 0, start=first), piece("b.ts", 10, start=then)))
    assert ran.code == 0, ran
    assert ran.output is not None
    after = look(ran.output)
    assert after.numbers == list(range(20))
    distances = [later - earlier for earlier, later in zip(after.times, after.times[1:], strict=False)]
    usual = 512 * TICK
    assert all(abs(distance - usual) < Fraction(2, 1000) for distance in distances[:9] + distances[10:])
    expected = usual if then < first else then - first - 9 * usual
    assert abs(distances[9] - expected) < Fraction(2, 1000)
    assert ("clock of the input jumped" in ran.said) == (then < first)


def test_a_jump_is_not_filled_with_pictures(restyle: Restyle) -> None:
    """At a constant rate a damaged timestamp would fill the disk with one picture."""
    source = make_clip(Path("in.mkv"), pts=(*TEN, 12800 * HOURS), options=FAST)
    ran = restyle(source, output="out.y4m")
    assert (ran.code, len(ran.errors), ran.output) == (1, 1, None)
    assert "jumps by" in ran.said
    ran = restyle(source)
    assert ran.code == 0


def test_sound_alone_is_no_video(restyle: Restyle) -> None:
    make_clip(Path("both.mkv"), pts=TEN, tones=(0.0,))
    with av.open("both.mkv") as both, av.open("sound.mka", "w", format="matroska") as sound:
        stream = sound.add_stream_from_template(both.streams.audio[0])
        for packet in both.demux(both.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                sound.mux(packet)
    ran = restyle("sound.mka")
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert "no video stream" in ran.said


def test_a_video_without_frames(restyle: Restyle) -> None:
    for name, data in {
        "empty.mp4": b"",
        "text.mp4": b"hello, I am no video\n" * 50,
        "zeros.mkv": bytes(5000),
        "header.y4m": b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n",
    }.items():
        Path(name).write_bytes(data)
        ran = restyle(name)
        assert (ran.code, len(ran.errors), ran.output, ran.part) == (1, 1, None, None), (name, ran)
        assert len(ran.said.splitlines()) <= 2


def test_sound_that_begins_late(tmp_path: Path, restyle: Restyle) -> None:
    """FLV tells of a stream when its first packet comes; PyAV knows only those that it found when it opened."""
    clip = make_clip(tmp_path / "late.flv", pts=range(0, 512 * 300, 512))
    sound = bytes([0x2F]) + bytes(40)
    size, time = len(sound).to_bytes(3, "big"), (12_000).to_bytes(3, "big")
    tag = bytes([8]) + size + time + bytes(4) + sound + (11 + len(sound)).to_bytes(4, "big")
    clip.write_bytes(clip.read_bytes() + 3 * tag)
    ran = restyle(clip)
    assert ran.code == 0, ran
    assert ran.output is not None
    assert len(look(ran.output).times) == 300
