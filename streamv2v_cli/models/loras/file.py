"""Reading LoRA files: kohya, LyCORIS, diffusers (old and new) and PEFT spellings become one list of updates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.files.kinds import LORA_NAMES
from streamv2v_cli.models.files.layout import damaged, raw_header, recognise, wrong_kind
from streamv2v_cli.models.files.soundness import check_finite
from streamv2v_cli.models.files.weights import read_tensors, shapes_of
from streamv2v_cli.models.loras.names import canonical, place_of
from streamv2v_cli.models.loras.update import LoraUpdate, Parameter, method_of, rank_of
from streamv2v_cli.text.json_text import from_json

if TYPE_CHECKING:
    import torch

__all__ = ["LoraFile", "choose_lora_file", "read_lora"]

_OTHER_METHODS = {"oft_": "OFT", ".on_input": "(IA)³", ".a1.weight": "GLoRA"}
_PLAIN: dict[str, Parameter] = {"diff": "weight", "diff_b": "bias", "w_norm": "weight", "b_norm": "bias"}
"""Differences as they are, and the parameter that each belongs to."""
_CALLED = {"lora_down.weight": "down (A)", "lora_up.weight": "up (B)"}


@dataclass
class LoraFile:
    """What is in a LoRA file.

    Attributes:
        updates: sorted by layer.
        unused: names of tensors that no update needs.
    """

    updates: list[LoraUpdate]
    unused: list[str]


@dataclass
class _Layer:
    """What a file says about one layer.

    Attributes:
        spelling: its name as the file has it.
        keys: of the file, by their names in `lora_names.WEIGHTS`.
        tensors: likewise.
    """

    spelling: str
    keys: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)


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


def read_lora(path: Path, *, allow_pickle: bool = False) -> LoraFile:
    """All updates in a LoRA file.

    Raises:
        ModelError: it is damaged, incomplete, no LoRA, made with another method, or pickled and not allowed.
    """
    layers: dict[tuple[str, str], _Layer] = {}
    unused = []
    tensors = read_tensors(path, allow_pickle=allow_pickle)
    _check_method(tensors, path)
    for key, tensor in tensors.items():
        place = place_of(key)
        if place is None:
            unused.append(key)
            continue
        part, name, weight = place
        layer = layers.setdefault((part, canonical(name)), _Layer(name))
        layer.keys[weight] = key
        # PEFT's norms are always those of the outputs, but have the shape of a picture's for a convolution.
        layer.tensors[weight] = tensor.flatten() if "lora_magnitude_vector" in key else tensor
    settings = _read_settings(path)
    updates = []
    for part, name in sorted(layers):
        layer = layers[part, name]
        updates += list(_updates(part, name, layer, settings, path))
        unused += layer.keys.values()
    if not updates:
        if (found := recognise(shapes_of(tensors))) not in ("LoRA", "unknown"):
            raise wrong_kind(repr(str(path)), found, "LoRA")
        example = f" (it has {min(unused)})" if unused else " (it is empty)"
        raise ModelError(
            f"{str(path)!r} holds no LoRA{example}.",
            "Give a LoRA in kohya, LyCORIS, diffusers or PEFT format.",
        )
    return LoraFile(updates, sorted(unused))


def _check_method(keys: Iterable[str], path: Path) -> None:
    for key in keys:
        for mark, method in _OTHER_METHODS.items():
            if mark in key:
                raise ModelError(
                    f"{str(path)!r} was made with {method} ({key}), which is not supported.",
                    "Merge it into a checkpoint with its trainer, or use a LoRA, LoHa or LoKr.",
                )
        if key.startswith("transformer."):
            raise ModelError(
                f"The LoRA {str(path)!r} was made for another family of models (it has {key}).",
                "Use a LoRA made for the model's own family: SD 1.x, SD 2.x or SDXL.",
            )


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
        raise ValueError(f"{what} is {str(value)[:60]}, which is not a number")
    return float(value)


def _own_alpha(patterns: Any, name: str) -> float | None:
    """The alpha that is given for one layer; None where it has that of all others.

    PEFT takes the names for regular expressions. Trainers write plain names; an expression can keep a processor busy
    for ever, and is refused.

    Raises:
        ValueError: it is no table of names and numbers.
    """
    if not isinstance(patterns, dict):
        raise ValueError("its alpha_pattern is not a table")
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


def _updates(
    part: str, name: str, layer: _Layer, settings: Mapping[str, Any], path: Path
) -> Iterator[LoraUpdate]:
    """The updates of a layer's parameters; takes the keys that they need out of `layer.keys`."""
    there, lacking = method_of(layer.tensors)
    if lacking:
        what = _CALLED.get(lacking[0], lacking[0])
        raise ModelError(
            f"The LoRA {str(path)!r} lacks the {what} weight of {layer.spelling}.", "Download it again."
        )
    for weight in (*there, *(["alpha", "dora_scale"] if there else []), *_PLAIN):
        if weight in layer.keys:
            _check_tensor(layer.tensors[weight], f"{layer.spelling} ({weight})", path)
            del layer.keys[weight]
    if there:
        chosen = [*there, *(["dora_scale"] if "dora_scale" in layer.tensors else [])]
        tensors = {weight: layer.tensors[weight] for weight in chosen}
        yield LoraUpdate(part, name, "weight", tensors, _scale(part, layer, tensors, settings))
    for weight, parameter in _PLAIN.items():
        if weight in layer.tensors:
            yield LoraUpdate(part, name, parameter, {"diff": layer.tensors[weight]})


def _check_tensor(tensor: torch.Tensor, what: str, path: Path) -> None:
    if not tensor.numel():
        raise ModelError(f"The LoRA {str(path)!r} has an empty weight for {what}.")
    check_finite([(what, tensor)], str(path))


def _scale(
    part: str, layer: _Layer, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]
) -> float:
    """Alpha over rank, of the file or of the settings beside it; 1 without an alpha, or where nothing has a rank."""

    def option(key: str) -> Any:
        return settings.get(f"{part}.{key}" if part else key)

    alpha = None
    if (given := layer.tensors.get("alpha")) is not None:
        value = given.item() if given.numel() == 1 else given.tolist()
        alpha = _number(value, f"the alpha of {layer.spelling}")
    else:
        for key in ("lora_alpha", "alpha"):  # PEFT has the second for LoHa and LoKr
            if option(key) is not None:
                alpha = _number(option(key), f"its {key}")
    if (own := _own_alpha(option("alpha_pattern") or {}, layer.spelling)) is not None:
        alpha = own
    rank = rank_of(tensors)
    if rank is None and option("r") is not None:
        rank = int(_number(option("r"), "its r"))
    if alpha is None or not rank:
        return 1.0
    return alpha / (sqrt(rank) if option("use_rslora") else rank)
