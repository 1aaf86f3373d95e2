"""Writing a tiny diffusers folder as one checkpoint in the key layout of the original Stable Diffusion code.

Written from the layout itself (input_blocks, middle_block, output_blocks, first_stage_model,
cond_stage_model or conditioner), as the inverse of what a loader does, so that tests can compare bit for bit.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "time_embedding.cond_proj": "time_embed.cond_proj",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_key(name: str, layers: int, attention_up: list[bool]) -> str:
    """`layers` is layers_per_block; `attention_up` tells which up blocks have attention."""
    stem, _, leaf = name.rpartition(".")
    if stem in UNET_TOP:
        return f"{UNET_TOP[stem]}.{leaf}"
    match = re.fullmatch(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.+)", name)
    if match:
        side, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        if kind == "downsamplers":
            return f"input_blocks.{1 + block * (layers + 1) + layers}.0.{rest.replace('conv', 'op')}"
        if kind == "upsamplers":
            return f"output_blocks.{block * (layers + 1) + layers}.{2 if attention_up[block] else 1}.{rest}"
        first = 1 + block * (layers + 1) if side == "down" else block * (layers + 1)
        place = f"{'input' if side == 'down' else 'output'}_blocks.{first + layer}"
        return f"{place}.0.{resnet_key(rest)}" if kind == "resnets" else f"{place}.1.{rest}"
    match = re.fullmatch(r"mid_block\.(\w+)\.(\d)\.(.+)", name)
    assert match, name
    if match[1] == "attentions":
        return f"middle_block.1.{match[3]}"
    return f"middle_block.{2 * int(match[2])}.{resnet_key(match[3])}"


def resnet_key(name: str) -> str:
    part, _, leaf = name.partition(".")
    return f"{RESNET[part]}.{leaf}"


def vae_key(name: str, levels: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name
    )
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    match = re.fullmatch(r"(.+)\.mid_block\.attentions\.0\.(.+)\.(weight|bias)", name)
    return f"{match[1]}.mid.attn_1.{VAE_ATTENTION[match[2]]}.{match[3]}" if match else name


def clip_tensors(source: Tensors, place: str = "cond_stage_model.") -> Tensors:
    """SD 1.x: the names of transformers under `cond_stage_model.transformer`, with a stored constant."""
    prefix = place + "transformer.text_model."
    named = {prefix + name.removeprefix("text_model."): value for name, value in source.items()}
    return {**named, prefix + "embeddings.position_ids": torch.arange(77)[None]}


def open_clip_tensors(source: Tensors, place: str = "cond_stage_model.") -> Tensors:
    """SD 2.x: the names of OpenCLIP, with q, k and v in one matrix."""
    prefix = place + "model."
    found: Tensors = {}
    for full, value in source.items():
        name = full.removeprefix("text_model.")
        if name == "text_projection.weight":
            continue
        if name.startswith("embeddings."):
            short = {"token": "token_embedding.weight", "position": "positional_embedding"}
            found[prefix + short[name.split(".")[1].split("_")[0]]] = value
        elif name.startswith("final_layer_norm."):
            found[prefix + name.replace("final_layer_norm", "ln_final")] = value
        elif ".q_proj." in name:
            qkv = [source[full.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            found[prefix + _open_clip_key(name.replace("q_proj.", "in_proj_"))] = torch.cat(qkv)
        elif ".k_proj." not in name and ".v_proj." not in name:
            found[prefix + _open_clip_key(name)] = value
    width = source[next(name for name in source if name.endswith("token_embedding.weight"))].shape[1]
    return {
        **found,
        prefix + "text_projection": source.get("text_projection.weight", torch.zeros(width, width)).T,
        prefix + "logit_scale": torch.ones(()),
    }


def _open_clip_key(name: str) -> str:
    names = {
        "encoder.layers.": "transformer.resblocks.",
        "self_attn": "attn",
        "layer_norm": "ln_",
        "fc1": "c_fc",
        "fc2": "c_proj",
    }
    for old, new in names.items():
        name = name.replace(old, new)
    return name


Text = Literal["clip", "open_clip", "sgm", "xl"]


def single_file_tensors(folder: Path, text: Text = "clip") -> Tensors:
    """All tensors of a diffusers folder with an AutoencoderKL, under their original names."""
    config: dict[str, Any] = json.loads((folder / "unet/config.json").read_text())
    attention_up = ["Attn" in block for block in config["up_block_types"]]
    tensors = {
        "model.diffusion_model." + unet_key(name, config["layers_per_block"], attention_up): value
        for name, value in load_file(folder / "unet/diffusion_pytorch_model.safetensors").items()
    }
    levels = len(json.loads((folder / "vae/config.json").read_text())["block_out_channels"])
    for name, value in load_file(folder / "vae/diffusion_pytorch_model.safetensors").items():
        convolution = ".attentions." in name and name.endswith("weight") and value.ndim == 2
        tensors["first_stage_model." + vae_key(name, levels)] = (
            value[..., None, None] if convolution else value
        )
    encoder = load_file(folder / "text_encoder/model.safetensors")
    first, second = "conditioner.embedders.0.", "conditioner.embedders.1."
    if text == "clip":
        tensors |= clip_tensors(encoder)
    elif text == "xl":
        tensors |= clip_tensors(encoder, first)
        tensors |= open_clip_tensors(load_file(folder / "text_encoder_2/model.safetensors"), second)
    else:
        tensors |= open_clip_tensors(encoder, *([first] if text == "sgm" else []))
    tensors["alphas_cumprod"] = torch.linspace(1, 0, 1000)
    return {name: value.contiguous() for name, value in tensors.items()}


def save_single_file(folder: Path, path: Path, text: Text = "clip") -> Path:
    """Write `folder` as one .safetensors or .ckpt file, as the suffix of `path` says."""
    tensors = single_file_tensors(folder, text)
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 1}, path)
    return path
