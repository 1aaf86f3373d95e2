"""The options of pictures: their sizes, how results are enlarged, and what of the source stays."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from streamv2v_cli.settings.section import Section, none_by_name

__all__ = ["UPSCALE_METHODS", "Frames", "GuideOptions", "Mask"]

UPSCALE_METHODS = ("auto", "guided", "bicubic", "nearest")
UPSCALER_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
SMALLEST_SIDE = 16
LARGEST_SIDE = 8192


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


def _check_upscale(value: Any) -> str:
    """Accept the name of a method, or a file with weights."""
    text = str(value).strip()
    if text.lower() in UPSCALE_METHODS:
        return text.lower()
    if not text.lower().endswith(UPSCALER_SUFFIXES):
        methods, suffixes = ", ".join(UPSCALE_METHODS), ", ".join(UPSCALER_SUFFIXES)
        raise ValueError(f"must be one of {methods}, or a file with the weights of an upscaler ({suffixes})")
    return text


class GuideOptions(Section):
    """Guided upsampling: the source's detail at full size, as far as it explains the result."""

    strength: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "auto",
        description="Share of the source's detail in an enlarged result; 0 is bicubic; auto: what the model "
        "recommends for the style, else 1.",
    )
    radius: Literal["auto"] | Annotated[int, Field(ge=1, le=16)] = Field(
        "auto", description="Radius of the windows in pixels of the model's picture; auto: as above, else 2."
    )
    epsilon: Literal["auto"] | Annotated[float, Field(ge=1e-5, le=1)] = Field(
        "auto",
        description="Variance of the source that does not count as structure, of colours from 0 to 1; auto: as "
        "above, else 0.001.",
    )
    sharpen: Literal["auto"] | Annotated[float, Field(ge=1, le=16)] = Field(
        "auto",
        description="How many times steeper edges become, between the colours on both sides; 1 leaves them; auto: as "
        "above, else 1.",
    )


class Frames(Section):
    """Picture sizes, and how much of the source is seen."""

    size: Annotated[int | str, BeforeValidator(_check_size)] = Field(
        512, description="Size that the model works at: short side in pixels, WIDTHxHEIGHT or native."
    )
    multiple: int = Field(
        8, ge=1, le=128, description="Sides are rounded to this many pixels; a multiple of the VAE's factor."
    )
    output_size: Annotated[str, BeforeValidator(_check_output_size)] = Field(
        "source", description="Size of the output: source, model or WIDTHxHEIGHT."
    )
    upscale: Annotated[str, BeforeValidator(_check_upscale)] = Field(
        "auto",
        description="How a result is enlarged to a larger output: guided by the source, bicubic, nearest (blocks, at "
        "any size of the output), or by a network, given as a file with its weights; auto: what the model recommends "
        "for the style, else guided.",
    )
    guide: GuideOptions = Field(GuideOptions(), description="Guided upsampling.")
    grid: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="Side of the blocks that nearest makes of one colour, in pixels of the model's picture; auto: "
        "what the model recommends for the style, else 1.",
    )
    palette: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = Field(
        "auto",
        description="Levels of brightness that the colours of these blocks are drawn to, beside 16 hues and a few "
        "saturations; half-way between two a block keeps its shade, so that it does not jump; 0 leaves all colours; "
        "auto: what the model recommends for the style, else 0.",
    )
    match_colours: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How far the mean and spread of the result's colours are moved to those of the source.",
    )
    mix: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the restyled picture in the output, at the output's size; 0 is the source.",
    )


class Mask(Section):
    """Which part of the picture is restyled."""

    source: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        None,
        description="White is restyled, black stays as it is: an image, a video matched by time, or alpha for "
        "the input's own transparency; none restyles all.",
    )
    invert: bool = Field(False, description="Restyle all but the white part of the mask.")
    feather: float = Field(
        2.0,
        ge=0,
        le=500,
        description="How soft the border of the mask becomes: standard deviation of a Gaussian in pixels of the "
        "output.",
    )
    amount: float = Field(
        1.0, ge=0, le=1, description="Strength of the mask; at 0 the whole picture is restyled."
    )
