"""CLIP's figures against the model's own forward pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_clip import make_tiny_clip
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from streamv2v_cli.errors import DeviceError, ModelError
from streamv2v_cli.metrics.clip import ClipScore

pytestmark = pytest.mark.numerical

PROMPT = "a pencil sketch of a cat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("clip"))


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, 64, 3), np.uint8) // (1 + index) for index in range(count)]


def reference(folder: Path, frames: list[np.ndarray], prompt: str) -> tuple[list[float], list[float]]:
    """Cosines of consecutive frames, and of frames and the prompt, from the model as transformers runs it."""
    model = CLIPModel.from_pretrained(folder).eval()
    images = CLIPImageProcessor.from_pretrained(folder)(images=frames, return_tensors="pt")
    tokens = CLIPTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")
    with torch.no_grad():
        out = model(pixel_values=images["pixel_values"], **tokens)
    image, text = (torch.nn.functional.normalize(e, dim=-1) for e in (out.image_embeds, out.text_embeds))
    return (image[1:] * image[:-1]).sum(-1).tolist(), (image @ text[0]).tolist()


def test_both_figures_are_the_cosines_of_the_paper(folder: Path) -> None:
    frames = pictures(4)
    score = ClipScore(folder, PROMPT)
    rows = [score.push(frame) for frame in frames]
    changes, fits = reference(folder, frames, PROMPT)
    assert np.std(changes) > 1e-3
    assert rows[0].consistency is None
    assert [row.consistency for row in rows[1:]] == pytest.approx([100 * c for c in changes], rel=1e-4)
    assert [row.prompt_score for row in rows] == pytest.approx([100 * f for f in fits], rel=1e-3, abs=1e-3)
    means = score.means()
    assert means.consistency == pytest.approx(100 * np.mean(changes), rel=1e-4)
    assert means.prompt_score == pytest.approx(100 * np.mean(fits), rel=1e-3, abs=1e-3)


def test_a_still_video_is_entirely_consistent_and_needs_no_prompt(folder: Path) -> None:
    score = ClipScore(folder)
    assert score.means().consistency is None
    for frame in pictures(1) * 3:
        row = score.push(frame)
    assert row.consistency == pytest.approx(100, rel=1e-5)  # the square of a length in float32
    assert row.prompt_score is None
    assert score.means().prompt_score is None


def test_a_prompt_that_is_too_long_is_cut(folder: Path) -> None:
    assert ClipScore(folder, "a cat " * 100).push(pictures(1)[0]).prompt_score is not None


def test_lack_of_memory_for_a_picture_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = ClipScore(folder)

    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(score._model.vision_model, "forward", fails)
    with pytest.raises(DeviceError, match="too little memory to run the CLIP model"):
        score.push(pictures(1)[0])


def test_weights_that_are_no_numbers_are_an_error(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "clip")
    tensors = load_file(tmp_path / "clip" / "model.safetensors")
    name = max(name for name in tensors if tensors[name].is_floating_point())
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, tmp_path / "clip" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="is not a number"):
        ClipScore(tmp_path / "clip")


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    folder = make_tiny_clip(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete: 'visual_projection\.weight' is missing"):
        ClipScore(folder)


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    folder = make_tiny_clip(tmp_path)
    (folder / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="is damaged or not what its name says"):
        ClipScore(folder)
    folder = make_tiny_clip(tmp_path)
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps({"broken": True}))
    with pytest.raises(ModelError, match="tokenizer of the CLIP model"):
        ClipScore(folder, PROMPT)
