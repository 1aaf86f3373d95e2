"""IP-Adapters: what they make of the style pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.adapters.ip_adapter_files import AdapterFiles, AdapterShapes
from streamv2v_cli.models.facts import ModelFacts, read_json
from streamv2v_cli.models.files.checkpoint import load_part
from streamv2v_cli.models.files.soundness import check_finite
from streamv2v_cli.models.files.weights import read_tensors
from streamv2v_cli.models.model import AdapterFeatures

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from diffusers import UNet2DConditionModel

__all__ = ["adapter_features"]


def adapter_features(
    files: AdapterFiles,
    unet: UNet2DConditionModel,
    pictures: Sequence[np.ndarray],
    facts: ModelFacts,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, AdapterFeatures]:
    """What an IP-Adapter makes of pictures, for each cross-attention layer; nothing else of it is kept.

    Args:
        files: the adapter.
        unet: of the model, with its own attention processors.
        pictures: (height, width, 3) uint8 each.
        facts: of the model.
        device, dtype: where and in what number format.

    Raises:
        ModelError: it is damaged, was made for another family of models or with another image encoder.
    """
    where = f"The IP-Adapter {str(files.weights)!r}"
    shapes = AdapterShapes.of(files.weights)
    _check_fits(shapes, unet, files, facts)
    tensors = read_tensors(files.weights)
    check_finite(tensors.items(), where)
    parts = {
        part: {
            x.removeprefix(f"{part}."): tensor for x, tensor in tensors.items() if x.startswith(f"{part}.")
        }
        for part in ("image_proj", "ip_adapter")
    }
    converted: Any = unet
    processors = converted._convert_ip_adapter_attn_to_diffusers([parts], low_cpu_mem_usage=False)
    projection = converted._convert_ip_adapter_image_proj_to_diffusers(
        parts["image_proj"], low_cpu_mem_usage=False
    )
    tokens, negative = _read(
        files.encoder, projection.to(device, dtype).eval(), pictures, shapes, device, dtype
    )
    features = {}
    for name, processor in processors.items():
        if name.endswith("attn2.processor"):
            to_k, to_v = (x[0].to(device, dtype) for x in (processor.to_k_ip, processor.to_v_ip))
            read = (to_k(tokens), to_v(tokens), to_k(negative), to_v(negative))
            features[name.removesuffix(".processor")] = AdapterFeatures(*(x.detach() for x in read))
    return features


def _read(
    folder: Path,
    projection: Any,
    pictures: Sequence[np.ndarray],
    shapes: AdapterShapes,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the adapter reads of the pictures, and of none, as in diffusers: (pictures, tokens, width) each."""
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    folder = folder.absolute()
    encoder = load_part(CLIPVisionModelWithProjection, folder.parent, folder.name, dtype, stem="model")
    encoder = encoder.to(device, dtype).eval()
    side = encoder.config.image_size
    prepare = CLIPImageProcessor(size=side, crop_size=side)
    prepared = prepare(list(pictures), return_tensors="pt", input_data_format="channels_last").pixel_values
    shown = prepared.to(device, dtype)
    with torch.no_grad():
        if shapes.is_pooled:
            seen = encoder(shown).image_embeds
            return projection(seen), projection(torch.zeros_like(seen))
        seen, nothing = (
            encoder(x, output_hidden_states=True).hidden_states[-2] for x in (shown, torch.zeros_like(shown))
        )
        return projection(seen), projection(nothing)


def _check_fits(
    shapes: AdapterShapes, unet: UNet2DConditionModel, files: AdapterFiles, facts: ModelFacts
) -> None:
    """Refuse an adapter whose layers are not those of the UNet, and an image encoder that is not its own."""
    wanted = tuple(
        tuple(module.to_k.weight.shape) for name, module in unet.named_modules() if name.endswith("attn2")
    )
    if shapes.layers != wanted:
        raise ModelError(
            f"The IP-Adapter {str(files.weights)!r} was made for another family: it has {len(shapes.layers)} "
            f"layers for prompts of width {shapes.layers[0][-1]}, the model {len(wanted)} for "
            f"{facts.cross_attention_dim}.",
            f"Use one made for {facts.family} models.",
        )
    if not shapes.taken_from(read_json(files.encoder / "config.json")):
        raise ModelError(
            f"The image encoder in {str(files.encoder)!r} does not give the {shapes.image_width} channels that the "
            f"IP-Adapter {str(files.weights)!r} takes.",
            "Give the encoder that it was trained with, with --set style.encoder=DIR.",
        )
