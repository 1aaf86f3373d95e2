"""The options of the model, the stream batch and the feature bank."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from streamv2v_cli.settings.section import Section, none_by_name, one_or_more, source_and_weight

__all__ = [
    "Bank",
    "BlockNames",
    "Compute",
    "Diffusion",
    "Embedding",
    "ExtendedAttention",
    "FeatureFusion",
    "Guidance",
    "Lora",
    "MotionFusionOptions",
    "SkipSimilar",
    "Weights",
]


def _split_names(value: Any) -> Any:
    """Let `mid,up.0` stand for `[mid, up.0]`, and `none` for no layer at all."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    return [] if value == ["none"] else value


BlockNames = Annotated[tuple[str, ...], BeforeValidator(_split_names)]


def _check_device(value: str) -> str:
    """Accept the names of the devices that torch runs models on here."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
        raise ValueError("must be auto, cpu, mps, cuda or cuda:N")
    return value


class Guidance(Section):
    """Classifier-free guidance and the residual guidance of StreamDiffusion."""

    kind: Literal["none", "full", "self", "initialize"] = Field(
        "none",
        description="none; full classifier-free guidance (twice the UNet rows); residual guidance from the "
        "frame's own noise (self) or from one negative row (initialize).",
    )
    scale: float = Field(1.2, ge=0, le=30, description="Guidance scale (gamma); 1 has no effect.")
    delta: float = Field(
        1.0, ge=0, le=10, description="Weight of the virtual residual noise in residual guidance."
    )
    embedded_scale: float = Field(
        7.5,
        ge=1,
        le=30,
        description="Guidance scale given to a UNet that was distilled with guidance as an input.",
    )


class Diffusion(Section):
    """The denoising schedule."""

    steps: int = Field(4, ge=1, le=8, description="Denoising steps a frame; each is one row of the batch.")
    strength: float = Field(
        0.4,
        gt=0,
        le=1,
        description="How much of the noise schedule is used: higher changes the picture more. The useful range "
        "depends on the model; --mix works with every model.",
    )
    grid: int = Field(
        50, ge=1, le=50, description="Length of the LCM timestep grid that steps are taken from."
    )
    add_noise: bool = Field(True, description="Add fixed noise between denoising steps.")
    fresh_noise: bool = Field(
        False, description="Draw new noise for every frame: flickers, for comparison only."
    )
    guidance: Guidance = Field(Guidance(), description="Guidance by the prompts.")

    @property
    def available_timesteps(self) -> int:
        """Entries of the grid that the strength leaves for the steps."""
        return int(self.grid * self.strength + 1e-6)


class ExtendedAttention(Section):
    """Extended self-attention: keys and values of past frames join those of the current one."""

    layers: BlockNames = Field(
        ("all",),
        description="UNet blocks that attend to the bank: all, down, down.0, mid, up.1, ... or none.",
    )


class FeatureFusion(Section):
    """Feature fusion: outputs are blended with their nearest output in the bank."""

    layers: BlockNames = Field(
        ("mid", "up.0", "up.1"),
        description="UNet blocks whose attention output is fused; fusing at high resolutions blurs.",
    )
    on: Literal["attention", "block"] = Field(
        "attention",
        description="What is fused: the output of self-attention, as in the program of the authors, or of the "
        "transformer block, as in the paper's text.",
    )
    threshold: float = Field(
        0.98,
        ge=-1,
        le=1,
        description="Fuse a token only if its cosine similarity to the nearest token in the bank is at least this.",
    )
    alpha: float = Field(0.75, ge=0, le=1, description="Weight of the banked feature in the blend.")


class MotionFusionOptions(Section):
    """Motion fusion: each result is blended with the one before it, carried along the motion of the source."""

    alpha: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="Share of the previous result where the source has not changed; 0 is off, 0.9 is steady.",
    )
    tolerance: float = Field(
        0.3,
        gt=0,
        le=10,
        description="Mean squared difference of the source's latents at which that share falls to a third.",
    )
    detail: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Part of that share that applies to fine detail; 1 is steadier and softer.",
    )


class Bank(Section):
    """The feature bank: what a frame remembers of the past."""

    kind: Literal["none", "queue", "dyme"] = Field(
        "dyme",
        description="none (no bank; motion fusion still works), queue (the last frames, unmerged), dyme (dynamic "
        "merging).",
    )
    size: int = Field(
        1, ge=1, le=16, description="Frames that a queue holds; dyme always holds one frame's worth."
    )
    interval: int = Field(4, ge=1, le=64, description="Every interval-th frame is added to the bank.")
    update: Literal["frame", "tick"] = Field(
        "frame",
        description="frame: every interval-th frame enters, at each of its denoising steps; tick: every interval-th "
        "tick all frames in flight enter at their present step, as in the program of the paper's authors, and "
        "lookahead is shorter.",
    )
    stratified: bool = Field(
        False,
        description="dyme: put one token of each neighbouring pair into each half, not any half of the tokens.",
    )
    reset_on_cut: bool = Field(True, description="Detect scene cuts, and empty the bank at each.")
    attention: ExtendedAttention = Field(ExtendedAttention(), description="Extended self-attention.")
    fuse: FeatureFusion = Field(FeatureFusion(), description="Feature fusion.")
    motion: MotionFusionOptions = Field(MotionFusionOptions(), description="Motion fusion.")


class SkipSimilar(Section):
    """Reuse the last result for frames that hardly differ from the last translated one."""

    enabled: bool = Field(
        False, description="Skip frames that are nearly the same as the last translated one."
    )
    threshold: float = Field(
        0.98,
        ge=0,
        le=1,
        description="Least similarity of a skipped frame: 1 less the largest change of a block of 8x8 pixels, as a "
        "share of the whole range.",
    )
    max_skip: int = Field(10, ge=1, description="Most frames skipped in a row.")


class Lora(Section):
    """One LoRA with its weight; written `PATH_OR_ID` or `PATH_OR_ID:WEIGHT`."""

    source: str = Field(min_length=1, description="A .safetensors file, a folder or a Hub id.")
    weight: float = Field(1.0, ge=-10, le=10, description="Factor on the LoRA's update.")

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return source_and_weight(value)


class Embedding(Section):
    """One textual inversion and the word that stands for it; written `FILE` or `FILE:TOKEN`."""

    source: str = Field(min_length=1, description="A .safetensors, .pt or .bin file.")
    token: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        None, description="The word for it in prompts; the one in the file, or else the file's name."
    )

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        head, colon, tail = value.rpartition(":")
        # A path may have a colon of its own, after the drive or in the name of a folder.
        if not colon or not head or "/" in tail or "\\" in tail:
            return {"source": value}
        return {"source": head, "token": tail}


class Weights(Section):
    """What is loaded beside the model itself."""

    vae: str = Field(
        "auto",
        min_length=1,
        description="VAE: auto (the model's own if tiny, else the tiny one made for it), own, a path or id.",
    )
    lcm_lora: str = Field(
        "auto",
        min_length=1,
        description="LCM-LoRA: auto (unless the UNet is a consistency or turbo model), none, a path or Hub id.",
    )
    loras: Annotated[tuple[Lora, ...], BeforeValidator(one_or_more)] = Field(
        (), description="LoRAs fused into the model: PATH_OR_ID[:WEIGHT]."
    )
    embeddings: Annotated[tuple[Embedding, ...], BeforeValidator(one_or_more)] = Field(
        (),
        description="Textual inversions, FILE[:TOKEN]: TOKEN is the word for it in prompts, else the one in the file "
        "or the file's name.",
    )
    config: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        None, description="Folder with the diffusers configs and tokenizer of a single-file model."
    )
    allow_pickle: bool = Field(
        False,
        description="Read .ckpt, .pt, .pth and .bin files as well, of which only tensors are taken; safetensors need "
        "no trust.",
    )


class Compute(Section):
    """Where and how the model runs."""

    device: Annotated[str, AfterValidator(_check_device)] = Field(
        "auto",
        description="Device: cpu, mps, cuda, cuda:N, or auto for the first available of cuda, mps, cpu.",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="Number format of the model; auto: float16 on a CUDA GPU, bfloat16 on a processor that has "
        "instructions for it, else float32.",
    )
    attention: Literal["auto", "sdpa", "xformers"] = Field("auto", description="Attention backend.")
    accel: Literal["auto", "none", "graphs", "compile", "max"] = Field(
        "auto",
        description="How a tick is run: as plain PyTorch (none), captured as CUDA graphs (graphs), compiled by "
        "PyTorch, which takes up to a minute at the start (compile), or both after a longer search for the fastest "
        "kernels (max); auto: graphs on an NVIDIA GPU, without them where capturing fails, and none elsewhere.",
    )
    offload_text_encoder: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Move the text encoder off the accelerator after encoding; auto: when memory is short.",
    )
