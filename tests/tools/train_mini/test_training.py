"""The parts of the training of the embedded model, against slow references."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from transformers import CLIPTokenizer

from streamv2v_cli.models.folding import fold
from tools.train_mini import finish, unet, words
from tools.train_mini.attention import PairAttention
from tools.train_mini.autoencoder import fit_pca, load_vae, to_tensor
from tools.train_mini.checkpoint import Progress
from tools.train_mini.data import degrade
from tools.train_mini.decoder import draw
from tools.train_mini.export import export_model
from tools.train_mini.model import SCALING_FACTOR, build_scheduler, build_unet, hush
from tools.train_mini.prompts import sample_sentence
from tools.train_mini.rollout import PromptBank, Rollout
from tools.train_mini.sampling import grid_timesteps
from tools.train_mini.scenes import scene
from tools.train_mini.styles import STYLES, stylise
from tools.train_mini.targets import Encoder
from tools.train_mini.tokenizer import train_tokenizer
from tools.train_mini.unet import drift, restyling_loss, unsteadiness
from tools.train_mini.unpack import unpack_model

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
    prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"), per_style=3)
    return Rollout(work, SIZE, 64, prompts, pairs=6, seed=1)


@torch.no_grad()
def test_the_encoder_is_the_one_of_the_vae(work: Path) -> None:
    pictures = np.load(work / f"styled{SIZE}.npy")[0, :3]
    latents = load_vae(work).encode(to_tensor(pictures)).latents * SCALING_FACTOR
    torch.testing.assert_close(Encoder(work)(torch.from_numpy(pictures)), latents, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_the_decoder_is_trained_as_it_runs(work: Path) -> None:
    vae, latents = load_vae(work), torch.randn(2, 24, 6, 8)
    drawn = draw(vae.decoder, latents)
    fold(vae)
    torch.testing.assert_close(drawn, vae.decode(latents).sample, atol=1e-5, rtol=1e-4)


def test_what_was_exported_can_be_trained_further(work: Path, tmp_path: Path) -> None:
    export_model(work, tmp_path / "mini")
    (tmp_path / "work").mkdir()
    unpack_model(tmp_path / "work", tmp_path / "mini")
    there, back = unet.load_restyler(work).state_dict(), unet.load_restyler(tmp_path / "work").state_dict()
    assert there.keys() == back.keys()
    for name, value in there.items():
        torch.testing.assert_close(back[name], value, atol=1e-6, rtol=1e-3)  # float16 between them
    pictures = torch.from_numpy(np.load(work / f"styled{SIZE}.npy")[0, :3])
    torch.testing.assert_close(
        Encoder(tmp_path / "work")(pictures), Encoder(work)(pictures), atol=0.02, rtol=0.01
    )
    decoders = [load_vae(folder).decoder.state_dict() for folder in (work, tmp_path / "work")]
    for name, value in decoders[0].items():
        torch.testing.assert_close(decoders[1][name], value, atol=1e-6, rtol=1e-3)
    assert not torch.equal(back["unet.conv_out.weight"], unet.Restyler(2048).unet.conv_out.weight)


def test_targets_are_the_clean_styled_windows(rollout: Rollout, work: Path) -> None:
    styled, encode = np.load(work / f"styled{SIZE}.npy"), Encoder(work)
    items, targets = rollout.draw()
    assert targets.shape[:2] == (2, 6)
    for pair, item in enumerate(items):
        for frame, (y, x) in enumerate(item.windows):
            window = styled[item.crop, 1 + item.style, y : y + 64, x : x + 64]
            if list(STYLES)[item.style] == "pixel art":
                window = stylise("pixel art", styled[item.crop, 1, y : y + 64, x : x + 64])
            wanted = encode(
                torch.from_numpy(window)
            )  # one product: how the pairs are laid out rounds it otherwise
            torch.testing.assert_close(targets[frame, pair], wanted, atol=2e-4, rtol=1e-4)


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
    scene_latents = torch.randn(4, 40, 40, dtype=torch.float64)
    y, x = shift[0] // 4, shift[1] // 4
    first = scene_latents[:, 10:26, 10:26]
    second = scene_latents[:, 10 + y : 26 + y, 10 + x : 26 + x]
    outputs = torch.stack([first, second])[:, None]
    assert drift(outputs, [shift]) == 0
    brighter = outputs + torch.tensor([0.0, 0.5]).reshape(2, 1, 1, 1, 1)
    assert float(drift(brighter, [shift])) == pytest.approx(0.5, rel=1e-12)
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


@torch.no_grad()
def test_the_quiet_schedule_makes_the_same_change_with_a_quarter_of_the_noise() -> None:
    loud, quiet = build_scheduler(), build_scheduler(quiet=True)
    steps = torch.tensor(grid_timesteps(1) + grid_timesteps(1, 0.6))
    assert steps.tolist() == [399, 599]
    sigma, less = ((1 - scheduler.alphas_cumprod[steps]).sqrt() for scheduler in (loud, quiet))
    torch.testing.assert_close(less, sigma / 4, rtol=0.05, atol=0)
    assert (quiet.alphas_cumprod < 1).all()
    assert (quiet.alphas_cumprod.diff() <= 0).all()
    # The later steps change less than in training.
    later = (1 - quiet.alphas_cumprod[[399, 299, 199, 99]]).sqrt()
    assert (later.diff() < 0).all()
    assert later[1] < 0.55 * (1 - loud.alphas_cumprod[299]).sqrt() / 4

    small = build_unet((16, 16, 16)).eval()
    latents, text = torch.randn(1, 24, 16, 16), torch.randn(1, 4, 128)
    before = small(latents, 399, encoder_hidden_states=text).sample * sigma[0]
    after = hush(small)(latents, 399, encoder_hidden_states=text).sample * less[0]
    torch.testing.assert_close(after, before, rtol=0.02, atol=0.02 * before.abs().max().item())


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (-2, 1), (1, -3)])
def test_unsteadiness_compares_the_same_place_to_a_pixel(shift: tuple[int, int]) -> None:
    scene_pixels = torch.randn(3, 40, 40)
    first = scene_pixels[:, 10:26, 10:26]
    second = scene_pixels[:, 10 + shift[0] : 26 + shift[0], 10 + shift[1] : 26 + shift[1]]
    pictures = torch.stack([first, second])[:, None].repeat(1, 2, 1, 1, 1)
    assert unsteadiness(pictures, [shift, shift]) == 0
    pictures[1, 1] += 0.5
    assert unsteadiness(pictures, [shift, None]) == 0
    torch.testing.assert_close(unsteadiness(pictures, [shift, shift]), torch.tensor(0.25))


def test_unet_and_decoder_finish_together(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both checkpoints get what was learned, and what was not trained stays."""
    work = shutil.copytree(work, tmp_path / "work")
    monkeypatch.setattr(unet, "build_unet", lambda: build_unet((16, 16, 16)))
    model = unet.load_restyler(work)
    states = {"unet": model.state_dict(), "decoder": load_vae(work).decoder.state_dict()}
    for name, state in states.items():
        torch.save({"ema": state, "model": state}, work / f"{name}.pt")
    before = {name: torch.load(work / f"{name}.pt")["ema"] for name in states}
    monkeypatch.setattr(Progress, "done", property(lambda progress: progress.step / 4))
    finish.train_together(work, pairs=2)
    for name, key in (("unet", "unet.conv_out.weight"), ("decoder", "layers.0.weight")):
        after = torch.load(work / f"{name}.pt")["ema"]
        assert after.keys() == before[name].keys()
        assert not torch.equal(after[key], before[name][key])
    text = [key for key in before["unet"] if key.startswith("text.")]
    after = torch.load(work / "unet.pt")["ema"]
    assert text
    assert all(torch.equal(after[key], before["unet"][key]) for key in text)
    assert (work / "finish.pt").exists()


def test_the_text_encoder_finds_the_words_in_a_sentence(work: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Nothing but the text encoder changes, and sentences come nearer to what the names of the styles give."""
    monkeypatch.setattr(words, "PER_STYLE", 40)
    shutil.copytree(work, tmp_path / "work")
    folder = tmp_path / "work"
    model = unet.load_restyler(folder)
    torch.save({"ema": model.state_dict(), "model": model.state_dict()}, folder / "unet.pt")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    targets = words.style_embeddings(model, tokenizer, "cpu")
    ids, styles = words.tokenized(tokenizer, sample_sentence, 6, random.Random(99))
    assert len(ids) == len(styles) > 90

    def miss() -> float:
        found = words.embedding(now, now.text(ids)[0])
        return float((found - targets[styles]).square().mean())

    now = model
    with torch.no_grad():
        before = miss()
        before_unet = {key: value.clone() for key, value in model.unet.state_dict().items()}
    words.train_words(folder, steps=60, peak=1e-3)
    now = unet.load_restyler(folder)
    with torch.no_grad():
        assert miss() < 0.7 * before
    assert all(torch.equal(value, before_unet[key]) for key, value in now.unet.state_dict().items())
    raw = unet.load_restyler(folder, averaged=False)
    assert all(torch.equal(a, b) for a, b in zip(raw.text.parameters(), now.text.parameters(), strict=True))
