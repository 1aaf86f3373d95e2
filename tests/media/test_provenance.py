"""The settings in a video's metadata: written, read back, left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import yaml
from helpers.clips import look, make_clip

Run = Callable[..., Any]


@pytest.mark.parametrize(
    "extension",
    ["mp4", "mov", "mkv", "webm", "avi", "nut"],
)
def test_settings_are_read_back(extension: str, clip: Path, here: Run) -> None:
    made = here(
        *("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--frames", 2),
        *("--prompt", 'a "größer" wolf', "--seed", 7, "--set", "bank.fuse.layers=[mid]", "--strength", 0.5),
    )
    assert made.code == 0, made.err
    shown = here("config", "show", "--config", f"out.{extension}")
    settings = yaml.safe_load(shown.out)
    assert (settings["prompt"], settings["seed"]) == ('a "größer" wolf', 7)
    assert (settings["bank"]["fuse"]["layers"], settings["diffusion"]["strength"]) == (["mid"], 0.5)
    assert settings["translator"] == "passthrough"
    origins = here("config", "show", f"out.{extension}", "--seed", 8, "--origin").out
    assert f"(video out.{extension})" in origins
    assert "8  (--seed)" in origins


def test_a_run_made_again_is_equal_and_may_use_another_container(
    clip: Path, here: Run, tmp_path: Path
) -> None:
    made = here("run", clip, "--translator", "passthrough", "-o", "a.mp4", "--preset", "ultrafast")
    assert made.code == 0
    assert here("run", clip, "--config", "a.mp4", "-o", "b.mp4").code == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    plain = here("run", clip, "--translator", "passthrough", "-o", "c.mp4", "--frames", 2)
    assert plain.code == 0
    assert here("run", clip, "--config", "c.mp4", "-o", "d.webm", "--frames", 2).code == 0


def test_a_video_of_others_says_nothing(clip: Path, here: Run, tmp_path: Path) -> None:
    result = here("config", "show", "--config", clip)
    assert (result.code, result.out) == (2, "")
    assert "does not record how it was made" in result.err
    (tmp_path / "text.mp4").write_text("seed: 3")
    assert "cannot be opened" in here("config", "show", "text.mp4").err


def test_no_metadata_is_none_at_all(passthrough: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", tones=(0.0,), metadata={"title": "Home", "artist": "Me"})
    tagged = tmp_path / "tagged.mkv"
    with av.open(str(clip)) as source, av.open(str(tagged), "w") as output:
        streams = {stream: output.add_stream_from_template(stream) for stream in source.streams}
        output.metadata.update(source.metadata)
        sound = next(copy for stream, copy in streams.items() if stream.type == "audio")
        sound.metadata.update(title="My voice", language="deu")
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                output.mux(packet)
    assert passthrough(tagged, "-o", "copy.mkv").code == 0
    assert {"title", "ARTIST", "COMMENT"} <= look(tmp_path / "copy.mkv").metadata.keys()
    for name in ("none.mkv", "none.mp4"):
        assert passthrough(tagged, "-o", name, "--metadata", "none").code == 0
        written = (tmp_path / name).read_bytes()
        for word in (b"Home", b"Me\0", b"My voice", b"passthrough", b"streamv2v"):
            assert word not in written, (name, word)
        with av.open(str(tmp_path / name)) as output:
            assert output.streams.audio[0].metadata["language"] == "deu"
    assert b"My voice" in (tmp_path / "copy.mkv").read_bytes()
