"""What an input and an output are is found out once in a run."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from helpers.clips import make_clip
from helpers.media import target_of
from PIL import Image

from streamv2v_cli.errors import SourceError, UsageError
from streamv2v_cli.media.address import STDOUT, Url
from streamv2v_cli.media.open import MediaInput
from streamv2v_cli.media.sink.containers import container_for
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.source.inputs import InputOptions


@pytest.mark.parametrize("source", ["frames", "frames/%d.png", "frames/*.png"])
@pytest.mark.parametrize("output", ["out/%d.png", "out.mkv"])
def test_a_folder_is_listed_once_and_a_container_chosen_once(
    source: str, output: str, tmp_path: Path, here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / "frames" / f"{number}.png")
    listed: Counter[str] = Counter()
    scandir = os.scandir

    def counting(path: Any = ".") -> Any:
        listed[os.path.abspath(path)] += 1
        return scandir(path)

    chosen = 0

    def watch(frame: FrameType, event: str, argument: object) -> None:
        nonlocal chosen
        chosen += event == "call" and frame.f_code is container_for.__code__

    monkeypatch.setattr("os.scandir", counting)
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        done = here("run", source, "-o", output, "--translator", "passthrough")
    finally:
        sys.setprofile(before)
    assert done.code == 0, done.err
    assert (listed[str(tmp_path / "frames")], chosen) == (1, 1)


def test_the_files_of_an_input(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=(0,))
    (tmp_path / "frames").mkdir()
    for name in ("2.png", "10.png"):
        (tmp_path / "frames" / name).touch()
    assert MediaInput.of(clip).files == (str(clip),)
    frames = MediaInput.of(tmp_path / "frames")
    assert list(frames.files) == [str(tmp_path / "frames" / name) for name in ("2.png", "10.png")]
    assert MediaInput.of("-").files == (0,)
    assert MediaInput.of("http://host/clip.mp4").files == ()
    assert MediaInput.of(tmp_path / "frames" / "2.png", InputOptions("mp4")).images is None
    with pytest.raises(SourceError, match="There is no image"):
        MediaInput.of(tmp_path / "frames" / "a%d.png")
    with pytest.raises(UsageError, match="There is no input format"):
        MediaInput.of(clip, InputOptions("no such format"))


def test_where_an_output_goes(tmp_path: Path) -> None:
    pipe, sent, file = (
        Target.of(STDOUT),
        Target.of(Url("rtmp://joe:secret@host/x")),
        Target.of(tmp_path / "a.mp4"),
    )
    assert [target.container.name for target in (pipe, sent, file)] == ["matroska", "flv", "mp4"]
    assert [target.file for target in (pipe, sent, file)] == [None, None, tmp_path / "a.mp4"]
    assert [target.url is not None for target in (pipe, sent, file)] == [False, True, False]
    assert pipe.name == "the standard output"
    assert "secret" not in sent.name
    with pytest.raises(UsageError, match="Images cannot go to the standard output"):
        target_of(STDOUT, "clip.mp4", format="image2")
