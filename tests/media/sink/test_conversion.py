"""Sound and text that a container cannot hold come along in another form, at the same time as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import look, make_clip

from streamv2v_cli.media.sink.audio import AudioConverter
from streamv2v_cli.media.trim import Trim

LONG = tuple(range(0, 512 * 50, 512))
CLICKS = (0.3, 0.8, 1.4)
TEXTS = ((200, 600, "<i>Grüße</i>"), (700, 1500, "zwei\nZeilen"))
FAST_WEBM = {"codec": "libvpx", "crf": 4, "preset": None, "encoder_opt": ("deadline=realtime", "cpu-used=8")}


def clicking(time: np.ndarray, hertz: int) -> np.ndarray:
    """Silence with a click of half a millisecond at each of `CLICKS`."""
    return sum(
        (0.9 * np.clip(1 - np.abs(time - click) * 4000, 0, 1) for click in CLICKS), np.zeros_like(time)
    )


def heard(path: Path, near: Sequence[float] = CLICKS) -> list[float]:
    """When the clicks of the first sound are heard, in seconds after the first frame."""
    times, samples = [], []
    with av.open(str(path)) as container:
        first = float(look(path).times[0]) if container.streams.video else 0.0
        for frame in container.decode(audio=0):
            values = frame.to_ndarray().astype(np.float64)
            values = values[0] if frame.format.is_planar else values[0][:: frame.layout.nb_channels]
            times.append(float(frame.pts * frame.time_base) + np.arange(len(values)) / frame.sample_rate)
            samples.append(np.abs(values))
    when, loud = np.concatenate(times) - first, np.concatenate(samples)
    found = []
    for click in near:
        around = np.abs(when - click) < 0.1
        found.append(float(when[around][np.argmax(loud[around])]))
    return found


def written_to(rewrite: Callable[..., Any], source: Path, output: Path, **more: Any) -> Any:
    """Write a clip through, with an encoder that is fast enough for tests."""
    if output.suffix == ".webm":
        more = {**FAST_WEBM, "explicit": ("output.codec",), **more}
    return rewrite(source, output, **more)


@pytest.mark.parametrize(
    ("source", "codec", "target", "encoder"),
    [
        ("mov", "pcm_s16le", "webm", "libopus"),
        ("mov", "pcm_s16le", "ts", "aac"),
        ("mov", "pcm_s16le", "mp4", "alac"),
        ("mkv", "flac", "mov", "alac"),
        ("mkv", "alac", "nut", "pcm_s24le"),
        ("mkv", "libopus", "mov", "aac"),
        ("mkv", "libopus", "avi", "pcm_s16le"),
        ("mp4", "aac", "webm", "libopus"),
        ("mp4", "aac", "avi", "pcm_s16le"),
        ("ts", "aac", "avi", "pcm_s16le"),
        ("mkv", "ac3", "webm", "libopus"),
    ],
)
@pytest.mark.parametrize("start", [0.0, 0.0371], ids=["together", "late"])
def test_converted_sound_stays_in_step(
    source: str,
    codec: str,
    target: str,
    encoder: str,
    start: float,
    tmp_path: Path,
    rewrite: Callable[..., Any],
) -> None:
    clip = make_clip(
        tmp_path / f"in.{source}",
        pts=LONG,
        tones=(start,),
        audio_codec=codec,
        sound=clicking,
        container_options={"movie_timescale": "90000"} if source in ("mp4", "mov") else {},
    )
    plan = written_to(rewrite, clip, tmp_path / f"out.{target}")
    assert [note for note in plan.notes if encoder.removeprefix("lib") in note]
    before = heard(clip, [click + start for click in CLICKS])
    after = heard(tmp_path / f"out.{target}", [click + start for click in CLICKS])
    assert after == pytest.approx(before, abs=0.001)
    assert look(tmp_path / f"out.{target}").numbers == list(range(50))


@pytest.mark.parametrize("suffix", [".avi", ".webm"])
def test_converted_sound_of_a_part_stays_in_step(
    suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=LONG, tones=(0.0,), sound=clicking)
    written_to(rewrite, clip, tmp_path / f"out{suffix}", trim=Trim.parse(start="0.52", end="1.72"))
    after = heard(tmp_path / f"out{suffix}", [0.28, 0.88])
    assert after == pytest.approx([0.28, 0.88], abs=0.001)


def test_gaps_become_silence_and_overlaps_are_cut(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", tones=(0.0,), audio_codec="flac", sound=clicking, pts=LONG)
    with av.open(str(source)) as opened, av.open(str(tmp_path / "out.mkv"), "w") as output:
        stream = opened.streams.audio[0]
        converter = AudioConverter(output, stream, "pcm_s16le")
        for packet in opened.demux(stream):
            if packet.size and not 0.5 < packet.pts * packet.time_base < 1.0:  # the second click is lost
                packet.pts += 0 if packet.pts * packet.time_base < 1.2 else -50  # and something comes twice
                packet.dts = packet.pts
                output.mux(converter.take(packet))
        output.mux(converter.flush())
    assert heard(tmp_path / "out.mkv", [0.3]) == pytest.approx([0.3], abs=0.001)
    assert heard(tmp_path / "out.mkv", [1.35]) == pytest.approx([1.35], abs=0.002)
    with av.open(str(tmp_path / "out.mkv")) as container:
        starts = [(float(frame.pts * frame.time_base), frame.samples) for frame in container.decode(audio=0)]
    ends = [start + samples / 48000 for start, samples in starts]
    assert [start for start, _ in starts[1:]] == pytest.approx(ends[:-1], abs=0.0011)  # without holes


def test_sound_of_many_channels_and_odd_rates_is_taken(tmp_path: Path) -> None:
    for layout, rate in (("5.1(side)", 44100), ("2.1", 22050), ("mono", 8000)):
        path = tmp_path / f"{rate}.mkv"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("pcm_s16le", rate=rate)
            stream.layout = layout
            frame = av.AudioFrame("s16", layout, rate)
            frame.sample_rate, frame.pts = rate, 0
            output.mux(stream.encode(frame))
        with av.open(str(path)) as opened, av.open(str(tmp_path / f"{rate}.webm"), "w") as output:
            sound = opened.streams.audio[0]
            converter = AudioConverter(output, sound, "libopus")
            for packet in opened.demux(sound):
                output.mux(converter.take(packet) if packet.size else converter.flush())
        with av.open(str(tmp_path / f"{rate}.webm")) as container:
            frames = list(container.decode(audio=0))
            assert sum(frame.samples for frame in frames) / 48000 == pytest.approx(1, abs=0.03)
            assert frames[0].layout.nb_channels == {"5.1(side)": 6, "2.1": 3, "mono": 1}[layout]


def _clock(milliseconds: int) -> str:
    """As SubRip writes it."""
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def with_texts(folder: Path, codec: str, suffix: str, given: Sequence[tuple[int, int, str]] = TEXTS) -> Path:
    """A clip with a text track of some lines in the container's form, in German and shown by default."""
    plain = make_clip(
        folder / f"plain{suffix}",
        pts=LONG,
        **({"codec": "libvpx", "options": {}} if suffix == ".webm" else {}),
    )
    words = folder / "words.srt"
    lines = [
        f"{number}\n{_clock(start)} --> {_clock(end)}\n{text}\n"
        for number, (start, end, text) in enumerate(given, 1)
    ]
    words.write_text("\n".join(lines), encoding="utf-8")
    result = folder / f"texts{suffix}"
    with av.open(str(plain)) as video, av.open(str(words)) as source, av.open(str(result), "w") as output:
        pictures = output.add_stream_from_template(video.streams.video[0], opaque=True)
        decoder = source.streams.subtitles[0].codec_context
        decoder.open(strict=False)
        texts = output.add_stream(codec)
        texts.codec_context.subtitle_header = decoder.subtitle_header
        texts.codec_context.time_base = texts.time_base = Fraction(1, 1000)
        texts.metadata["language"] = "deu"
        for packet in source.demux():
            if packet.size:
                made = texts.codec_context.encode_subtitle(decoder.decode2(packet))
                made.pts = made.dts = packet.pts
                made.duration, made.time_base, made.stream = packet.duration, packet.time_base, texts
                output.mux(made)
        for packet in video.demux():
            if packet.size:
                packet.stream = pictures
                output.mux(packet)
    return result


def texts_of(path: Path) -> tuple[str, list[tuple[float, float, str]]]:
    """Language of the first text track, and its texts with their times in seconds."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            text = stream.codec_context.decode2(packet) if packet.size else None
            if text is not None and len(text):
                start = float(packet.pts * packet.time_base)
                plain = b" / ".join(line.dialogue for line in text).decode()
                found.append((start, start + float(packet.duration * packet.time_base), plain))
        return stream.metadata.get("language", ""), found


@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("codec", "suffix"), [("srt", ".mkv"), ("ass", ".mkv"), ("mov_text", ".mp4"), ("webvtt", ".webm")]
)
def test_texts_take_the_form_of_the_container(
    codec: str, suffix: str, target: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = with_texts(tmp_path, codec, suffix)
    plan = written_to(rewrite, source, tmp_path / f"out{target}")
    language, texts = texts_of(tmp_path / f"out{target}")
    assert language == ("ger" if target == ".mov" else "deu")  # QuickTime knows it by that code
    times = [time for start, end, _ in texts for time in (start, end)]
    assert times == pytest.approx([0.2, 0.6, 0.7, 1.5], abs=0.001)
    assert ["Grüße" in texts[0][2], "Zeilen" in texts[1][2]] == [True, True]
    copied = {
        ".mp4": ("mov_text",),
        ".mov": ("mov_text",),
        ".mkv": ("srt", "ass", "webvtt"),
        ".webm": ("webvtt",),
    }
    assert len([note for note in plan.notes if "subtitle" in note]) == (codec not in copied[target])


@pytest.mark.parametrize("target", [".mp4", ".webm"])
def test_converted_texts_are_cut(target: str, tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = with_texts(tmp_path, "srt", ".mkv")
    written_to(rewrite, source, tmp_path / f"out{target}", trim=Trim.parse(start="0.4", end="1.2"))
    _, texts = texts_of(tmp_path / f"out{target}")
    expected = [(0.0, 0.2), (0.3, 0.8)]
    assert [(start, end) for start, end, _ in texts] == [
        pytest.approx(times, abs=0.001) for times in expected
    ]


def damaged(source: Path, output: Path, kind: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a clip in which the second packet of a stream has other bytes."""
    with av.open(str(source)) as opened, av.open(str(output), "w") as made:
        streams = {stream: made.add_stream_from_template(stream, opaque=True) for stream in opened.streams}
        seen = 0
        for packet in opened.demux():
            if not packet.size:
                continue
            copy: Any = packet
            if packet.stream.type == kind:
                seen += 1
                if seen == 2:
                    copy = av.Packet(change(bytes(packet)))
                    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                    copy.time_base = packet.time_base
            copy.stream = streams[packet.stream]
            made.mux(copy)
    assert seen > 1
    return output


FAST_RUN = ("--preset", "ultrafast", "--translator", "passthrough", "--crf", 40)


def test_damaged_sound_that_is_converted_ends_with_code_3(
    tmp_path: Path, streamv2v: Callable[..., Any]
) -> None:
    whole = make_clip(tmp_path / "whole.mkv", pts=LONG, tones=(0.0,), audio_codec="aac", sound=clicking)
    source = damaged(whole, tmp_path / "in.mkv", "audio", lambda data: b"\xff" * len(data))
    options = ("--codec", "libvpx", "--encoder-opt", "deadline=realtime", "--encoder-opt", "cpu-used=8")
    result = streamv2v("run", source, "-o", "out.webm", "--translator", "passthrough", *options)
    assert result.code == 3
    assert "The input is damaged: 1 packet of sound could not be converted." in result.err
    assert heard(tmp_path / "out.webm") == pytest.approx(heard(whole), abs=0.001)
    copied = streamv2v("run", source, "-o", "out.mkv", *FAST_RUN)
    assert (copied.code, "The input is damaged" in copied.err) == (0, False)


def test_a_damaged_subtitle_that_is_converted_ends_with_code_3(
    tmp_path: Path, streamv2v: Callable[..., Any]
) -> None:
    whole = with_texts(tmp_path, "srt", ".mkv")
    source = damaged(whole, tmp_path / "in.mkv", "subtitle", lambda data: b"\xff\xfe" + data)
    result = streamv2v("run", source, "-o", "out.mp4", *FAST_RUN)
    assert result.code == 3
    assert "The input is damaged: 1 subtitle could not be converted." in result.err
    _, texts = texts_of(tmp_path / "out.mp4")
    assert ["Grüße" in text for _, _, text in texts] == [True]


def test_sound_that_encoders_refuse_becomes_silence(tmp_path: Path, streamv2v: Callable[..., Any]) -> None:
    whole = make_clip(tmp_path / "whole.mkv", pts=LONG, tones=(0.0,), audio_codec="pcm_f32le", sound=clicking)
    no_numbers = np.full(1024, np.nan, np.float32).tobytes()
    source = damaged(whole, tmp_path / "in.mkv", "audio", lambda data: no_numbers[: len(data)])
    result = streamv2v("run", source, "-o", "out.ts", *FAST_RUN)
    assert result.code == 3
    assert "The input is damaged: 1 packet of sound could not be converted." in result.err
    assert heard(tmp_path / "out.ts") == pytest.approx(heard(whole), abs=0.001)


def test_subtitles_can_be_left_out(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = with_texts(tmp_path, "srt", ".mkv")
    plan = rewrite(source, tmp_path / "out.mp4", subtitles="none")
    assert not plan.notes
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.subtitles


def test_cover_art_is_kept_in_matroska_and_missed_elsewhere(
    tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    plain = make_clip(tmp_path / "plain.mp4", tones=(0.0,))
    art = av.CodecContext.create("png", "w")
    art.width, art.height, art.pix_fmt, art.time_base = 16, 16, "rgb24", Fraction(1, 25)  # type: ignore[attr-defined]
    picture = bytes(art.encode(av.VideoFrame(16, 16, "rgb24"))[0])  # type: ignore[attr-defined]
    source = tmp_path / "with-cover.mkv"
    with av.open(str(plain)) as opened, av.open(str(source), "w") as output:
        streams = {stream: output.add_stream_from_template(stream, opaque=True) for stream in opened.streams}
        output.add_attachment("cover.png", "image/png", picture)
        for packet in opened.demux():
            if packet.size:
                packet.stream = streams[packet.stream]
                output.mux(packet)
    plan = rewrite(source, tmp_path / "out.mkv")
    assert not plan.notes
    with av.open(str(tmp_path / "out.mkv")) as container:
        cover = container.streams.video[1]
        assert bytes(next(packet for packet in container.demux(cover) if packet.size)) == picture
    plan = rewrite(source, tmp_path / "out.mp4")
    assert [note for note in plan.notes if "Cover art" in note]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_the_timecode_of_a_camera_stays_true(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mov", metadata={"timecode": "01:02:03:04"})
    plan = rewrite(source, tmp_path / "out.mov")
    assert not plan.notes
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"
    plan = rewrite(source, tmp_path / "part.mov", trim=Trim.parse(start="0.4"))
    assert [note for note in plan.notes if "timecode" in note]
    with av.open(str(tmp_path / "part.mov")) as container:
        assert "timecode" not in container.streams.video[0].metadata


def test_metadata_of_unknown_letters_stay_as_they_are(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = tmp_path / "in.mkv"
    title = "Gr\udcfc\udcdfe"  # Latin-1, which is no UTF-8
    plain = make_clip(tmp_path / "plain.mkv")
    with (
        av.open(str(plain)) as opened,
        av.open(str(source), "w", metadata_errors="surrogateescape") as output,
    ):
        stream = output.add_stream_from_template(opened.streams.video[0], opaque=True)
        output.metadata["title"] = title
        for packet in opened.demux():
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    for suffix in (".mkv", ".mp4", ".nut"):
        rewrite(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}"), metadata_errors="surrogateescape") as container:
            assert container.metadata["title"] == title


@pytest.mark.parametrize("languages", [("deu", "fra"), ("ger", "fre"), ("swe", "ces")])
def test_quicktime_keeps_languages_by_the_code_that_it_knows(
    languages: tuple[str, str], tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mp4", tones=(0.0, 0.0), languages=languages)
    rewrite(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as container:
        found = [stream.metadata.get("language") for stream in container.streams.audio]
    assert found in (["ger", "fra"], ["sve", "ces"])


def test_a_text_that_is_never_taken_away_ends_no_run(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    """As in a recording that was cut off: MP4's writer counts to 2^31 microseconds, and refuses more."""
    source = with_texts(tmp_path, "subrip", ".mkv", ((200, 3_600_000, "a"), (500, 700, "b")))
    rewrite(source, tmp_path / "out.mp4")
    assert [text[2] for text in texts_of(tmp_path / "out.mp4")[1]] == ["a", "b"]


def test_a_pause_of_an_hour_between_two_texts(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    """No text is written at another time because the pause is too long to count."""
    source = with_texts(tmp_path, "subrip", ".mkv", ((200, 700, "a"), (4_000_000, 4_001_000, "b")))
    rewrite(source, tmp_path / "out.mp4")
    assert texts_of(tmp_path / "out.mp4")[1] == [(0.2, 0.7, "a"), (4000.0, 4001.0, "b")]


def test_a_packet_of_sound_that_the_container_refuses_is_left_out(
    clip: Path, passthrough: Callable[..., Any]
) -> None:
    """MPEG-TS looks into AAC, and one broken packet ended the run."""
    source = clip.with_name("broken.mkv")
    with av.open(str(clip)) as given, av.open(str(source), "w") as output:
        streams = {stream: output.add_stream_from_template(stream) for stream in given.streams}
        for number, packet in enumerate(given.demux()):
            if packet.dts is None:
                continue
            stream = streams[packet.stream]
            if packet.stream.type == "audio" and number % 9 == 4:
                broken = av.Packet(b"\x21")
                broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
                broken.duration, packet = packet.duration, broken
            packet.stream = stream
            output.mux(packet)
    made = passthrough(source, "-o", "out.ts")
    assert made.code == 3, made.err
    assert "could not be converted" in made.err
    assert look(clip.with_name("out.ts")).numbers == look(clip).numbers
