"""Every option of streamv2v: its name, type, default, range and meaning, declared once.

The command-line flags, the YAML presets and `--set` overrides all go through these models.
`streamv2v_cli.settings.resolve` puts the layers together; nothing else restates a default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from streamv2v_cli.settings.control_options import Control, ControlNet
from streamv2v_cli.settings.engine_options import (
    Bank,
    Compute,
    Diffusion,
    Embedding,
    ExtendedAttention,
    FeatureFusion,
    Guidance,
    Lora,
    SkipSimilar,
    Weights,
)
from streamv2v_cli.settings.media_options import Input, Output, bits_of
from streamv2v_cli.settings.picture_options import Frames, GuideOptions, Mask
from streamv2v_cli.settings.section import Section
from streamv2v_cli.settings.style_options import Style, StyleImage

__all__ = [
    "Bank",
    "Compute",
    "Control",
    "ControlNet",
    "Diffusion",
    "Embedding",
    "ExtendedAttention",
    "FeatureFusion",
    "Frames",
    "Guidance",
    "GuideOptions",
    "Input",
    "Lora",
    "Mask",
    "Output",
    "Section",
    "Settings",
    "SkipSimilar",
    "Style",
    "StyleImage",
    "Weights",
    "bits_of",
]


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
    clip_skip: int = Field(
        0,
        ge=0,
        le=48,
        description="Number of layers to leave out at the end of the text encoders, counted as in diffusers.",
    )
    quality: Literal["auto", "fast", "good", "best"] = Field(
        "auto",
        description="Size, steps and enlargement as the model recommends them for fast, good or best; other options "
        "override it. auto: what it recommends in general; on a GPU good, if it says what that is.",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the noise and of the bank's partitions.")
    translator: Literal["diffusion", "passthrough"] = Field(
        "diffusion",
        description="passthrough copies the pictures unchanged, to check a pipeline without a model.",
    )
    lookahead: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="Frames computed in one call, with the same result up to rounding; auto: bank.interval, or 1 "
        "if live.",
    )
    diffusion: Diffusion = Field(Diffusion(), description="Denoising.")
    control: Control = Field(Control(), description="ControlNets.")
    style: Style = Field(Style(), description="Style pictures.")
    bank: Bank = Field(Bank(), description="Feature bank.")
    skip_similar: SkipSimilar = Field(SkipSimilar(), description="Similar-frame filter.")
    frame: Frames = Field(Frames(), description="Picture sizes and mix.")
    mask: Mask = Field(Mask(), description="Which part of the picture is restyled.")
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
