"""Every option of streamv2v: its name, type, default, range and meaning, declared once.

The command-line flags, the YAML presets and `--set` overrides all go through these models.
`streamv2v_cli.settings.resolve` puts the layers together; nothing else restates a default.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from streamv2v_cli.settings.values import colour_value, rate_of

__all__ = [
    "Bank",
    "Compute",
    "Diffusion",
    "ExtendedAttention",
    "FeatureFusion",
    "Frames",
    "Guidance",
    "Input",
    "Lora",
    "Output",
    "Settings",
    "SkipSimilar",
    "Weights",
    "bits_of",
]


class Section(BaseModel):
    """A group of options: immutable, and strict about unknown keys; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _split_names(value: Any) -> Any:
    """Let `mid,up.0` stand for `[mid, up.0]`, and `none` for no layer at all."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    return [] if value == ["none"] else value


SMALLEST_SIDE = 16
LARGEST_SIDE = 8192

BlockNames = Annotated[tuple[str, ...], BeforeValidator(_split_names)]


def _check_sides(text: str, words: str) -> str:
    """Accept WIDTHxHEIGHT with sides that a video may have, or one of the words."""
    expected = f"must be {words} or WIDTHxHEIGHT with sides from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels"
    if not re.fullmatch(r"\d{1,9}x\d{1,9}", text):
        raise ValueError(expected)
    if not all(SMALLEST_SIDE <= int(side) <= LARGEST_SIDE for side in text.split("x")):
        raise ValueError(expected)
    return "x".join(str(int(side)) for side in text.split("x"))


def _check_size(value: Any) -> int | str:
    """Accept a short side in pixels, `WIDTHxHEIGHT` or `native`."""
    text = str(value).strip().lower()
    if text == "native":
        return text
    if re.fullmatch(r"\d{1,9}", text) and SMALLEST_SIDE <= int(text) <= LARGEST_SIDE:
        return int(text)
    return _check_sides(text, f"native, a short side from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")


def _check_output_size(value: Any) -> str:
    """Accept `source`, `model` or `WIDTHxHEIGHT`."""
    text = str(value).strip().lower()
    return text if text in ("source", "model") else _check_sides(text, "source, model")


def _check_device(value: str) -> str:
    """Accept the names of the devices that torch runs models on here."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
        raise ValueError("must be auto, cpu, mps, cuda or cuda:N")
    return value


def _none_by_name(value: Any) -> Any:
    """Let `none` and an empty value say that an optional value is not there."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "none", "null") else value


def _check_rate(value: Any) -> str | None:
    """Accept frames a second as a number or a fraction."""
    text = _none_by_name(value)
    return None if text is None else str(rate_of(str(text)))


def _check_bitrate(value: Any) -> str | None:
    """Accept bits a second with an optional k or M."""
    text = _none_by_name(value)
    if text is not None and (
        not re.fullmatch(r"\d{1,9}(\.\d{1,6})?[kM]?", str(text)) or bits_of(str(text)) < 1
    ):
        raise ValueError("must be bits a second, such as 2500k or 4M")
    return None if text is None else str(text)


def bits_of(text: str) -> int:
    """Bits a second from `2500k` or `4M`."""
    factor = {"k": 1000, "M": 1_000_000}.get(text[-1], 1)
    return int(float(text.rstrip("kM")) * factor)


def _check_pairs(pairs: tuple[str, ...]) -> tuple[str, ...]:
    """Accept NAME=VALUE."""
    for pair in pairs:
        if not re.fullmatch(r"[^=\s]+=.+", pair):
            raise ValueError(f"must be NAME=VALUE, such as tune=film, not {pair!r}")
    return pairs


def _check_colour(value: str) -> str:
    """Accept the name of a colour or its RRGGBB."""
    colour_value(value)
    return value.strip().lower()


def _one_or_more(value: Any) -> Any:
    """Let a lone item stand for a list of one, and `none` or an empty value for an empty list."""
    if isinstance(value, str):
        return () if _none_by_name(value) is None else (value,)
    return (value,) if isinstance(value, dict) else value


def _on_or_off(value: Any) -> Any:
    """Let true and yes stand for `on`, false and no for `off`: to YAML and to people they are the same."""
    word = str(value).strip().lower()
    return {"true": "on", "yes": "on", "false": "off", "no": "off"}.get(word, word)


class Guidance(Section):
    """Classifier-free guidance and the residual guidance of StreamDiffusion."""

    kind: Literal["none", "full", "self", "initialize"] = Field(
        "none",
        description="none; full classifier-free guidance (twice the UNet rows); residual guidance from the "
        "frame's own noise (self) or from one negative row (initialize).",
    )
    scale: float = Field(1.2, ge=0, le=30, description="Guidance scale (gamma); 1 guides nothing.")
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
        0.4, gt=0, le=1, description="How much of the noise schedule is used: more restyles more."
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
        description="UNet blocks whose attention output is fused; only low resolutions, or it blurs.",
    )
    threshold: float = Field(
        0.98,
        ge=-1,
        le=1,
        description="Fuse a token only if its nearest banked token is at least this cosine near.",
    )
    alpha: float = Field(0.75, ge=0, le=1, description="Weight of the banked feature in the blend.")


class MotionFusionOptions(Section):
    """Motion fusion: each result is blended with the one before it, carried along the motion of the source."""

    alpha: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="Share of the frame before in what the source shows unchanged; 0 is off, 0.9 is steady.",
    )
    tolerance: float = Field(
        0.3,
        gt=0,
        le=10,
        description="Mean squared difference of the source's latents at which that share falls to a third.",
    )
    detail: float = Field(
        0.2, ge=0, le=1, description="How much of that share fine detail gets; 1 is steadier and softer."
    )


class Bank(Section):
    """The feature bank: what a frame remembers of the past."""

    kind: Literal["none", "queue", "dyme"] = Field(
        "dyme",
        description="none (every frame alone), queue (the last frames as they are), dyme (dynamic merging).",
    )
    size: int = Field(
        1, ge=1, le=16, description="Frames that a queue holds; dyme always holds one frame's worth."
    )
    interval: int = Field(4, ge=1, le=64, description="The bank takes in every interval-th frame.")
    stratified: bool = Field(
        False, description="dyme: split neighbouring pairs of tokens instead of any at random."
    )
    reset_on_cut: bool = Field(True, description="Detect scene cuts; the bank starts afresh at each.")
    attention: ExtendedAttention = Field(ExtendedAttention(), description="Extended self-attention.")
    fuse: FeatureFusion = Field(FeatureFusion(), description="Feature fusion.")
    motion: MotionFusionOptions = Field(MotionFusionOptions(), description="Motion fusion.")


class SkipSimilar(Section):
    """Reuse the last result for frames that hardly differ from the last translated one."""

    enabled: bool = Field(
        False, description="Skip frames that are nearly the same as the last translated one."
    )
    threshold: float = Field(
        0.98, ge=0, le=1, description="Cosine similarity above which a frame is skipped."
    )
    max_skip: int = Field(10, ge=1, description="Frames skipped in a row at most.")


class Frames(Section):
    """Picture sizes."""

    size: Annotated[int | str, BeforeValidator(_check_size)] = Field(
        512, description="Size that the model works at: short side in pixels, WIDTHxHEIGHT or native."
    )
    multiple: int = Field(
        8, ge=1, le=128, description="Sides are rounded to this many pixels; a multiple of the VAE's factor."
    )
    output_size: Annotated[str, BeforeValidator(_check_output_size)] = Field(
        "source", description="Size of the output: source, model or WIDTHxHEIGHT."
    )


class Lora(Section):
    """One LoRA with its weight; written `PATH_OR_ID` or `PATH_OR_ID:WEIGHT`."""

    source: str = Field(min_length=1, description="A .safetensors file, a folder or a Hub id.")
    weight: float = Field(1.0, ge=-10, le=10, description="Factor on the LoRA's update.")

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, str):
            head, colon, tail = value.rpartition(":")
            try:
                return {"source": head, "weight": float(tail)} if colon and head else {"source": value}
            except ValueError:
                return {"source": value}
        return value


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
        description="LCM-LoRA: auto (if the UNet is no consistency or turbo model), none, a path or Hub id.",
    )
    loras: Annotated[tuple[Lora, ...], BeforeValidator(_one_or_more)] = Field(
        (), description="LoRAs fused into the model: PATH_OR_ID[:WEIGHT]."
    )
    config: Annotated[str | None, BeforeValidator(_none_by_name)] = Field(
        None, description="Folder with the diffusers configs and tokenizer of a single-file model."
    )
    allow_pickle: bool = Field(
        False,
        description="Read .ckpt, .pt and .pth files as well, of which only tensors are taken; safetensors need no "
        "trust.",
    )


class Compute(Section):
    """Where and how the model runs."""

    device: Annotated[str, AfterValidator(_check_device)] = Field(
        "auto",
        description="Device: cpu, mps, cuda, cuda:N, or auto for the first that there is of cuda, mps, cpu.",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="Number format of the model; auto: float16 on a CUDA GPU, bfloat16 on a processor that has "
        "instructions for it, else float32.",
    )
    attention: Literal["auto", "sdpa", "xformers"] = Field("auto", description="Attention backend.")
    accel: Literal["auto", "none", "graphs", "compile", "max"] = Field(
        "auto",
        description="How a tick is run: as it is written (none), captured as CUDA graphs (graphs), compiled by "
        "PyTorch, which takes up to a minute at the start (compile), or both after a longer search for the fastest "
        "kernels (max); auto: graphs on an NVIDIA GPU, without them where capturing fails, and none elsewhere.",
    )
    offload_text_encoder: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Move the text encoder off the accelerator after encoding; auto: when memory is short.",
    )


class Input(Section):
    """How an input is read, and how its pictures are made ready."""

    hdr: Literal["tonemap", "clip", "keep"] = Field(
        "tonemap",
        description="HDR and BT.2020 inputs become SDR BT.709 with highlights compressed (tonemap) or cut off "
        "above SDR white (clip), or stay as they are with their tags (keep).",
    )
    deinterlace: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = Field(
        "auto",
        description="Deinterlace frames that are marked as interlaced (auto), all of them (on) or none (off).",
    )
    background: Annotated[str, AfterValidator(_check_colour)] = Field(
        "black", description="What transparent pictures are laid on: the name of a colour or RRGGBB."
    )
    live: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = Field(
        "auto",
        description="A live source does not wait: frames that come faster than they can be translated are "
        "dropped, the oldest first, and a lost connection is made again. auto: cameras, rtsp, rtmp, udp and rtp.",
    )
    rtsp_transport: Literal["tcp", "udp", "udp_multicast", "http"] = Field(
        "tcp", description="How RTSP brings the pictures: over its own connection (tcp), or otherwise."
    )
    timeout: float = Field(
        10,
        gt=0,
        le=3600,
        description="Seconds to wait for a network source or camera to answer, and for its next data.",
    )
    reconnect: int = Field(
        5,
        ge=0,
        le=1_000_000,
        description="How often in a row to try to reach a live source again that ended or fell silent, after "
        "0.5 s, 1 s, 2 s and so on up to 30 s; 0 takes its end for the end. A frame that arrives starts the count "
        "anew.",
    )
    on_error: Literal["skip", "stop"] = Field(
        "skip",
        description="Packets of a file that cannot be read or decoded are left out and counted (skip), or end the "
        "run with what came before them saved (stop).",
    )
    references: Literal["none", "files", "all"] = Field(
        "none",
        description="What a playlist or another file may open by itself: nothing (none), files on this machine "
        "(files), or addresses on the network as well (all).",
    )
    hwaccel: Literal[
        "none",
        "auto",
        "cuda",
        "videotoolbox",
        "d3d11va",
        "d3d12va",
        "dxva2",
        "vaapi",
        "vdpau",
        "vulkan",
    ] = Field(
        "none",
        description="What decodes the video: the processor (none), the first device of this machine that can, else "
        "the processor (auto), or a device by FFmpeg's name.",
    )


class Output(Section):
    """The encoded video."""

    codec: str = Field("libx264", min_length=1, description="Video encoder, by its FFmpeg name.")
    crf: Annotated[float | None, BeforeValidator(_none_by_name)] = Field(
        18,
        ge=0,
        le=63,
        description="Constant rate factor: lower is better and larger; none leaves it to the encoder.",
    )
    preset: Annotated[str | None, BeforeValidator(_none_by_name)] = Field(
        "medium", description="Encoder preset, such as fast or slow; none leaves it to the encoder."
    )
    pix_fmt: str = Field("yuv420p", min_length=1, description="Pixel format of the encoded video.")
    audio: Literal["copy", "none"] = Field(
        "copy",
        description="Copy the audio streams, encoded anew only where the container cannot hold them, or leave "
        "them out.",
    )
    subtitles: Literal["copy", "none"] = Field(
        "copy",
        description="Copy the subtitles, in another text form where the container needs it, or leave them out.",
    )
    side_by_side: bool = Field(
        False,
        description="Show the source to the left of the result; each has the size of the result.",
    )
    metadata: Literal["copy", "none"] = Field(
        "copy", description="Copy the input's metadata and add how the video was made, or write none of both."
    )
    format: Literal[
        "auto",
        "matroska",
        "mp4",
        "mov",
        "webm",
        "avi",
        "mpegts",
        "nut",
        "flv",
        "yuv4mpegpipe",
        "rawvideo",
        "image2",
    ] = Field(
        "auto",
        description="Container; auto: by the extension or the protocol of the output, matroska for standard output.",
    )
    rate: Annotated[str | None, BeforeValidator(_check_rate)] = Field(
        None,
        description="Resample to so many frames a second, such as 25 or 30000/1001, by repeating frames and "
        "leaving them out; none keeps each frame at its own time.",
    )
    bitrate: Annotated[str | None, BeforeValidator(_check_bitrate)] = Field(
        None, description="Bits a second, such as 2500k or 4M, in place of crf; none encodes by quality."
    )
    keyint: int | None = Field(
        None, ge=1, le=100_000, description="Frames from one keyframe to the next at most."
    )
    encoder_opt: Annotated[tuple[str, ...], BeforeValidator(_one_or_more), AfterValidator(_check_pairs)] = (
        Field((), description="Any other option of the encoder, as NAME=VALUE.")
    )


class Settings(Section):
    """The whole configuration."""

    model: str = Field(
        "mini",
        min_length=1,
        description="Model: a name (mini, sd15, ...), a folder, a Hub id or a single file.",
    )
    prompt: str = Field("", description="What the video should look like.")
    negative_prompt: str = Field(
        "", description="What it should not look like; used by guidance full and initialize."
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the noises and of the bank's partitions.")
    translator: Literal["diffusion", "passthrough"] = Field(
        "diffusion",
        description="passthrough copies the pictures unchanged, to check a pipeline without a model.",
    )
    lookahead: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="Frames computed in one call, with the same result; auto: bank.interval, or 1 if live.",
    )
    diffusion: Diffusion = Field(Diffusion(), description="Denoising.")
    bank: Bank = Field(Bank(), description="Feature bank.")
    skip_similar: SkipSimilar = Field(SkipSimilar(), description="Similar-frame filter.")
    frame: Frames = Field(Frames(), description="Picture sizes.")
    weights: Weights = Field(Weights(), description="Weights beside the model's own.")
    compute: Compute = Field(Compute(), description="Device and number format.")
    input: Input = Field(Input(), description="How the input is read.")
    output: Output = Field(Output(), description="Encoder.")

    @model_validator(mode="after")
    def _schedule_fits(self) -> Settings:
        available = self.diffusion.available_timesteps
        if available < self.diffusion.steps:
            raise ValueError(
                f"diffusion.strength {self.diffusion.strength:g} of diffusion.grid {self.diffusion.grid} "
                f"leaves {available} timesteps, too few for diffusion.steps {self.diffusion.steps}; "
                "raise diffusion.strength or lower diffusion.steps"
            )
        return self
