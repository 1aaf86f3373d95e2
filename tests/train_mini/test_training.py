"""The parts of the training of the embedded model, against slow references."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention

from tools.train_mini.attention import PairAttention
from tools.train_mini.autoencoder import fit_pca, load_vae, to_tensor
from tools.train_mini.data import degrade
from tools.train_mini.model import SCALING_FACTOR
from tools.train_mini.rollout import PromptBank, Rollout
from tools.train_mini.scenes import scene
from tools.train_mini.styles import STYLES, stylise
from tools.train_mini.targets import Encoder
from tools.train_mini.tokenizer import train_tokenizer
from tools.train_mini.unet import drift, restyling_loss

SIZE = 176


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with four styled scenes, the tokenizer and the PCA."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(5)
    scenes = [scene(rng, SIZE) for _ in range(4)]
    styled = [[degrade(crop, rng), *(stylise(name, crop) for name in STYLES)] for crop in scenes]
    np.save(folder / f"styled{SIZE}.npy", np.array(styled))
    train_tokenizer(folder / "tokenizer")
    fit_pca(folder, count=60)
    return folder


@pytest.fixture
def rollout(work: Path) -> Rollout:
    """Batches of six pairs of windows of 64 px."""
    from transformers import CLIPTokenizer

    prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"), per_style=3)
    return Rollout(work, SIZE, 64, prompts, pairs=6, seed=1)


@torch.no_grad()
def test_the_encoder_is_the_one_of_the_vae(work: Path) -> None:
    pictures = np.load(work / f"styled{SIZE}.npy")[0, :3]
    latents = load_vae(work).encode(to_tensor(pictures)).latents * SCALING_FACTOR
    torch.testing.assert_close(Encoder(work)(torch.from_numpy(pictures)), latents, atol=2e-4, rtol=1e-4)


def test_targets_are_the_clean_styled_windows(rollout: Rollout, work: Path) -> None:
    styled, encode = np.load(work / f"styled{SIZE}.npy"), Encoder(work)
    items, targets = rollout.draw()
    assert targets.shape[:2] == (2, 6)
    for pair, item in enumerate(items):
        for frame, (y, x) in enumerate(item.windows):
            window = styled[item.crop, 1 + item.style, y : y + 64, x : x + 64]
            if list(STYLES)[item.style] == "pixel art":
                window = stylise("pixel art", styled[item.crop, 1, y : y + 64, x : x + 64])
            torch.testing.assert_close(targets[frame, pair], encode(torch.from_numpy(window)))


def test_outputs_fly_on_with_the_rest_of_their_plan(rollout: Rollout) -> None:
    items, targets = rollout.draw()
    rollout.advance(items, targets + 7)
    flying = {id(item.prompt): item for item in rollout.pool}
    assert len(flying) == sum(len(item.plan) > 1 for item in items)
    for pair, item in enumerate(items):
        if len(item.plan) > 1:
            later = flying[id(item.prompt)]
            assert later.plan == item.plan[1:]
            torch.testing.assert_close(later.x0, targets[:, pair] + 7)
    again, _ = rollout.draw()
    assert sum(any(item is other for other in flying.values()) for item in again) == min(len(flying), 2)


def test_attention_looks_back_and_fuses_as_the_paper_says() -> None:
    torch.manual_seed(0)
    layer, processor = Attention(32, heads=2, dim_head=16), PairAttention()
    hidden = torch.randn(6, 5, 32)
    with torch.no_grad():
        plain = processor(layer, hidden)
        torch.testing.assert_close(plain, layer(hidden))
        processor.looks_back = True
        back = processor(layer, hidden)
        processor.fuses, processor.threshold = True, 0.3
        fused = processor(layer, hidden)
        for pair in range(3):
            torch.testing.assert_close(back[pair], plain[pair])
            both = torch.cat([hidden[3 + pair], hidden[pair]])
            q, k, v = layer.to_q(hidden[3 + pair]), layer.to_k(both), layer.to_v(both)
            heads = [slice(0, 16), slice(16, 32)]
            mixed = [(q[:, h] @ k[:, h].T / 4).softmax(-1) @ v[:, h] for h in heads]
            now = layer.to_out[0](torch.cat(mixed, -1))
            torch.testing.assert_close(back[3 + pair], now)
            for token in range(5):
                cosines = torch.cosine_similarity(now[token][None], plain[pair])
                best = int(cosines.argmax())
                wanted = now[token]
                if cosines[best] >= 0.3:
                    wanted = 0.25 * wanted + 0.75 * plain[pair][best]
                torch.testing.assert_close(fused[3 + pair, token], wanted)
    assert not torch.allclose(fused, back)


@pytest.mark.parametrize("shift", [(0, 0), (8, 0), (-8, 8)])
def test_drift_compares_the_same_place(shift: tuple[int, int]) -> None:
    scene_latents = torch.randn(4, 40, 40)
    y, x = shift[0] // 4, shift[1] // 4
    first = scene_latents[:, 10:26, 10:26]
    second = scene_latents[:, 10 + y : 26 + y, 10 + x : 26 + x]
    outputs = torch.stack([first, second])[:, None]
    assert drift(outputs, [shift]) == 0
    assert drift(outputs + torch.tensor([0.0, 0.5]).reshape(2, 1, 1, 1, 1), [shift]) == 0.5
    assert drift(outputs, [(3, 4)]) == 0  # not by whole blocks: nothing to compare


def test_the_loss_asks_for_detail_that_is_too_weak() -> None:
    target = torch.zeros(1, 24, 16, 16)
    target[:, 10] = torch.randn(16, 16)
    weak, right = 0.5 * target, target
    wrong = target.roll(1, -1)
    assert restyling_loss(right, target) < restyling_loss(weak, target)
    blurred = torch.zeros_like(target)

    def plain(x0: torch.Tensor) -> torch.Tensor:
        square = (x0 - target).square()
        return 0.5 * square.mean() + (square + 1e-4).sqrt().mean()

    assert restyling_loss(blurred, target) > plain(blurred) + 0.004
    assert restyling_loss(wrong, target) < plain(wrong) + 0.004
    both = restyling_loss(torch.cat([blurred, right]), torch.cat([target, target]))
    torch.testing.assert_close(both, torch.cat([restyling_loss(z, target) for z in (blurred, right)]))


def test_plans_are_timesteps_of_the_grid() -> None:
    from tools.train_mini.rollout import sample_plan

    rng = random.Random(0)
    plans = [sample_plan(rng) for _ in range(200)]
    assert [399, 299, 199, 99] in plans
    assert min(plan[0] for plan in plans) == 399  # what comes later has been styled
    assert all(plan == sorted(plan, reverse=True) and all((t + 1) % 20 == 0 for t in plan) for plan in plans)
