"""Files of textual inversions, as diffusers and the web UIs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from helpers.tiny import WIDTH


def vectors(count: int = 1, seed: int = 0, width: int = WIDTH) -> torch.Tensor:
    """(count, width) embeddings that are far from those of the words of a tiny model."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def save_embedding(path: Path, content: dict[str, Any]) -> Path:
    """Write tensors into a safetensors file, or anything into a pickled one."""
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def of_web_ui(values: torch.Tensor) -> dict[str, Any]:
    """What stable-diffusion-webui pickles."""
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": torch.nn.Parameter(values)},
        "name": "somebody's",
        "step": 9999,
        "sd_checkpoint": "cafe",
        "sd_checkpoint_name": "v1-5-pruned",
    }
