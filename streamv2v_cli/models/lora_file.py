"""Reading LoRA files: kohya, diffusers (old and new) and PEFT spellings become one list of updates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.layout import damaged, raw_header, recognise, wrong_kind
from streamv2v_cli.models.soundness import check_finite
from streamv2v_cli.models.weights import read_tensors, shapes_of
from streamv2v_cli.text.json_text import from_json

if TYPE_CHECKING:
    import torch

__all__ = ["LORA_NAMES", "LoraUpdate", "canonical", "choose_lora_file", "read_lora"]

LORA_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""The names that diffusers and PEFT give to a LoRA in a folder."""

_KOHYA = re.compile(
    r"lora_(?P<part>unet|te[12]?)_(?P<name>[^.]+)\.(?P<kind>lora_down\.weight|lora_up\.weight|alpha)"
)
_DOTTED = re.compile(
    r"(?P<name>.+?)"
    r"(?:\.lora_(?P<letter>[AB])(?:\.[A-Za-z]\w*)??\.weight"
    r"|\.lora(?:_linear_layer)?\.(?P<way>down|up)\.weight"
    r"|(?:\.processor)?\.to_(?P<old>q|k|v|out)_lora\.(?P<oldway>down|up)\.weight"
    r"|\.(?P<alpha>alpha))"
)
_PREFIXES = {
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "base_model.model.": "",
}
_KOHYA_PARTS = {"unet": "unet", "te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}
_OTHER_METHODS = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_mid": "CP-decomposed convolution",
    "oft_": "OFT",
}


@dataclass
class LoraUpdate:
    """The update of one layer: W + scale · up · down.

    Attributes:
        part: `unet`, `text_encoder`, `text_encoder_2`, or "" where the file does not say.
        name: the layer, in `canonical` spelling.
        down: (rank, inputs) for a linear layer, (rank, inputs, height, width) for a convolution.
        up: (outputs, rank), for a convolution with two further sides of 1.
        scale: alpha over rank, 1 where the file gives no alpha.
    """

    part: str
    name: str
    down: torch.Tensor
    up: torch.Tensor
    scale: float = 1.0


@dataclass
class _Pieces:
    """What a file says about one layer, before it is known to be complete."""

    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    alpha: float | None = None
    spelling: str = field(default="")


def canonical(name: str) -> str:
    """One spelling for a layer's name, whatever the trainer and the version of transformers call it."""
    return name.replace(".", "_").removeprefix("text_model_")


def choose_lora_file(names: Sequence[str], where: str) -> str:
    """The LoRA among the files of a folder or repository.

    Raises:
        ModelError: there is none, or several and no usual name.
    """
    for name in LORA_NAMES:
        if name in names:
            return name
    files = sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    if len(files) == 1:
        return files[0]
    found = f"several .safetensors files ({', '.join(files[:4])})" if files else "no .safetensors file"
    raise ModelError(f"The LoRA folder {where!r} has {found}.", "Give the path of one file with --lora PATH.")


def read_lora(path: Path, *, allow_pickle: bool = False) -> list[LoraUpdate]:
    """All updates in a LoRA file, sorted by layer.

    Raises:
        ModelError: it is damaged, incomplete, no LoRA, made with another method, or pickled and not allowed.
    """
    pieces: dict[tuple[str, str], _Pieces] = {}
    unknown = []
    tensors = read_tensors(path, allow_pickle=allow_pickle)
    _check_method(tensors, path)
    for key, tensor in tensors.items():
        if not _collect(pieces, key, tensor):
            unknown.append(key)
    if not pieces:
        if (found := recognise(shapes_of(tensors))) not in ("LoRA", "unknown"):
            raise wrong_kind(repr(str(path)), found, "LoRA")
        example = f" (it has {min(unknown)})" if unknown else " (it is empty)"
        raise ModelError(
            f"{str(path)!r} holds no LoRA{example}.", "Give a LoRA in kohya, diffusers or PEFT format."
        )
    if unknown:
        raise ModelError(
            f"The LoRA {str(path)!r} has {len(unknown)} weights of no known kind, such as {min(unknown)}.",
            "Supported are the lora_up/lora_down and lora_A/lora_B weights of a UNet and its text encoders.",
        )
    settings = _read_settings(path)
    return [_finish(part, name, pieces[part, name], settings, path) for part, name in sorted(pieces)]


def _check_method(keys: Iterable[str], path: Path) -> None:
    for key in keys:
        for mark, method in _OTHER_METHODS.items():
            if mark in key:
                raise ModelError(
                    f"{str(path)!r} was made with {method} ({key}), which is not supported.",
                    "Merge it into a checkpoint with its trainer, or use a plain LoRA.",
                )
        if key.startswith("transformer."):
            raise ModelError(
                f"The LoRA {str(path)!r} was made for another family of models (it has {key}).",
                "Use a LoRA made for the model's own family: SD 1.x, SD 2.x or SDXL.",
            )


def _collect(pieces: dict[tuple[str, str], _Pieces], key: str, tensor: torch.Tensor) -> bool:
    """Put one tensor where it belongs; False if its name is not understood."""
    if match := _KOHYA.fullmatch(key):
        part = _KOHYA_PARTS[match["part"]]
        name, kind = match["name"], match["kind"].split(".")[0].removeprefix("lora_")
    else:
        prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), "")
        part = _PREFIXES.get(prefix, "")
        match = _DOTTED.fullmatch(key.removeprefix(prefix))
        if not match:
            return False
        name, kind = _dotted_target(match, part)
    entry = pieces.setdefault((part, canonical(name)), _Pieces(spelling=name))
    if kind == "alpha":
        entry.alpha = _number(
            tensor.item() if tensor.numel() == 1 else tensor.tolist(), f"the alpha of {name}"
        )
    elif kind == "down":
        entry.down = tensor
    else:
        entry.up = tensor
    return True


def _dotted_target(match: re.Match[str], part: str) -> tuple[str, str]:
    if match["letter"]:
        return match["name"], {"A": "down", "B": "up"}[match["letter"]]
    if match["way"]:
        return match["name"], match["way"]
    if match["alpha"]:
        return match["name"], "alpha"
    # The first diffusers format named attention projections after the UNet's, in the text encoder as well.
    projection = f"{match['old']}_proj" if part.startswith("text_encoder") else f"to_{match['old']}"
    if projection == "to_out":
        projection = "to_out.0"
    return f"{match['name']}.{projection}", match["oldway"]


def _read_settings(path: Path) -> dict[str, Any]:
    """Alphas that PEFT writes in `adapter_config.json` and diffusers in the file's own header."""
    if path.name == "adapter_model.safetensors" and (path.parent / "adapter_config.json").is_file():
        return read_json(path.parent / "adapter_config.json")
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        settings = from_json(raw_header(path).get("__metadata__", {}).get("lora_adapter_metadata", "{}"))
    except ValueError as error:
        raise damaged(path, error) from error
    return settings if isinstance(settings, dict) else {}


def _number(value: Any, what: str) -> float:
    """A number of a LoRA's settings; a ValueError if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{what} is {str(value)[:60]}, which is no number")
    return float(value)


def _own_alpha(patterns: Any, name: str) -> float | None:
    """The alpha that is given for one layer; None where it has that of all others.

    PEFT takes the names for regular expressions. Trainers write plain names; an expression can keep a processor busy
    for ever, and is refused.

    Raises:
        ValueError: it is no table of names and numbers.
    """
    if not isinstance(patterns, dict):
        raise ValueError("its alpha_pattern is no table")
    found = None
    for pattern, value in patterns.items():
        plain = pattern.removeprefix("^").removesuffix("$")
        if not re.fullmatch(r"[\w.]*", plain.replace("\\.", ".")):
            raise ValueError(
                f"its alpha_pattern has the regular expression {pattern!r}, which is not supported"
            )
        plain = plain.replace("\\.", ".")
        if name == plain or (not pattern.startswith("^") and name.endswith(f".{plain}")):
            found = _number(value, f"the alpha of {plain}")
    return found


def _finish(part: str, name: str, pieces: _Pieces, settings: Mapping[str, Any], path: Path) -> LoraUpdate:
    if pieces.down is None or pieces.up is None:
        lacks = "down (A)" if pieces.down is None else "up (B)"
        raise ModelError(
            f"The LoRA {str(path)!r} lacks the {lacks} weight of {pieces.spelling}.", "Download it again."
        )
    if pieces.down.ndim < 2 or pieces.up.ndim < 2 or pieces.down.shape[0] != pieces.up.shape[1]:
        raise ModelError(f"The LoRA {str(path)!r} has weights of different ranks for {pieces.spelling}.")
    rank = int(pieces.down.shape[0])
    if not rank or not pieces.down.numel() or not pieces.up.numel():
        raise ModelError(f"The LoRA {str(path)!r} has an empty weight for {pieces.spelling}.")
    check_finite(
        [(f"{pieces.spelling} (down)", pieces.down), (f"{pieces.spelling} (up)", pieces.up)], str(path)
    )

    def option(key: str) -> Any:
        return settings.get(f"{part}.{key}" if part else key)

    alpha = pieces.alpha
    if alpha is None and option("lora_alpha") is not None:
        alpha = _number(option("lora_alpha"), "its lora_alpha")
    if (own := _own_alpha(option("alpha_pattern") or {}, pieces.spelling)) is not None:
        alpha = own
    divisor = sqrt(rank) if option("use_rslora") else rank
    return LoraUpdate(part, name, pieces.down, pieces.up, 1.0 if alpha is None else alpha / divisor)
