"""What strangers wrote into names, titles, keys and weights steers no terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.clips import make_clip
from helpers.steering import steers
from helpers.tiny import make_tiny_pipeline
from safetensors.torch import save_file

Run = Callable[..., Any]
EVIL = "a\x1b]0;owned\x07\x9b2J\u202eb\nerror: forged"
RUN = ("run", "--frames", 1, "-o", "out.mkv", "-y")


def check(result: Any) -> None:
    """Nothing but our own line ends steers, and no line is forged."""
    shown = result.out + result.err
    assert "owned" in shown or result.code == 0
    assert not any(map(steers, shown.replace("\n", "")))
    assert not any(line.strip().startswith("error: forged") for line in shown.splitlines())


def test_titles_and_names_in_a_video(tmp_path: Path, here: Run) -> None:
    chapters = [{"id": 1, "start": 0, "end": 5, "time_base": Fraction(1), "metadata": {"title": EVIL}}]
    clip = make_clip(
        tmp_path / "clip.mkv",
        pts=(0, 512),
        tones=(0.0,),
        languages=(EVIL[:3],),
        chapters=chapters,
        metadata={"title": EVIL, EVIL[:6]: EVIL},
    )
    plan = (*RUN, clip, "--translator", "passthrough", "--dry-run")
    for arguments in (("probe", clip), ("probe", clip, "--json"), plan):
        result = here(*arguments)
        assert result.code == 0, result.err
        check(result)
    assert "\\x1b]0;owned" in here("probe", clip).out


def test_names_of_files(tmp_path: Path, here: Run) -> None:
    clip = make_clip(tmp_path / "clip.mkv", pts=(0, 512))
    name = EVIL.replace("/", "") + ".mkv"
    clip.rename(tmp_path / name)
    (tmp_path / "broken\x1b.mkv").write_text("no video")
    check(here("run", name, "--translator", "passthrough", "-o", "out.mkv", "--dry-run"))
    check(here("run", "owned\x1b.mkv", "--translator", "passthrough", "-o", "out.mkv"))
    check(here("probe", name))
    check(here("batch", ".", "--pattern", "*.mkv", "--translator", "passthrough", "-o", "out", "--dry-run"))
    batch = here("batch", ".", "--pattern", "*.mkv", "--translator", "passthrough", "-o", "out")
    assert batch.code == 3
    assert not any(map(steers, batch.err.replace("\n", "")))
    check(here("run", name, "--no\x1bowned"))


@pytest.mark.parametrize(
    "given",
    [
        {EVIL: 1},
        {"bank": {EVIL: 1}},
        {"bank": EVIL},
        {"seed": EVIL},
        {"model": EVIL},
        {"output": {"codec": EVIL}},
        {"output": {"pix_fmt": EVIL}},
        {"output": {"preset": EVIL}},
        {"bank": {"attention": {"layers": [EVIL]}}},
        {"weights": {"loras": [{"source": "x", EVIL: 1}]}},
        {"weights": {"vae": EVIL}},
        {"input": {"hwaccel": EVIL}},
        {"diffusion": {"steps": EVIL}, "seed": EVIL},
    ],
)
def test_keys_and_values_of_configurations(given: dict[str, Any], tmp_path: Path, here: Run) -> None:
    comment = json.dumps({"program": "streamv2v", "settings": {"prompt": "x", **given}})
    clip = make_clip(tmp_path / "clip.mkv", pts=(0, 512), metadata={"comment": comment})
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"prompt": "x", **given}))
    for config in ("clip.mkv", "a.yaml"):
        check(here(*RUN, clip, "--config", config))
        check(here(*RUN, clip, "--config", config, "--dry-run"))
    check(here("config", "show", "clip.mkv", "--origin"))


def _index(model: Path) -> None:
    (model / "model_index.json").write_text(json.dumps({"_class_name": EVIL, "transformer": ["a", EVIL]}))


def _recommended(model: Path) -> None:
    (model / "streamv2v.yaml").write_text(yaml.safe_dump({EVIL: 1}))


def _useful(model: Path) -> None:
    (model / "streamv2v.yaml").write_text(yaml.safe_dump({"useful": {EVIL: 1}}))


def _unet(model: Path) -> None:
    path = model / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "class_embed_type": EVIL}))


def _scheduler(model: Path) -> None:
    path = model / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": EVIL}))


def _blocks(model: Path) -> None:
    path = model / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "down_block_types": [EVIL] * 4}))


@pytest.mark.parametrize("change", [_index, _recommended, _useful, _unet, _scheduler, _blocks])
def test_what_a_model_says(change: Callable[[Path], None], tmp_path: Path, here: Run) -> None:
    make_tiny_pipeline(tmp_path / "model")
    change(tmp_path / "model")
    result = here(*RUN, "lavfi:testsrc2=s=64x64", "-p", "x", "--model", "model", "--size", 64)
    assert result.code != 0
    check(result)


@pytest.mark.parametrize(
    "name", [EVIL, f"lora_unet_{EVIL}.lora_up.weight", f"lora_te2_{EVIL}", f"{EVIL}.hada_w1"]
)
def test_names_of_weights_of_a_lora(name: str, tmp_path: Path, here: Run) -> None:
    make_tiny_pipeline(tmp_path / "model")
    save_file({name: torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    result = here(*RUN, "lavfi:testsrc2=s=64x64", "-p", "x", "--model", "model", "--lora", "lora.safetensors")
    assert result.code == 1
    check(result)


def test_answers_of_participants(tmp_path: Path, here: Run) -> None:
    (tmp_path / "answers.json").write_text(json.dumps({"study": EVIL, EVIL: 1, "answers": [{"pair": EVIL}]}))
    result = here("study", "score", "answers.json")
    assert result.code != 0
    assert not any(map(steers, (result.out + result.err).replace("\n", "")))
