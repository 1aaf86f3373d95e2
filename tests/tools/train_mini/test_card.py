"""The figures of the embedded model and the card that shows them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.train_mini import motion
from tools.train_mini.card import write_card
from tools.train_mini.evaluate import Nearest, sharpness, structural_similarity
from tools.train_mini.prompts import PHRASES


def test_a_pan_of_the_picture_itself_does_not_shimmer() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    frames = motion.pan(picture)
    assert motion.shimmer(frames) == 0
    assert motion.flicker(frames) > 50
    assert motion.flicker([picture] * 3) == 0
    assert (
        motion.shimmer([frame + np.uint8(k) for k, frame in enumerate(np.zeros((3, 4, 8, 3), np.uint8))]) == 1
    )


@pytest.mark.parametrize(
    ("warp", "sharp", "style", "helps"),
    [
        (9.0, 95.0, 98.0, True),
        (10.0, 100.0, 100.0, False),
        (9.0, 89.0, 100.0, False),
        (9.0, 95.0, 96.0, False),
    ],
)
def test_a_bank_helps_only_without_blur_and_with_the_style(
    warp: float, sharp: float, style: float, helps: bool
) -> None:
    none = {"warp": 10.0, "sharpness": 100.0, "style": 100.0}
    better = {"none": none, "dyme": {"warp": 5.0, "sharpness": 100.0, "style": 100.0}}
    this = {"none": none, "dyme": {"warp": warp, "sharpness": sharp, "style": style}}
    assert motion.helped({"clips": {"a": better, "b": this}}) is helps


def test_the_nearest_target_names_the_style() -> None:
    targets = {name: torch.full((2, 3, 8, 8), value) for name, value in (("a", -0.5), ("b", 0.1), ("c", 0.9))}
    outputs = torch.stack([torch.full((3, 8, 8), value) for value in (0.2, 0.8)])
    assert Nearest(targets)(outputs) == ["b", "c"]


def test_similarity_and_sharpness_know_a_blur() -> None:
    noise = torch.rand(1, 3, 32, 32) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    assert structural_similarity(noise, noise) == pytest.approx(1)
    assert structural_similarity(noise, blurred) < 0.6
    assert sharpness(blurred) < 0.3 * sharpness(noise)


def test_the_card_holds_vocabulary_credits_and_figures(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"0" * 3_000_000)
    write_card(tmp_path, tmp_path / "model")
    bare = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "3 MB in float16" in bare
    assert all(f"| `{name}` | {', '.join(phrases)} |" in bare for name, phrases in PHRASES.items())
    assert "danielbuechele: china*" in bare
    assert "## Figures" not in bare
    row = dict.fromkeys(("autoencoder", "source", "four", "one"), 12.34)
    row |= {"retrieval": 1.0, "paraphrases": 0.5, "sharpness": 0.625, "ssim": 0.7, "source": math.nan}
    report = {"pictures": 7, "styles": {"photo": row}, "retrieval": 0.9, "paraphrases": 0.8, "unknown": 26.0}
    both = {"none": {"warp": 3.0}, "dyme": {"warp": 2.0}}
    still = {"flicker": 0.1, "pan": 1.25, "target pan": 0.2, "clips": {"bikes": both}}
    speed = {"ms, 4 steps": 120.4, "ms, 1 steps": 40.2, "format": "bfloat16", "threads": 2}
    moving = {"frames": 9, "styles": {"photo": still}, "helped": 15, "speed": speed}
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "motion.json").write_text(json.dumps(moving))
    write_card(tmp_path, tmp_path / "model")
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "3 MB in float16" in card  # the card itself is not counted
    assert "On 7 held-out pictures" in card
    assert "| `photo` | 12.3 |  | 12.3 | 12.3 | 100% | 50% | 62% | 0.70 |" in card
    assert "| `photo` | 0.10 | 1.2 (0.2) | 3.0 -> 2.0 |" in card
    assert "in 15 of 18 styles" in card
    assert "120 ms a frame with four steps" in card
