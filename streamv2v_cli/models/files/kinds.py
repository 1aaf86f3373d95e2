"""What a file or folder holds, so that one given in the wrong place is told from a damaged one. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.models.catalog import LAYOUTS
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.files.layout import (
    TAESD_DECODER,
    TAESD_ENCODER,
    VAE_PREFIX,
    read_header,
    recognise,
    wrong_kind,
)
from streamv2v_cli.models.files.weights import PICKLED, check_pickle

__all__ = ["LORA_NAMES", "check_place", "check_shapes", "given_file", "kind_of"]

LORA_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""The names that diffusers and PEFT give to a LoRA in a folder."""
_CLASSES = {
    "ControlNetModel": "ControlNet",
    "AutoencoderKL": "VAE",
    "AutoencoderTiny": "VAE",
    "UNet2DConditionModel": "UNet in diffusers format",
    "CLIPTextModel": "text encoder",
    "CLIPTextModelWithProjection": "text encoder",
    "MotionAdapter": "motion module",
}
"""By the class that a configuration names."""
_ALLOWED = {
    "VAE": ("VAE", TAESD_ENCODER, TAESD_DECODER),
    "model": (*LAYOUTS, "model"),
}


def given_file(name: str, role: str, option: str) -> Path:
    """The file that an option of the command line names.

    Raises:
        ModelNotFoundError: it does not exist.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise ModelNotFoundError(
            f"The {role} {name!r} does not exist.", f"Check the path given with {option}."
        )
    return path


def kind_of(path: Path) -> str:
    """What a file or folder holds: a kind of `OPTIONS` or what else `recognise` names, `unknown` where nothing tells.

    Pickled files are `pickled file`: nothing is known of them before they are read.

    Raises:
        ModelError: it is damaged.
    """
    if path.is_file():
        if path.suffix.lower() == ".safetensors":
            return recognise(read_header(path))
        return "pickled file" if path.suffix.lower() in PICKLED else "unknown"
    if (path / "model_index.json").is_file():
        return "model"
    if (path / "adapter_config.json").is_file() or any((path / name).is_file() for name in LORA_NAMES):
        return "LoRA"
    if not (path / "config.json").is_file():
        return "unknown"
    config = read_json(path / "config.json")
    named = config.get("_class_name") or next(iter(config.get("architectures") or ()), None)
    return _CLASSES.get(str(named), "unknown")


def check_place(path: Path, role: str, *, allow_pickle: bool) -> None:
    """Refuse a pickled file that is not allowed, and what is clearly something else than it was given as.

    Args:
        path: of a file or folder.
        role: `model`, `VAE`, `LoRA`, `LCM-LoRA`, `ControlNet`, `embedding` or `upscaler`.
        allow_pickle: pickled files may be read.

    Raises:
        ModelError: names the option that takes it.
    """
    check_pickle(path, allow_pickle)
    if path.is_file() and path.suffix.lower() == ".safetensors":
        check_shapes(path, read_header(path), role)
    elif path.is_dir():
        _check(path, kind_of(path), role)


def check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]], role: str) -> None:
    """The same for a file of which the tensors are known."""
    if role == "VAE" and any(name.startswith(VAE_PREFIX) for name in shapes):
        return  # it is taken out of a whole model
    _check(path, recognise(shapes), role)


def _check(path: Path, found: str, role: str) -> None:
    role = role.removeprefix("LCM-")
    found = "model" if found.startswith("SD-like") else found
    if found == "unknown" or found in _ALLOWED.get(role, (role,)):
        return
    if role == "VAE" and (path / "vae" / "config.json").is_file():
        raise ModelError(
            f"{str(path)!r} holds a whole model, not a VAE.", f"Give its folder with --vae '{path / 'vae'}'."
        )
    raise wrong_kind(repr(str(path)), found, role)
