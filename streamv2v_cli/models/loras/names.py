"""What trainers call the weights of a LoRA, and which layer of which part of the model each of them means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from streamv2v_cli.models.loras.original_names import original_name

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PARTS", "canonical", "layers_by_name", "place_of"]

PARTS = ("unet", "text_encoder", "text_encoder_2")

WEIGHTS = (
    *("lora_up.weight", "lora_down.weight", "lora_mid.weight"),
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
    *("diff", "diff_b", "w_norm", "b_norm", "alpha", "dora_scale"),
)
"""What kohya's trainer and LyCORIS call them."""
_PEFT = {
    "lora_A": "lora_down.weight",
    "lora_B": "lora_up.weight",
    "lora_magnitude_vector": "dora_scale",
}
_UNDERSCORED = re.compile(r"(?:lora_(?P<part>unet|te[12]?)|lycoris)_(?P<name>.+)")
_PART_OF = {None: "", "unet": "unet", "te": PARTS[1], "te1": PARTS[1], "te2": PARTS[2]}
_NAMED = re.compile(
    rf"(?P<layer>.+?)\.(?:(?P<weight>{'|'.join(map(re.escape, WEIGHTS))})"
    # PEFT may put the name of the adapter behind its own names.
    r"|(?P<peft>lora_[AB])(?:\.[A-Za-z]\w*)??\.weight|(?P<magnitude>lora_magnitude_vector)(?:\.[A-Za-z]\w*)??)"
)


def place_of(key: str) -> tuple[str, str, str] | None:
    """What the name of a tensor says; None if it is that of no LoRA.

    Returns:
        The part of the model ("" where it is not named), the layer, and one of `WEIGHTS`.
    """
    if match := _UNDERSCORED.fullmatch(key):
        part, name = _PART_OF[match["part"]], match["name"]
    else:
        name = key.removeprefix("base_model.model.")
        part = next((part for part in PARTS if name.startswith(f"{part}.")), "")
        name = _as_peft_has_it(name.removeprefix(f"{part}."), part)
    match = _NAMED.fullmatch(name)
    if match is None:
        return None
    return part, match["layer"], match["weight"] or _PEFT[match["peft"] or match["magnitude"]]


def _as_peft_has_it(name: str, part: str) -> str:
    """A name of one of diffusers' own formats, old or new, in the spelling of PEFT."""
    from diffusers.utils import convert_state_dict_to_peft, convert_unet_state_dict_to_peft
    from diffusers.utils.state_dict_utils import StateDictType

    # The first format named the projections of text encoders after the UNet's.
    format = StateDictType.DIFFUSERS_OLD if part.startswith("text_encoder") else StateDictType.DIFFUSERS
    (converted,) = convert_unet_state_dict_to_peft(convert_state_dict_to_peft({name: None}, format))
    return str(converted)


def canonical(name: str) -> str:
    """One spelling for a layer's name, whatever the trainer and the version of transformers call it."""
    return name.replace(".", "_").removeprefix("text_model_")


def layers_by_name(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of a UNet or text encoder by every name that trainers have for them, in `canonical` spelling."""
    from torch import nn

    kinds = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GroupNorm)
    named = {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}
    found: dict[str, nn.Module] = {canonical(name): layer for name, layer in named.items()}
    config: Any = module.config
    if "up_block_types" in config:
        attention_up = ["Attn" in block for block in config.up_block_types]
        layers = config.layers_per_block  # a number for all blocks, or one for each
        layers = [layers] * len(attention_up) if isinstance(layers, int) else layers
        for name, layer in named.items():
            found[canonical(original_name(name, layers, attention_up))] = layer
    return found
