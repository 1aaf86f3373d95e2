"""The models that have a name, and the parts that belong to an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamv2v_cli.models.facts import Kind

__all__ = [
    "CATALOG",
    "LAYOUTS",
    "LCM_LORAS",
    "SD15_LAYOUT",
    "SDXL_TINY_VAE",
    "SD_TINY_VAE",
    "CatalogEntry",
    "lcm_lora_for",
]

_HERE = Path(__file__).parent

SD15_LAYOUT = _HERE / "layouts" / "sd15"
"""Configs and tokenizer that a single file of the SD 1.x layout leaves out."""

LAYOUTS = {
    "SD 1.x": SD15_LAYOUT,
    "SD 2.x": _HERE / "layouts" / "sd21",
    "SDXL": _HERE / "layouts" / "sdxl",
}
"""The same for every family; all of them read prompts by the vocabulary of SD 1.x, which is kept once."""

SD_TINY_VAE = "madebyollin/taesd"
"""The tiny VAE made for the latent space that SD 1.x and 2.x share."""

SDXL_TINY_VAE = "madebyollin/taesdxl"
"""The tiny VAE made for the latent space of SDXL."""

LCM_LORAS = {768: "latent-consistency/lcm-lora-sdv1-5", 2048: "latent-consistency/lcm-lora-sdxl"}
"""LCM-LoRA by the width of the UNet's cross-attention, which tells SD 1.x (768), SD 2.x (1024) and SDXL (2048)."""


@dataclass(frozen=True)
class CatalogEntry:
    """One named model.

    Attributes:
        source: a Hub id, or the folder of the embedded model.
        about: what it is, for lists.
        kind: what it is, where that is known without its files.
        family: of `LAYOUTS`, likewise.
    """

    source: str | Path
    about: str
    kind: Kind | None = None
    family: str | None = None


CATALOG = {
    "mini": CatalogEntry(_HERE / "mini", "the small model inside this package"),
    "sd15": CatalogEntry(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5", "diffusion", "SD 1.x"
    ),
    "sd-turbo": CatalogEntry(
        "stabilityai/sd-turbo", "SD-Turbo, SD 2.1 distilled to one step", "turbo", "SD 2.x"
    ),
    "lcm-dreamshaper": CatalogEntry(
        "SimianLuo/LCM_Dreamshaper_v7", "Dreamshaper 7 as a consistency model", "consistency", "SD 1.x"
    ),
    "sdxl": CatalogEntry(
        "stabilityai/stable-diffusion-xl-base-1.0",
        "Stable Diffusion XL, for 1024 pixels",
        "diffusion",
        "SDXL",
    ),
    "sdxl-turbo": CatalogEntry(
        "stabilityai/sdxl-turbo", "SDXL-Turbo, SDXL distilled to one step, for 512 pixels", "turbo", "SDXL"
    ),
}


def lcm_lora_for(cross_attention_dim: int) -> str | None:
    """Hub id of the LCM-LoRA made for UNets of this cross-attention width; None if there is none."""
    return LCM_LORAS.get(cross_attention_dim)
