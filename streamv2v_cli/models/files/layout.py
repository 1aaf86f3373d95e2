"""Recognising what a single checkpoint file holds, from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamv2v_cli.errors import ModelError, reason_of
from streamv2v_cli.models.catalog import LAYOUTS
from streamv2v_cli.text.json_text import from_json

__all__ = [
    "OPTIONS",
    "check_checkpoint",
    "layout_of",
    "read_header",
    "read_metadata",
    "recognise",
    "wrong_kind",
]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
_PROMPT_KEY = UNET_PREFIX + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_INPUT_KEY = UNET_PREFIX + "input_blocks.0.0.weight"
_SIZE_KEY = UNET_PREFIX + "label_emb.0.0.weight"
_REFINER_SIZES = 2560
_DOUBLED = re.compile(r"(encoder|decoder)\.\d+\.conv\.0\.weight")
_WIDTHS = (768, 1024, 1280)
"""Of the tokens of CLIP's text encoders."""
_UPSCALERS = ("conv_first.", "model.1.sub.", "RRDB_trunk.")
TAESD_ENCODER, TAESD_DECODER = "TAESD encoder", "TAESD decoder"
_MARKS = {
    "IP-Adapter": ("image_proj.", "ip_adapter.", "to_k_ip."),
    "LoRA": ("lora_", ".lora.", "hada_w", "lokr_w", "oft_blocks", "dora_scale"),
    "ControlNet": (
        "input_hint_block.",
        "zero_convs.",
        "controlnet_cond_embedding.",
        "controlnet_down_blocks.",
    ),
    "motion module": ("motion_modules.",),
}
"""Parts of the names of tensors that only one kind has."""
OPTIONS = {
    "LoRA": "--lora PATH",
    "VAE": "--vae PATH",
    TAESD_ENCODER: "--vae PATH",
    TAESD_DECODER: "--vae PATH",
    "ControlNet": "--controlnet PATH",
    "embedding": "--embedding FILE",
    "IP-Adapter": "--ip-adapter PATH",
    "upscaler": "--upscale FILE",
    "model": "--model PATH",
    **dict.fromkeys(LAYOUTS, "--model PATH"),
}
"""What takes each kind."""
_CONFIG_REMEDY = "Give a folder with its diffusers configs and tokenizer with --model-config DIR."

_LONGEST_HEADER = 100_000_000
"""Bytes, as the library itself has it."""

Shapes = Mapping[str, tuple[int, ...]]


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a safetensors file, from its first bytes only.

    Raises:
        ModelError: the file is damaged or no safetensors file.
    """
    try:
        header = raw_header(path)
        return {name: _shape_in(entry) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself.

    Raises:
        ModelError: the file is damaged or no safetensors file.
    """
    try:
        said = raw_header(path).get("__metadata__") or {}
        return {str(name): str(value) for name, value in said.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise damaged(path, error) from error


def raw_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: of each tensor its format, shape and place, and metadata.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(path.stat().st_size, _LONGEST_HEADER):
            raise ValueError("its header is longer than the file or 100 MB")
        header = from_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not a table")
    return header


def _shape_in(entry: Any) -> tuple[int, ...]:
    shape = tuple(entry["shape"])
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"a tensor has the shape {list(shape)}")
    return shape


def damaged(path: Path, error: Exception) -> ModelError:
    """The error for a weights file that cannot be read."""
    return ModelError(
        f"{str(path)!r} is damaged or not what its name says: {reason_of(error)}.", "Download the file again."
    )


def recognise(shapes: Shapes) -> str:
    """Name what a file holds: `SD 1.x`, `SD 2.x`, `SDXL`, another kind of `OPTIONS`, or what is not supported."""
    if any(".joint_blocks." in name or name.startswith("joint_blocks.") for name in shapes):
        return "SD 3"
    if any("double_blocks." in name for name in shapes):
        return "Flux"
    for kind, marks in _MARKS.items():
        if any(mark in name for name in shapes for mark in marks):
            return kind
    if len(shapes.get(_INPUT_KEY, ())) == 4:
        return _family(shapes)
    if any(name.startswith("down_blocks.") for name in shapes):
        return "UNet in diffusers format"
    if "input_blocks.0.0.weight" in shapes:
        return "UNet"
    if any(name.startswith(("text_model.", "transformer.text_model.")) for name in shapes):
        return "text encoder"
    return _part(shapes)


def _family(shapes: Shapes) -> str:
    """What a UNet in the original names is."""
    channels = shapes[_INPUT_KEY][1]
    if channels != 4:
        return f"SD inpainting or editing ({channels} input channels)"
    if _SIZE_KEY in shapes:
        sizes = (shapes[_SIZE_KEY] or (0,))[-1]
        return "SDXL refiner" if sizes == _REFINER_SIZES else "SDXL"
    width = (shapes.get(_PROMPT_KEY) or (0,))[-1]
    return {768: "SD 1.x", 1024: "SD 2.x"}.get(width, f"SD-like, prompt width {width}")


def _part(shapes: Shapes) -> str:
    """What is told by the shapes of its tensors as well: tiny VAEs, embeddings, upscalers."""
    if any(_DOUBLED.fullmatch(name) and shape[1:2] == (2 * shape[0],) for name, shape in shapes.items()):
        return "VAE for videos"  # TAESDV and others of TAEHV, whose blocks take the frame before as well
    if len(shapes.get("0.weight", ())) == 4 and "1.conv.0.weight" in shapes:
        return TAESD_ENCODER
    if len(shapes.get("1.weight", ())) == 4 and "3.conv.0.weight" in shapes:
        return TAESD_DECODER
    if any(name.startswith(("encoder.", "decoder.", VAE_PREFIX)) for name in shapes):
        return "VAE"
    if shapes.keys() & {"emb_params", "clip_l", "clip_g"} or (
        len(shapes) == 1 and all(len(shape) in (1, 2) and shape[-1] in _WIDTHS for shape in shapes.values())
    ):
        return "embedding"
    if any(name.startswith(_UPSCALERS) for name in shapes) or (
        len(shapes.get("body.0.weight", ())) == 4 and len(shapes.get("body.1.weight", ())) == 1
    ):
        return "upscaler"
    return "unknown"


def wrong_kind(where: str, found: str, role: str) -> ModelError:
    """The error for a file or folder given in the wrong place.

    Args:
        where: the path, for messages.
        found: what it holds, as `recognise` says.
        role: what it was given as, such as `VAE`.
    """
    option = OPTIONS.get(found)
    remedy = f"Give it with {option}." if option else f"Give {_a(role)}; this is of no use here."
    return ModelError(f"{where} holds {_a(found)}, not {_a(role)}.", remedy)


def _a(noun: str) -> str:
    """A noun or the name of a family with its article, by how it is spoken."""
    noun = f"{noun} model" if noun in LAYOUTS else noun
    return f"{'an' if noun[0] in 'aeiouIS' else 'a'} {noun}"


def layout_of(path: Path, shapes: Shapes, config: Path | None) -> Path:
    """The folder with the configs of a single file: the given one, or that which comes with streamv2v.

    Raises:
        ModelError: the file cannot become a model; see `check_checkpoint`.
    """
    check_checkpoint(path, shapes, has_config=config is not None)
    return config or LAYOUTS[recognise(shapes)]


def check_checkpoint(path: Path, shapes: Shapes, *, has_config: bool) -> None:
    """Refuse a single file that cannot become a model.

    Args:
        path: the file, for messages.
        shapes: its tensors.
        has_config: whether the user gave a folder with configs, which then decides the sizes.

    Raises:
        ModelError: says what was recognised and what is supported.
    """
    found, where = recognise(shapes), repr(str(path))
    if found in LAYOUTS or (has_config and found.startswith("SD-like")):
        return
    if found.startswith("SD-like"):
        raise ModelError(
            f"{where} has the {found} layout; only the configs of SD 1.x, SD 2.x and SDXL come with streamv2v.",
            _CONFIG_REMEDY,
        )
    supported = "Supported are single files of the layouts of SD 1.x, SD 2.x and SDXL."
    remedies = {kind: f"Give it with {option} and a model with --model." for kind, option in OPTIONS.items()}
    remedies["UNet in diffusers format"] = "Give the whole diffusers folder with --model DIR."
    what = "nothing that is known" if found == "unknown" else f"{found} weights"
    raise ModelError(f"{where} holds {what}, not a whole supported model.", remedies.get(found, supported))
