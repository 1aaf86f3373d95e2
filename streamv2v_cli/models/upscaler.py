"""Networks that enlarge pictures, from files of many architectures, by the library spandrel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from streamv2v_cli.errors import ModelError, StreamV2VError, reason_of
from streamv2v_cli.models.files.kinds import check_shapes
from streamv2v_cli.models.files.soundness import check_finite
from streamv2v_cli.models.files.weights import read_tensors, shapes_of
from streamv2v_cli.models.locate import upscaler_path
from streamv2v_cli.models.out_of_memory import (
    explaining_lack_of_memory,
    ran_out_of_memory,
    too_little_memory_for,
)

__all__ = ["load_upscaler"]


def load_upscaler(
    name: str, device: torch.device, dtype: torch.dtype, *, allow_pickle: bool = False
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What enlarges (1, 3, height, width) float pictures from -1 to 1 by the network's own factor.

    Args:
        name: path of its weights.
        device: where it runs.
        dtype: number format of the model; the network computes in float32 where it cannot use it.
        allow_pickle: read .pth, .pt and .ckpt files as well, of which only tensors are taken.

    Raises:
        ModelNotFoundError: the file does not exist.
        ModelError: the file is damaged, not allowed, or of no architecture that enlarges pictures.
        StreamV2VError: spandrel is not installed or does not load.
        DeviceError: there is too little memory.
    """
    path = upscaler_path(name)
    tensors = read_tensors(path, allow_pickle=allow_pickle)
    check_shapes(path, shapes_of(tensors), "upscaler")
    spandrel = _spandrel()
    try:
        whole = spandrel.canonicalize_state_dict(tensors)
        network = spandrel.ModelLoader(device="cpu").load_from_state_dict(whole)
    except spandrel.UnsupportedModelError as error:
        raise ModelError(
            f"{name!r} holds the weights of no upscaler that spandrel knows.",
            "Give another file with --upscale, or use --upscale guided.",
        ) from error
    except Exception as error:  # whatever an architecture makes of weights that are not its own
        if ran_out_of_memory(error):
            raise too_little_memory_for("the upscaler", device) from error
        raise ModelError(
            f"{name!r} holds the weights of no whole upscaler: {reason_of(error)}.", "Download it again."
        ) from error
    _check(network, name)
    check_finite(tensors.items(), repr(name))
    supported = {torch.float16: network.supports_half, torch.bfloat16: network.supports_bfloat16}
    chosen = dtype if supported.get(dtype) else torch.float32
    with explaining_lack_of_memory(lambda: too_little_memory_for("the upscaler", device)):
        network.eval().to(device, chosen)

    @torch.no_grad()
    def enlarge(picture: torch.Tensor) -> torch.Tensor:
        """In the range from 0 to 1 that such networks are trained for."""
        enlarged: torch.Tensor = network(picture.to(chosen).add(1).mul(0.5).clamp(0, 1))
        return enlarged.float().mul(2).sub(1)

    return enlarge


def _check(network: Any, name: str) -> None:
    """Raise a ModelError for a network that does not enlarge pictures in colour."""
    if (
        network.purpose == "SR"
        and network.scale > 1
        and (network.input_channels, network.output_channels) == (3, 3)
    ):
        return
    raise ModelError(
        f"{name!r} holds the weights of {network.architecture.name}, which does not enlarge pictures in colour.",
        "Give the weights of an upscaler with --upscale.",
    )


def _spandrel() -> Any:
    """The library; it imports torchvision, which may have been built for another PyTorch."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spandrel
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("spandrel", "torchvision", "einops"):
            raise StreamV2VError(
                f"An upscaler needs {error.name}, which is not installed.",
                "Run: pip install 'streamv2v[upscale]', or use --upscale guided.",
            ) from error
        raise StreamV2VError(
            f"An upscaler needs spandrel, and the one that is installed does not load beside PyTorch "
            f"{torch.__version__}: {reason_of(error)}.",
            "Install the torchvision that was built for it, or use --upscale guided.",
        ) from error
    return spandrel
