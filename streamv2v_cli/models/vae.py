"""Loading a VAE that is not part of the model: a folder, a snapshot or a single file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.catalog import LAYOUTS
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.files.checkpoint import load_part
from streamv2v_cli.models.files.kinds import check_shapes
from streamv2v_cli.models.files.layout import TAESD_DECODER, TAESD_ENCODER, VAE_PREFIX, recognise
from streamv2v_cli.models.files.soundness import check_sizes
from streamv2v_cli.models.files.weights import fill, read_tensors, shapes_of, with_new_names

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny

__all__ = ["load_vae", "other_half", "vae_factor"]

_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_TAESD_LAYER = re.compile(r"(encoder|decoder)\.(\d+)(?=\.)")
_CLASSES = ("AutoencoderTiny", "AutoencoderKL")


def load_vae(
    path: Path, dtype: torch.dtype, family: str, *, allow_pickle: bool = False
) -> AutoencoderKL | AutoencoderTiny:
    """An `AutoencoderTiny` or `AutoencoderKL` from a diffusers folder or a single file, on the CPU.

    A single file takes its config from `config.json` beside it; without one it must have the shape of TAESD
    or of the VAE of Stable Diffusion. The original files of TAESD come in pairs: with one the other is read.

    Args:
        path: of the folder or file.
        dtype: number format.
        family: of `LAYOUTS`, whose config a file without one is taken to have.
        allow_pickle: it may be a pickled file.

    Raises:
        ModelError: it is damaged, of another kind, or its config cannot be told.
    """
    if path.is_dir():
        cls = _vae_class(read_json(path / "config.json"), path)
        module: AutoencoderKL | AutoencoderTiny = load_part(cls, path, "", dtype, allow_pickle=allow_pickle)
        return module
    tensors = _tensors_of(path, allow_pickle=allow_pickle)
    beside = path.parent / "config.json"
    config = read_json(beside) if beside.is_file() else _guess_config(tensors, family, path)
    return _build(config, tensors, path, dtype)


def vae_factor(vae: AutoencoderKL | AutoencoderTiny) -> int:
    """Pixels per latent along each side: a power of two."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def _vae_class(config: Mapping[str, Any], path: Path) -> Any:
    import diffusers

    name = config.get("_class_name")
    if name not in _CLASSES:
        raise ModelError(f"{str(path)!r} holds a {name}, not a VAE of the supported kinds.", _supported())
    return getattr(diffusers, name)


def other_half(path: Path) -> Path | None:
    """The file with the other half of a TAESD in its original form, by its name; None for a name of another kind."""
    for one, other in (("encoder", "decoder"), ("decoder", "encoder")):
        if one in path.name:
            return path.with_name(path.name.replace(one, other))
    return None


def _tensors_of(path: Path, *, allow_pickle: bool) -> dict[str, torch.Tensor]:
    """The tensors of a VAE, of which a TAESD may be in two files, without a whole checkpoint's others."""
    tensors = read_tensors(path, allow_pickle=allow_pickle)
    check_shapes(path, shapes_of(tensors), "VAE")
    found = recognise(shapes_of(tensors))
    if found in (TAESD_ENCODER, TAESD_DECODER):
        other = _read_other_half(path, found, allow_pickle=allow_pickle)
        encoder, decoder = (tensors, other) if found == TAESD_ENCODER else (other, tensors)
        tensors = {f"encoder.{name}": x for name, x in encoder.items()}
        tensors |= {f"decoder.{name}": x for name, x in decoder.items()}
    if any(name.startswith(VAE_PREFIX) for name in tensors):
        tensors = {
            name[len(VAE_PREFIX) :]: value for name, value in tensors.items() if name.startswith(VAE_PREFIX)
        }
    return {_taesd_name(name): value for name, value in tensors.items() if name.startswith(_PARTS)}


def _read_other_half(path: Path, found: str, *, allow_pickle: bool) -> dict[str, torch.Tensor]:
    other = other_half(path)
    if other is None or not other.is_file():
        missing = f"'{other.name}'" if other else "which has 'encoder' or 'decoder' in its name"
        raise ModelError(
            f"{str(path)!r} is a {found}, one half of a VAE; the other, {missing}, is not beside it.",
            "Put both files into one folder under the names that they are published with.",
        )
    tensors = read_tensors(other, allow_pickle=allow_pickle)
    if {found, recognise(shapes_of(tensors))} != {TAESD_ENCODER, TAESD_DECODER}:
        raise ModelError(
            f"{str(other)!r} is not the other half of the {found} {path.name!r}.", "Download both again."
        )
    return tensors


def _taesd_name(name: str) -> str:
    """The name in diffusers of a layer of TAESD, whose decoder begins there with what follows the clamping."""
    match = _TAESD_LAYER.match(name)
    if match is None:
        return name
    return f"{match[1]}.layers.{int(match[2]) - (match[1] == 'decoder')}{name[match.end() :]}"


def _guess_config(tensors: Mapping[str, torch.Tensor], family: str, path: Path) -> dict[str, Any]:
    if {"encoder.layers.0.weight", "decoder.layers.0.weight"} <= tensors.keys():
        channels = tensors["decoder.layers.0.weight"].shape[1]
        return {"_class_name": "AutoencoderTiny", "latent_channels": channels}
    if "encoder.conv_in.weight" in tensors:
        return read_json(LAYOUTS[family] / "vae" / "config.json")
    raise ModelError(f"{str(path)!r} holds no VAE of the supported kinds.", _supported())


def _build(
    config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], path: Path, dtype: torch.dtype
) -> AutoencoderKL | AutoencoderTiny:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    cls = _vae_class(config, path)
    check_sizes(config, shapes_of(tensors), lambda: cls.from_config(config), f"The VAE in {str(path)!r}")
    module = cls.from_config(config)
    if "encoder.mid.block_1.conv1.weight" in tensors:
        tensors = convert_ldm_vae_checkpoint(tensors, dict(module.config))
    try:
        fill(module, with_new_names(module, tensors), "VAE", repr(str(path)))
    except ModelError as error:
        raise ModelError(
            error.message, "Give a folder that holds the weights with their config.json."
        ) from error
    loaded: AutoencoderKL | AutoencoderTiny = module.to(dtype)
    return loaded


def _supported() -> str:
    return (
        "Supported are AutoencoderTiny (such as madebyollin/taesd) and AutoencoderKL, as a folder or a file."
    )
