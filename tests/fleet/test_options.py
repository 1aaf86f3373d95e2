"""What is said where workers cannot be had or must not be trusted, and that many segments take no more memory."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip

from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.fleet.worker import SegmentWorker, versions
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.models.digest import model_digests
from streamv2v_cli.settings.schema import Settings

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--workers", "0"), "--workers 0 is neither auto nor a number from 1 to 100000"),
        (("--workers", "some"), "--workers some is neither auto nor a number"),
        (
            ("--workers", "2", "--ship"),
            "--ship sends files to other machines, and the workers are on this one",
        ),
        (("--segment-seconds", "0.5"), "--segment-seconds"),
    ],
)
def test_options_that_are_wrong(clip: Path, here: Run, options: Any, words: str) -> None:
    result = here("run", clip, "--translator", "passthrough", "-o", "out.mkv", *options)
    assert result.code == 2
    assert words in " ".join(result.err.split())


@pytest.mark.parametrize(
    "command", [("run", "clip.mp4", "-o", "out.mkv"), ("batch", "clip.mp4", "-o", "out")]
)
def test_without_ray(clip: Path, here: Run, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_ray(name: str, *more: Any, **options: Any) -> Any:
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'")
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    result = here(*command, "--translator", "passthrough", "--workers", "2")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: Several workers, and --cluster, need Ray, which is not installed.\n"
        "Install it with: pip install 'streamv2v[fleet]'\n"
    )
    assert here(*command, "--translator", "passthrough", "--workers", "1").code == 0


@pytest.fixture
def settings(tiny_folder: Any) -> Settings:
    return Settings(model=str(tiny_folder()), prompt="ink")


def test_a_worker_with_other_files_of_the_model_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = model_digests(settings)
    assert [name.split()[0] for name in models][:2] == ["model", "VAE"]
    worker = SegmentWorker("test", settings, Trim(), str(tmp_path), 30)
    wrong = {name: digest[::-1] for name, digest in models.items()}
    with pytest.raises(StreamV2VError, match=r"The files of the model .* differ on "):
        worker.prepare(versions(), wrong)
    with pytest.raises(StreamV2VError, match=r"has streamv2v .*, and not 9.9"):
        worker.prepare({**versions(), "streamv2v": "9.9"}, models)


def test_the_digest_of_a_model_knows_each_byte_and_name(tmp_path: Path, tiny_folder: Any) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(tiny_folder(), copy)
    settings = Settings(model=str(copy), prompt="ink")
    before = model_digests(settings)
    weights = next((copy / "unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    changed = model_digests(settings)
    assert set(changed) == set(before)
    assert all(changed[name] != before[name] for name in before)


def test_the_memory_does_not_grow_with_the_segments(tmp_path: Path) -> None:
    """Five hundred frames in 125 segments, by a process of its own that tells its memory often."""
    make_clip(
        tmp_path / "in.mkv", pts=range(0, 250 * 500, 250), time_base=Fraction(1, 1000), rate=Fraction(4)
    )
    options = ("--translator", "passthrough", "--preset", "ultrafast", "--segment-seconds", "1", "-q")
    code = (
        "from streamv2v_cli.transcode import event_log; event_log.INTERVAL = 0.02; "
        "from streamv2v_cli.app import main; main()"
    )
    command = ("run", "in.mkv", "-o", "out.mkv", *options, "--resume", "--json", "events")
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert told[-1]["frames_out"] == 500
    memory = [line["memory_bytes"] for line in told if line["event"] == "progress"]
    assert len(memory) > 3, "told too seldom"
    assert max(memory[len(memory) // 2 :]) < max(memory[: len(memory) // 4]) + (12 << 20)
