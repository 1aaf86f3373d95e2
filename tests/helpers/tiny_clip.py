"""A CLIP model of a few thousand random weights, in the format of transformers."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from helpers.tiny_words import tiny_tokenizer


def make_tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    """Write a model for pictures of 32 pixels, with its tokenizer and what prepares pictures."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**size, **tokens, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    vision = {**size, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    model = CLIPModel(config)
    with torch.no_grad():  # as they come, the embeddings of all pictures are nearly the same
        model.vision_model.embeddings.patch_embedding.weight.mul_(40)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )
    return folder
