"""Nothing that is read is written over or into, by whatever option, name, link or redirection."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip
from helpers.commands import COMMAND
from helpers.tiny import make_tiny_pipeline
from PIL import Image

from streamv2v_cli.apart import check_streams
from streamv2v_cli.errors import UsageError

Run = Callable[..., Any]


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[Path]:
    """Files to be read; at the end each must hold what it held."""
    make_clip(tmp_path / "in.mkv", pts=range(0, 512 * 4, 512))
    (tmp_path / "im").mkdir()
    for number in (1, 2, 4):
        Image.new("RGB", (32, 32)).save(tmp_path / "im" / f"{number}.png")
    (tmp_path / "c.yaml").write_text("seed: 3")
    (tmp_path / "m.yaml").write_text("- input: in.mkv")
    (tmp_path / "p.yaml").write_text("- time: 0\n  prompt: a")
    (tmp_path / "text.txt").write_text("a fox")
    os.link(tmp_path / "in.mkv", tmp_path / "link.mkv")
    make_tiny_pipeline(tmp_path / "model")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    yield tmp_path
    for path, content in before.items():
        assert path.read_bytes() == content, path


@pytest.mark.parametrize(
    "line",
    [
        "run - --json in.mkv -o out.mkv < in.mkv",
        "run - --json link.mkv -o out.mkv < in.mkv",
        "run - --json in.mkv --input-format rawvideo -o out.mkv < in.mkv",
        "run 'im/%d.png' --json im/2.png -o out.mkv",
        "run im --json im/2.png -o out.mkv",
        "run in.mkv --json c.yaml --config c.yaml -o out.mkv",
        "run in.mkv --json p.yaml --prompts p.yaml -o out.mkv",
        "run in.mkv --json text.txt --prompt-file text.txt -o out.mkv",
        "run in.mkv --json model/unet/config.json --model model -o out.mkv",
        "run in.mkv -o - >> in.mkv",
        "run in.mkv -o - >> link.mkv",
        "run - -o - < in.mkv >> in.mkv",
        "run im -o - --input-rate 25 >> im/4.png",
        "run in.mkv -o out.mkv --json - 2>> in.mkv",
        "run in.mkv -o out.mkv --prompt-file text.txt >> text.txt",
        "batch --manifest m.yaml -o out --json m.yaml",
        "batch in.mkv -o out >> in.mkv",
        "batch m.mkv --config in.mkv -o . -y",
    ],
)
def test_no_input_is_written_to(line: str, inputs: Path, environment: dict[str, str]) -> None:
    (inputs / "m.mkv").symlink_to("in.mkv")
    name, _, rest = line.partition(" ")
    command = f"{' '.join(COMMAND)} {name} --translator passthrough --preset ultrafast {rest}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=inputs, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode in (1, 2), done.stderr
    assert not (inputs / "out.mkv").exists()


def test_what_is_no_file_may_be_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal, `/dev/null` and a pipe are often both."""
    null = os.open(os.devnull, os.O_RDWR)
    monkeypatch.setattr("streamv2v_cli.apart._STREAMS", {null: "output"})
    check_streams([null, os.devnull])
    os.close(null)
    file = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    monkeypatch.setattr("streamv2v_cli.apart._STREAMS", {file: "output"})
    with pytest.raises(UsageError, match="standard output goes into"):
        check_streams([tmp_path / "a"])
    os.close(file)
