"""Loading a VAE that is not part of the model: a folder, a snapshot or a single file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.catalog import LAYOUTS
from streamv2v_cli.models.checkpoint import load_part
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.layout import VAE_PREFIX
from streamv2v_cli.models.soundness import check_sizes
from streamv2v_cli.models.weights import fill, read_tensors

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny

__all__ = ["load_vae", "vae_factor"]

_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_CLASSES = ("AutoencoderTiny", "AutoencoderKL")


def load_vae(
    path: Path, dtype: torch.dtype, family: str, *, allow_pickle: bool = False
) -> AutoencoderKL | AutoencoderTiny:
    """An `AutoencoderTiny` or `AutoencoderKL` from a diffusers folder or a single file, on the CPU.

    A single file takes its config from `config.json` beside it; without one it must have the shape of TAESD
    or of the VAE of Stable Diffusion.

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
        module: AutoencoderKL | AutoencoderTiny = load_part(cls, path, "", dtype)
        return module
    tensors = _plain_names(read_tensors(path, allow_pickle=allow_pickle))
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


def _plain_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop a whole checkpoint's prefix and training leftovers, and renew the names of old diffusers files."""
    if any(name.startswith(VAE_PREFIX) for name in tensors):
        tensors = {
            name[len(VAE_PREFIX) :]: value for name, value in tensors.items() if name.startswith(VAE_PREFIX)
        }
    plain = {}
    for name, value in tensors.items():
        if name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")):
            for old, new in _OLD_ATTENTION.items():
                name = name.replace(old, new)
            plain[name] = value
    return plain


def _guess_config(tensors: Mapping[str, torch.Tensor], family: str, path: Path) -> dict[str, Any]:
    if "encoder.layers.0.weight" in tensors:
        return {"_class_name": "AutoencoderTiny"}
    if "encoder.conv_in.weight" in tensors:
        return read_json(LAYOUTS[family] / "vae" / "config.json")
    raise ModelError(f"{str(path)!r} holds no VAE of the supported kinds.", _supported())


def _build(
    config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], path: Path, dtype: torch.dtype
) -> AutoencoderKL | AutoencoderTiny:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    cls = _vae_class(config, path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_sizes(config, shapes, lambda: cls.from_config(config), f"The VAE in {str(path)!r}")
    module = cls.from_config(config)
    if "encoder.mid.block_1.conv1.weight" in tensors:
        tensors = convert_ldm_vae_checkpoint(tensors, dict(module.config))
    try:
        fill(module, tensors, "VAE", repr(str(path)))
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
