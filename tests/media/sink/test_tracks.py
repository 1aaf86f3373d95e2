"""Sound, subtitles, chapters and metadata come along."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from helpers.clips import look, make_clip

MILLISECOND = Fraction(1, 1000)


def add_subtitles(path: Path, text: str) -> Path:
    """A copy of a clip in Matroska with a SubRip track and an attachment."""
    subtitles = path.with_suffix(".srt")
    subtitles.write_text(f"1\n00:00:00,200 --> 00:00:00,600\n{text}\n\n", encoding="utf-8")
    result = path.with_name("with-subtitles.mkv")
    with av.open(str(path)) as video, av.open(str(subtitles)) as words, av.open(str(result), "w") as output:
        streams = {
            stream: output.add_stream_from_template(stream) for stream in (*video.streams, *words.streams)
        }
        streams[words.streams[0]].metadata["language"] = "deu"
        output.add_attachment("font.ttf", "font/ttf", b"not really a font")
        for container in (video, words):
            for packet in container.demux():
                if packet.size:
                    packet.stream = streams[packet.stream]
                    output.mux(packet)
    return result


def test_audio_can_be_left_out_and_what_does_not_fit_is_said(
    tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mp4", tones=(0.0,))
    plan = rewrite(source, tmp_path / "silent.mp4", audio="none")
    assert not plan.notes
    plan = rewrite(source, tmp_path / "out.webm")
    assert len(plan.notes) == 1
    assert "webm cannot hold" in plan.notes[0]
    assert "aac" in plan.notes[0]
    assert look(tmp_path / "out.webm").numbers == list(range(24))


def test_subtitles_attachments_chapters_and_metadata(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    chapters = [
        {"id": 1, "start": 0, "end": 400, "time_base": MILLISECOND, "metadata": {"title": "first"}},
        {"id": 2, "start": 400, "end": 960, "time_base": MILLISECOND, "metadata": {"title": "second"}},
    ]
    plain = make_clip(
        tmp_path / "in.mkv", chapters=chapters, metadata={"title": "Ein Titel", "artist": "jemand"}
    )
    rewrite(plain, tmp_path / "chapters.mp4")
    after = look(tmp_path / "chapters.mp4")
    assert [chapter["metadata"]["title"] for chapter in after.chapters] == ["first", "second"]
    assert (after.metadata["title"], after.metadata["artist"]) == ("Ein Titel", "jemand")

    source = add_subtitles(plain, "Grüße")
    rewrite(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        subtitle = container.streams.subtitles[0]
        assert subtitle.language == "deu"
        assert b"Gr\xc3\xbc\xc3\x9fe" in b"".join(bytes(packet) for packet in container.demux(subtitle))
        assert container.streams.attachments[0].data == b"not really a font"
    plan = rewrite(source, tmp_path / "out.ts")
    assert {word for note in plan.notes for word in ("subtitle", "attachment") if word in note} == {
        "subtitle",
        "attachment",
    }


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mp4", tones=(0.0,))
    for suffix in (".mp4", ".mkv"):
        rewrite(source, tmp_path / f"one{suffix}")
        rewrite(source, tmp_path / f"two{suffix}")
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
