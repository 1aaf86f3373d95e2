"""Slow references written from the formulas of the papers: plain loops, float64, one frame at a time.

Nothing here shares code with the package but the drawing of random numbers, which the formulas take as given.
"""

from __future__ import annotations

import math
from typing import Any

import torch


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b) / max(float(a.norm() * b.norm()), 1e-12)


def nearest(query: torch.Tensor, candidates: torch.Tensor) -> tuple[float, int]:
    """The largest cosine similarity of `query` (d,) to a row of `candidates` (m, d), and that row."""
    best, where = -math.inf, -1
    for index, candidate in enumerate(candidates):
        similarity = cosine(query, candidate)
        if similarity > best:
            best, where = similarity, index
    return best, where


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, counts: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(q k^T / sqrt(d_head)) v for q (n, d), k and v (m, d), head by head and token by token.

    With `counts` (m,), as if there were that many of each key.
    """
    size = q.shape[1] // heads
    out = torch.zeros_like(q)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for token in range(len(q)):
            scores = (k[:, part] @ q[token, part]) / math.sqrt(size)
            weights = torch.exp(scores - scores.max()) * (1 if counts is None else counts)
            out[token, part] = (weights / weights.sum()) @ v[:, part]
    return out


def fuse(output: torch.Tensor, banked: torch.Tensor, alpha: float, threshold: float) -> torch.Tensor:
    """Feature fusion of (n, d) outputs with (m, d) banked ones."""
    fused = output.clone()
    for token in range(len(output)):
        similarity, where = nearest(output[token], banked)
        if similarity >= threshold:
            fused[token] = (1 - alpha) * output[token] + alpha * banked[where]
    return fused


def merge(
    bank: dict[str, torch.Tensor], current: dict[str, torch.Tensor], partition: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Dynamic merging of (n, d) features under a partition of the 2n tokens; `k` decides, all are merged alike."""
    both = {name: torch.cat([bank[name], current[name]]) for name in current}
    half = len(partition) // 2
    source, destination = partition[:half].tolist(), partition[half:].tolist()
    groups: dict[int, list[int]] = {token: [token] for token in destination}
    for token in source:
        _, where = nearest(both["k"][token], both["k"][destination])
        groups[destination[where]].append(token)
    return {
        name: torch.stack([features[groups[token]].mean(0) for token in destination])
        for name, features in both.items()
    }


class ReferenceBank:
    """The bank of one layer and one denoising step, as lists of frames."""

    def __init__(self, kind: str, size: int) -> None:
        self.kind, self.size = kind, size
        self.frames: list[dict[str, torch.Tensor]] = []

    def banked(self, name: str) -> torch.Tensor:
        return torch.cat([frame[name] for frame in self.frames])

    def take(self, current: dict[str, torch.Tensor], *, first: bool, partition: torch.Tensor) -> None:
        if first or not self.frames:
            self.frames = [current]
        elif self.kind == "queue":
            self.frames = ([*self.frames, current])[-self.size :]
        else:
            self.frames = [merge(self.frames[0], current, partition)]


class ReferenceProcessor:
    """Self-attention of one layer for a single frame (batch of one), with banks chosen by the denoising step.

    `state` is shared by all layers: `row`, `step` (denoising step), `index` (frame of the segment), `number` (frame
    of the run), `picture` (the style picture that goes through instead of a frame, or None) and `weights` (of those).
    """

    def __init__(
        self, name: str, state: dict[str, Any], bank: Any, draw: Any, *, attends: bool, fuses: bool
    ) -> None:
        self.name, self.state, self.settings, self.draw = name, state, bank, draw
        self.attends, self.fuses = attends, fuses
        self.banks: dict[int, ReferenceBank] = {}
        self.pictures: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: Any = None, **_: Any
    ) -> Any:
        dtype = hidden_states.dtype
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            p(x)[0].double()
            for p, x in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        if self.state["picture"] is not None:
            if encoder_hidden_states is None:
                self.pictures[self.state["picture"]] = k, v
            return attn.to_out[0](attention(q, k, v, attn.heads)[None].to(dtype))
        uses = encoder_hidden_states is None and self.settings.kind != "none"
        bank = self.banks.setdefault(self.state["row"], ReferenceBank(self.settings.kind, self.settings.size))
        first = self.state["index"] == 0
        keys, values = [k], [v]
        if uses and self.attends:
            # The first frame of a segment has its own features in the bank.
            keys.append(k if first else bank.banked("k"))
            values.append(v if first else bank.banked("v"))
        counts = [torch.ones(len(x)) for x in keys]
        for number, (picture_k, picture_v) in self.pictures.items():
            keys.append(picture_k)
            values.append(picture_v)
            counts.append(torch.full((len(picture_k),), self.state["weights"][number]))
        out = attention(q, torch.cat(keys), torch.cat(values), attn.heads, torch.cat(counts).double())
        out = attn.to_out[0](out[None].to(dtype))[0].double()
        if not uses:
            return out[None].to(dtype)
        self.current = {"k": k, "v": v}
        on_block = self.fuses and self.settings.fuse.on == "block"
        return (out if on_block else self.fused(out))[None].to(dtype)

    def fused(self, out: torch.Tensor) -> torch.Tensor:
        """An output (n, d) of the attention or of its block after fusion; then the bank takes the frame in."""
        bank, index, fusion = self.banks[self.state["row"]], self.state["index"], self.settings.fuse
        result = out
        if index and self.fuses:
            result = fuse(out, bank.banked("o"), fusion.alpha, fusion.threshold)
        late = self.state["step"] if self.settings.update == "tick" else 0
        if not index or (index + late) % self.settings.interval == 0:
            partition = self.draw(self.name, len(out), self.state["row"], self.state["number"])
            bank.take({**self.current, "o": out}, first=not index, partition=partition)
        return result

    def after_block(self, _module: Any, _inputs: Any, output: torch.Tensor) -> Any:
        """Hook of the transformer block around this self-attention."""
        if self.state["picture"] is not None or self.settings.kind == "none":
            return output
        return self.fused(output[0].double())[None].to(output.dtype)


def lcm_numbers(scheduler: Any, steps: int, strength: float, grid: int) -> list[dict[str, float]]:
    """Coefficients of each denoising step, from the definition of the schedule and the LCM paper's appendix."""
    betas = scheduler.betas.double()
    alpha_bar = torch.cumprod(1 - betas, 0)
    spacing = len(betas) // 50
    origin = [(i + 1) * spacing - 1 for i in range(50)][::-1]
    timesteps = [origin[math.floor(i * 50 / grid)] for i in range(grid)]
    available = math.floor(grid * strength + 1e-6)
    numbers = []
    for step in range(steps):
        t = timesteps[grid - available + step * (available // steps)]
        scaled, sigma_data = 10.0 * t, 0.5
        numbers.append(
            {
                "t": t,
                "alpha": math.sqrt(alpha_bar[t]),
                "sigma": math.sqrt(1 - alpha_bar[t]),
                "c_skip": sigma_data**2 / (scaled**2 + sigma_data**2),
                "c_out": scaled / math.sqrt(scaled**2 + sigma_data**2),
            }
        )
    return numbers


def turned(start: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
    """Embedding (tokens, d) a share of the way along the arc of each token: direction by angle, length by line."""
    rows = []
    for a, b in zip(start.double(), target.double(), strict=True):
        u, v = a / a.norm(), b / b.norm()
        across = v - (u @ v) * u
        if float(across.norm()) < 1e-6:
            rows.append((1 - share) * a + share * b)
            continue
        angle = share * math.acos(max(-1.0, min(1.0, float(u @ v))))
        length = (1 - share) * float(a.norm()) + share * float(b.norm())
        rows.append(length * (math.cos(angle) * u + math.sin(angle) * across / across.norm()))
    return torch.stack(rows)


def translate(
    unet: Any,
    scheduler: Any,
    latents: list[torch.Tensor],
    settings: Any,
    *,
    embeddings: list[Any],
    negatives: list[Any],
    noises: list[torch.Tensor],
    draw: Any,
    starts: tuple[int, ...] = (0,),
    strengths: list[float] | None = None,
    pictures: list[torch.Tensor] | None = None,
    weights: list[tuple[float, ...]] | None = None,
) -> list[torch.Tensor]:
    """Denoise each frame alone through its S steps, with its own bank rows.

    Args:
        latents: clean latents (C, h, w) of the source frames.
        embeddings, negatives: prompt of each frame: `hidden` (tokens, width) and, for SDXL, `pooled` (width,).
        noises: (C, h, w) fixed noise of each step.
        draw: (layer, tokens, row, number) -> partition.
        starts: frames that start a segment.
        strengths: of each frame; by default that of the settings.
        pictures: clean latents (C, h, w) of style pictures, which all self-attention layers attend to.
        weights: of the pictures, for each frame.
    """
    d = settings.diffusion
    kind, gamma, delta = d.guidance.kind, d.guidance.scale, d.guidance.delta
    state: dict[str, Any] = {"picture": None}
    names = {name: module for name, module in unet.named_modules() if name.endswith(("attn1", "attn2"))}
    originals = {name: module.processor for name, module in names.items()}
    hooks: list[Any] = []
    for name, module in names.items():
        place = "mid" if "mid_block" in name else name.split("_")[0] + "." + name.split(".")[1]
        chosen = [x in ("all", place, place.split(".")[0]) for x in settings.bank.fuse.layers]
        attends = [x in ("all", place, place.split(".")[0]) for x in settings.bank.attention.layers]
        module.processor = ReferenceProcessor(
            name, state, settings.bank, draw, attends=any(attends), fuses=any(chosen)
        )
        if any(chosen) and settings.bank.fuse.on == "block" and name.endswith("attn1"):
            block = unet.get_submodule(name.removesuffix(".attn1"))
            hooks.append(block.register_forward_hook(module.processor.after_block))
    predicts_v = scheduler.config.prediction_type == "v_prediction"
    results, index = [], -1
    for number, latent in enumerate(latents):
        index = 0 if number in starts else index + 1
        state.update(index=index, number=number, weights=weights[number] if weights else ())
        strength = strengths[number] if strengths else d.strength
        numbers = lcm_numbers(scheduler, d.steps, strength, d.grid)
        source = latent.double()
        clean, virtual = source, noises[0].double()
        for step, n in enumerate(numbers):
            state["step"] = step
            noise = noises[step].double()
            x = n["alpha"] * clean + n["sigma"] * noise if step == 0 or d.add_noise else n["alpha"] * clean

            def predicted(row: int, embedding: Any, x: torch.Tensor, n: Any = n) -> torch.Tensor:
                state["row"] = row
                t = torch.tensor([n["t"]])
                given = {"encoder_hidden_states": embedding.hidden[None]}
                if embedding.pooled is not None:
                    height, width = (8 * side for side in x.shape[1:])
                    sizes = torch.tensor([[height, width, 0, 0, height, width]])
                    given["added_cond_kwargs"] = {"text_embeds": embedding.pooled[None], "time_ids": sizes}
                result: torch.Tensor = unet(x[None].to(unet.dtype), t, **given, return_dict=False)[0][
                    0
                ].double()
                return result

            def epsilon(
                row: int, embedding: Any, x: torch.Tensor = x, n: Any = n, noise: torch.Tensor = noise
            ) -> torch.Tensor:
                for state["picture"], picture in enumerate(pictures or []):
                    predicted(row, embedding, n["alpha"] * picture.double() + n["sigma"] * noise)
                state["picture"] = None
                y = predicted(row, embedding, x)
                return n["alpha"] * y + n["sigma"] * x if predicts_v else y

            if kind == "initialize" and step == 0:
                virtual = epsilon(d.steps, negatives[number])
            eps = epsilon(step, embeddings[number])
            if kind == "full":
                negative = epsilon(d.steps + step, negatives[number])
                eps = negative + gamma * (eps - negative)
            elif kind in ("self", "initialize"):
                eps = delta * virtual + gamma * (eps - delta * virtual)
                moved = (
                    n["c_out"] * n["sigma"] * (virtual - eps) / n["alpha"]
                    + n["c_skip"] * n["sigma"] * virtual
                )
                if step + 1 < d.steps:
                    m = numbers[step + 1]
                    virtual = noises[step + 1].double() + m["alpha"] / m["sigma"] * moved
            clean = n["c_out"] * (x - n["sigma"] * eps) / n["alpha"] + n["c_skip"] * x
        results.append(clean)
    for name, module in names.items():
        module.processor = originals[name]
    for hook in hooks:
        hook.remove()
    return results
