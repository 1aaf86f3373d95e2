"""ControlNets: which one a name means, what makes its pictures, and loading it. Imports no torch until it loads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ConfigError, ModelError
from streamv2v_cli.models.facts import ModelFacts, read_json
from streamv2v_cli.models.files.checkpoint import load_part
from streamv2v_cli.models.files.kinds import check_shapes
from streamv2v_cli.models.files.weights import fill, read_tensors, shapes_of

if TYPE_CHECKING:
    import torch
    from diffusers import ControlNetModel

    from streamv2v_cli.settings.schema import ControlNet as ControlNetOptions

__all__ = ["NAMED", "choose_controlnet", "choose_preprocessor", "load_controlnet"]

NAMED: dict[str, dict[str, str]] = {
    "canny": {
        "SD 1.x": "lllyasviel/control_v11p_sd15_canny",
        "SD 2.x": "thibaud/controlnet-sd21-canny-diffusers",
        "SDXL": "diffusers/controlnet-canny-sdxl-1.0",
    },
    "softedge": {
        "SD 1.x": "lllyasviel/control_v11p_sd15_softedge",
        "SD 2.x": "thibaud/controlnet-sd21-hed-diffusers",
        "SDXL": "SargeZT/controlnet-sd-xl-1.0-softedge-dexined",
    },
    "tile": {
        "SD 1.x": "lllyasviel/control_v11f1e_sd15_tile",
        "SDXL": "xinsir/controlnet-tile-sdxl-1.0",
    },
    "luma": {"SD 1.x": "latentcat/control_v1p_sd15_brightness"},
}
"""By the preprocessor and the family of the model."""
_WORDS = {**{name: name for name in NAMED}, "hed": "softedge", "pidi": "softedge", "brightness": "luma"}
"""Words in the names of ControlNets, and what makes their pictures."""


def choose_controlnet(source: str, family: str) -> str:
    """The ControlNet to load, a path or Hub id, by what the user called it.

    Raises:
        ModelError: it has a name, but none is known for models of this family.
    """
    named = NAMED.get(source)
    if named is None or Path(source).is_dir():
        return source
    if family not in named:
        raise ModelError(
            f"No ControlNet of the name {source!r} is known for models of the family {family}.",
            "Give a folder or a Hub id with --controlnet.",
        )
    return named[family]


def choose_preprocessor(options: ControlNetOptions) -> str:
    """What makes the pictures of a ControlNet: what is asked for, or what a word in its name says.

    Raises:
        ConfigError: neither says it.
    """
    if options.preprocessor != "auto":
        return options.preprocessor
    name = Path(options.source).name.lower()
    found = next((kind for word, kind in _WORDS.items() if word in name), None)
    if found is None:
        raise ConfigError(
            f"--controlnet {options.source}: the name does not tell what makes the control pictures.",
            f"Use --controlnet {options.source}:KIND, where KIND is {', '.join(NAMED)}, or video for "
            "--controlnet-video FILE.",
        )
    return found


def load_controlnet(
    path: Path, dtype: torch.dtype, facts: ModelFacts, *, allow_pickle: bool = False
) -> ControlNetModel:
    """A ControlNet from a diffusers folder or a single file, on the CPU; pickled ones with `allow_pickle`.

    A single file has no configuration: it has the sizes of the model's UNet, or does not fit.

    Raises:
        ModelError: it is damaged, of another kind, or was made for another family of models.
    """
    if path.is_file():
        return _from_file(path, dtype, facts, allow_pickle=allow_pickle)
    config = read_json(path / "config.json")
    _check_fits(config, facts, repr(str(path)))
    from diffusers import ControlNetModel

    module: ControlNetModel = load_part(ControlNetModel, path, "", dtype, allow_pickle=allow_pickle)
    return module


def _from_file(path: Path, dtype: torch.dtype, facts: ModelFacts, *, allow_pickle: bool) -> ControlNetModel:
    """One in the names of the original code, where also those for SDXL are kept, or of diffusers."""
    from diffusers import ControlNetModel
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    tensors = read_tensors(path, allow_pickle=allow_pickle)
    check_shapes(path, shapes_of(tensors), "ControlNet")
    known = inspect.signature(ControlNetModel.__init__).parameters
    module: ControlNetModel = ControlNetModel.from_config(
        {name: value for name, value in facts.unet.items() if name in known}
    )
    try:
        converted = convert_controlnet_checkpoint(tensors, dict(module.config))
        there = {name: tensor for name, tensor in converted.items() if tensor is not None}
        fill(module, there, "ControlNet", repr(str(path)))
    except ModelError as error:
        raise ModelError(error.message, f"Use one made for {facts.family} models.") from error
    return module.to(dtype)


def _check_fits(config: Mapping[str, Any], facts: ModelFacts, where: str) -> None:
    """Refuse what is no ControlNet, and one whose results the UNet cannot add."""
    if config.get("_class_name") != "ControlNetModel":
        raise ModelError(
            f"{where} holds a {config.get('_class_name')}, not a ControlNetModel.",
            "Give a ControlNet in diffusers format with --controlnet DIR.",
        )
    for option in ("cross_attention_dim", "block_out_channels", "layers_per_block"):
        given, wanted = config.get(option), facts.unet.get(option)
        if None not in (given, wanted) and given != wanted:
            raise ModelError(
                f"The ControlNet {where} has {option} {given}, the model {wanted}: it was made for another family.",
                f"Use one made for {facts.family} models.",
            )
    if config.get("controlnet_conditioning_channel_order", "rgb") != "rgb":
        raise ModelError(f"The ControlNet {where} takes its pictures in another order than RGB.")
