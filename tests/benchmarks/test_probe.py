"""The probe: what it draws, how it is trained, and its recipe from pictures to the card, in small."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.probe import __main__ as recipe
from benchmarks.probe import measure
from benchmarks.probe.model import build_scheduler, predict_x0
from benchmarks.probe.styles import STYLES, smeared_noise, stylise
from benchmarks.probe.train import Trainer
from streamv2v_cli.models import load_model
from tools.quality import write_clip
from tools.train_mini.scenes import scene

SIDE = 176


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder whose pictures are there already, with their latents."""
    folder = tmp_path_factory.mktemp("probe")
    rng = np.random.default_rng(5)
    np.save(folder / f"crops{SIDE}.npy", np.array([scene(rng, SIDE) for _ in range(3)]))
    run(folder, "data")
    return folder


def run(work: Path, *stages: str) -> None:
    options = argparse.Namespace(
        work=work, pictures=3, minutes=0.002, distil_minutes=0.002, device="cpu", batch=2
    )
    for stage in stages:
        recipe.run_stage(stage, options)


@pytest.mark.parametrize("name", STYLES)
def test_a_style_invents_and_repeats_itself(name: str) -> None:
    picture = scene(np.random.default_rng(1), 96)
    first, again, other = (stylise(name, picture, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 2


@pytest.mark.parametrize("degrees", [0, 45, 90])
def test_noise_is_smeared_along_its_direction(degrees: int) -> None:
    """Neighbours along the direction are far more alike than those across it."""
    angle = np.full((96, 96), math.radians(degrees), np.float32)
    noise = smeared_noise(angle, 8, 0.8, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(0, abs=1e-5)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    steps = {0: ((0, 4), (4, 0)), 45: ((3, 3), (3, -3)), 90: ((4, 0), (0, 4))}[degrees]
    along, across = (np.mean((noise - np.roll(noise, step, (0, 1))) ** 2) for step in steps)
    assert along < 0.4 * across


def test_the_clean_latent_of_a_prediction() -> None:
    """V as Salimans and Ho define it gives back what was noised."""
    clean, noise = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64).unbind(0)
    alpha_bar = build_scheduler().alphas_cumprod[[0, 300, 599, 999]].double().reshape(-1, 1, 1, 1)
    noised = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
    v = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * clean
    torch.testing.assert_close(predict_x0(v, noised, alpha_bar), clean)


def test_the_noise_is_that_of_stable_diffusion() -> None:
    """Published: the signal's share of the variance is 0.9991 at the first timestep and 0.0047 at the last."""
    alphas = build_scheduler().alphas_cumprod
    assert alphas[0].item() == pytest.approx(0.99915, abs=1e-5)
    assert alphas[-1].item() == pytest.approx(0.00466, abs=1e-5)


def test_consistency_of_a_perfect_teacher_is_no_loss(work: Path) -> None:
    """Who knows the clean latent of every noised one is consistent already."""
    trainer = Trainer(work, "cpu", 4, 16, seed=0)
    known: list[torch.Tensor] = []

    def draw() -> tuple[torch.Tensor, ...]:
        entering, wanted, text, times = Trainer.draw(trainer)
        known.append(entering)
        return entering, wanted, text, times

    trainer.draw = draw  # type: ignore[method-assign]
    trainer.x0 = lambda unet, noised, times, text: known[-1]  # type: ignore[method-assign]
    unet = torch.nn.Identity()
    assert trainer.consistency_loss(unet, unet, unet).item() == pytest.approx(0, abs=1e-6)


def test_an_interval_by_bootstrap() -> None:
    same = measure.interval(np.full((3, 4), -5.0))
    assert same == (-5.0, -5.0, -5.0)
    mean, low, high = measure.interval(np.random.default_rng(1).normal(-6, 2, (5, 5)))
    assert low < mean < high
    assert -8 < low < high < -4


def test_the_recipe_from_pictures_to_the_card(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    monkeypatch.setattr(recipe, "MODEL", model)
    run(work, "diffuse", "distil", "export")
    loaded = load_model(measure.settings_of(model, "photo", 0))
    assert 0 < measure.attention_share(loaded.unet, work, batch=2) < 1
    assert sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) < 12e6

    rng = np.random.default_rng(2)
    clip = tmp_path / "clip.mkv"
    picture = scene(rng, 64)
    write_clip(clip, [np.roll(picture, 3 * k, 1) for k in range(3)])
    monkeypatch.setattr(measure, "own_clips", lambda work, frames: [clip])
    monkeypatch.setattr(measure, "STYLES", {"photo": STYLES["photo"]})
    monkeypatch.setattr(measure, "VARIANTS", {name: measure.VARIANTS[name] for name in ("none", "DyMe")})
    measure.measure_probe(work, 3, 2, model)
    card = (model / "MODEL_CARD.md").read_text()
    assert "| none |" in card
    assert "| DyMe |" in card
