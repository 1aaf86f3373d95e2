"""Stage `words`: teach the text encoder to find the words for a style in any sentence.

The UNet stays as it is. What it takes from a prompt is an embedding by which all its layers are scaled and shifted; a
sentence has to give the one that the bare name of the style gives, whatever stands around it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import CLIPTokenizer

from tools.train_mini.checkpoint import put_back
from tools.train_mini.prompts import PHRASES, sample_prompt, sample_sentence
from tools.train_mini.tokenizer import MAX_LENGTH
from tools.train_mini.unet import Restyler, load_restyler

__all__ = ["train_words"]

PER_STYLE = 2500  #: sentences of each style
BATCH = 144
KEEP = 0.02  #: weight of the change of what the encoder says of short prompts, which cross-attention reads


def train_words(work: Path, steps: int = 2500, device: str = "cpu", peak: float = 4e-4) -> None:
    """Train for so many steps and put the text encoder back into `unet.pt`, its averaged weights and the others."""
    torch.manual_seed(6)
    model = load_restyler(work).to(device)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    targets = style_embeddings(model, tokenizer, device)
    spread = (targets - targets.mean(0)).square().mean()
    rng = random.Random(61)
    ids, styles = tokenized(tokenizer, sample_sentence, PER_STYLE, rng)
    short, _ = tokenized(tokenizer, sample_prompt, PER_STYLE // 10, rng)
    with torch.no_grad():
        wanted = torch.cat([model.text(part.to(device))[0] for part in short.split(512)])
    model.text.train().requires_grad_(requires_grad=True)
    optimizer = torch.optim.AdamW(model.text.parameters(), peak, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps + 1, pct_start=0.05)
    losses = []
    for step in range(1, steps + 1):
        chosen = torch.randint(len(ids), (BATCH,))
        known = torch.randint(len(short), (BATCH // 4,))
        hidden = model.text(torch.cat([ids[chosen], short[known]]).to(device))[0]
        found, kept = hidden.split([len(chosen), len(known)])
        miss = (embedding(model, found) - targets[styles[chosen].to(device)]).square().mean() / spread
        loss = miss + KEEP * (kept - wanted[known.to(device)]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.text.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(miss.item())
        if step % 250 == 0:
            print(f"words step {step}, loss {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
    text = {f"text.{name}": value for name, value in model.text.state_dict().items()}
    put_back(work / "unet.pt", text, parts=("ema", "model"))


def embedding(model: Restyler, hidden: torch.Tensor) -> torch.Tensor:
    """What the UNet's layers are scaled and shifted by, (B, width), of encoded prompts (B, 32, 128)."""
    assert model.unet.add_embedding is not None
    found: torch.Tensor = model.unet.add_embedding(hidden)
    return found


@torch.no_grad()
def style_embeddings(model: Restyler, tokenizer: CLIPTokenizer, device: str) -> torch.Tensor:
    """The embedding (styles, width) of the bare name of every style."""
    names = [phrases[0] for phrases in PHRASES.values()]
    ids = tokenizer(names, padding="max_length", max_length=MAX_LENGTH, return_tensors="pt").input_ids
    return embedding(model, model.text(ids.to(device))[0])


def tokenized(
    tokenizer: CLIPTokenizer, sample: Callable[[str, random.Random], str], per_style: int, rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (N, 32) of prompts that fit, and the number (N,) of the style of each."""
    ids, styles = [], []
    for number, style in enumerate(PHRASES):
        drawn = [sample(style, rng) for _ in range(per_style)]
        found = tokenizer(drawn, padding="max_length", max_length=MAX_LENGTH, verbose=False).input_ids
        fitting = [one for one in found if len(one) == MAX_LENGTH]
        ids += fitting
        styles += [number] * len(fitting)
    return torch.tensor(ids), torch.tensor(styles)
