"""What a model's JSON configurations say about it, without loading weights or importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from streamv2v_cli.errors import ModelError, reason_of
from streamv2v_cli.reading import read_regular
from streamv2v_cli.text.json_text import from_json

__all__ = ["Kind", "ModelFacts", "detect_kind", "read_facts"]

Kind: TypeAlias = Literal["diffusion", "consistency", "turbo"]

SUPPORTED = (
    "Supported are models of the shape of Stable Diffusion 1.x, 2.x or XL (a UNet with CLIP text encoders)."
)
PREDICTIONS = ("epsilon", "v_prediction")
SD_LATENT_SCALE, SDXL_LATENT_SCALE = 0.18215, 0.13025
TIME_IDS = 6
"""Numbers on the size of the picture that the UNet of SDXL takes."""
_LARGEST = 16 << 20
"""Bytes of a configuration."""
_MOST_TIMESTEPS = 100_000
"""Of training: a hundred times as many as usual."""


@dataclass(frozen=True)
class ModelFacts:
    """The configurations of one model.

    Attributes:
        unet: of the UNet.
        text_encoder: of the text encoder.
        scheduler: of the scheduler that the model was published with.
        vae: of the model's own VAE; None if it has none.
        text_encoder_2: of the second text encoder; None but for SDXL.
        zero_negative: to be without a negative prompt means embeddings of zeros.
    """

    unet: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    vae: Mapping[str, Any] | None
    text_encoder_2: Mapping[str, Any] | None = None
    zero_negative: bool = False

    @property
    def is_xl(self) -> bool:
        """Whether it is of the SDXL family: two text encoders, and a UNet that takes the size of the picture."""
        return self.unet.get("addition_embed_type") == "text_time"

    @property
    def family(self) -> str:
        """Of those in the catalog, by the width of the prompts."""
        return "SDXL" if self.is_xl else "SD 2.x" if self.cross_attention_dim == 1024 else "SD 1.x"

    @property
    def weighty_parts(self) -> tuple[str, ...]:
        """Its folders with weights, apart from the VAE."""
        return ("unet", "text_encoder", *(("text_encoder_2",) if self.is_xl else ()))

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts: `epsilon` or `v_prediction`."""
        return str(self.scheduler.get("prediction_type", "epsilon"))

    @property
    def cross_attention_dim(self) -> int:
        """Width of the prompt embeddings."""
        return int(self.unet.get("cross_attention_dim", 1280))

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.unet.get("in_channels", 4))

    @property
    def own_vae_is_tiny(self) -> bool:
        """Whether the model comes with an `AutoencoderTiny`."""
        return self.vae is not None and self.vae.get("_class_name") == "AutoencoderTiny"

    @property
    def has_usual_latents(self) -> bool:
        """Whether its latents are those of its family, for which there is a tiny VAE."""
        if self.latent_channels != 4 or self.own_vae_is_tiny:
            return False
        usual = SDXL_LATENT_SCALE if self.is_xl else SD_LATENT_SCALE
        return self.vae is None or abs(self.vae.get("scaling_factor", SD_LATENT_SCALE) - usual) < 1e-6


def detect_kind(facts: ModelFacts) -> Kind:
    """Tell a plain diffusion model from those that were distilled for few steps, by its configurations."""
    scheduler = facts.scheduler.get("_class_name", "")
    if scheduler == "LCMScheduler" or facts.unet.get("time_cond_proj_dim") is not None:
        return "consistency"
    if scheduler.startswith("Euler") and facts.scheduler.get("timestep_spacing") == "trailing":
        return "turbo"
    return "diffusion"


def read_facts(folder: Path) -> ModelFacts:
    """Read and check the configurations in a diffusers folder.

    Raises:
        ModelError: a configuration is missing or broken, or describes a model of another family.
    """
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    _check_family(index, folder)

    def optional(part: str) -> dict[str, Any] | None:
        path = folder / part / "config.json"
        return read_json(path) if path.is_file() else None

    facts = ModelFacts(
        unet=read_json(folder / "unet" / "config.json"),
        text_encoder=read_json(folder / "text_encoder" / "config.json"),
        scheduler=read_json(folder / "scheduler" / "scheduler_config.json"),
        vae=optional("vae"),
        text_encoder_2=optional("text_encoder_2"),
        zero_negative=bool(index.get("force_zeros_for_empty_prompt", False)),
    )
    _check_fits(facts, folder)
    return facts


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ModelError: the file is missing or holds no JSON object.
    """
    try:
        content = from_json(read_regular(path, _LARGEST))
    except FileNotFoundError as error:
        raise ModelError(
            f"{str(path.parent)!r} holds no {path.name}.",
            "A diffusers model is a folder with unet, text_encoder, tokenizer and scheduler folders inside.",
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{str(path)!r} cannot be read as JSON: {reason_of(error)}.", "Download the file again."
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{str(path)!r} holds no JSON object.", "Download the file again.")
    return content


def _check_family(index: Mapping[str, Any], folder: Path) -> None:
    """Refuse the pipelines of other families by the components that they list."""
    name = index.get("_class_name", "pipeline")
    listed = {part for part, value in index.items() if isinstance(value, list) and value and value[-1]}
    if index.get("requires_aesthetics_score"):
        raise ModelError(
            f"{str(folder)!r} holds the refiner of SDXL, which finishes pictures of the base model.",
            "Use the base model.",
        )
    if {"transformer", "text_encoder_3", "prior", "image_noising_scheduler"} & listed:
        raise ModelError(f"{str(folder)!r} holds a {name}, which is not supported.", SUPPORTED)
    for part, allowed in {
        "unet": ("UNet2DConditionModel",),
        "text_encoder": ("CLIPTextModel",),
        "text_encoder_2": ("CLIPTextModelWithProjection",),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
        "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
        "vae": ("AutoencoderKL", "AutoencoderTiny"),
    }.items():
        if part in listed and index[part][-1] not in allowed:
            raise ModelError(
                f"{str(folder)!r} has a {index[part][-1]} as its {part}, not {allowed[0]}.", SUPPORTED
            )


def _check_fits(facts: ModelFacts, folder: Path) -> None:
    """Refuse UNets that need more inputs than latents, time and prompt, and unknown predictions."""
    unet, where = facts.unet, repr(str(folder))
    for option in ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type"):
        # "text" adds a summary of the prompt embeddings, which the UNet makes itself: no further input.
        if unet.get(option) not in (None, "text") and not (option == "addition_embed_type" and facts.is_xl):
            raise ModelError(f"The UNet of {where} needs {option} {unet[option]!r}.", SUPPORTED)
    if unet.get("out_channels", 4) != facts.latent_channels:
        raise ModelError(
            f"The UNet of {where} takes {facts.latent_channels} channels and gives "
            f"{unet.get('out_channels', 4)}: it is made for inpainting or editing.",
            SUPPORTED,
        )
    _check_text_encoders(facts, where)
    timesteps = facts.scheduler.get("num_train_timesteps", 1000)
    if not isinstance(timesteps, int) or not 1 <= timesteps <= _MOST_TIMESTEPS:
        raise ModelError(
            f"The scheduler of {where} has {timesteps!r} timesteps.", f"Supported are 1 to {_MOST_TIMESTEPS}."
        )
    scheduler = str(facts.scheduler.get("_class_name", ""))
    other = next((name for name in ("Flow", "EDM") if scheduler.startswith(name)), "").lower()
    if other or facts.prediction_type not in PREDICTIONS:
        found = other or facts.prediction_type
        raise ModelError(
            f"{where} predicts {found!r}.", f"Supported predictions are {' and '.join(PREDICTIONS)}."
        )


def _check_text_encoders(facts: ModelFacts, where: str) -> None:
    """Refuse text encoders whose embeddings do not have the widths that the UNet takes."""
    first, second, wanted = facts.text_encoder, facts.text_encoder_2, facts.cross_attention_dim
    remedy = "The parts of the model do not belong together."
    if facts.is_xl and second is None:
        raise ModelError(f"{where} holds no text_encoder_2/config.json.", "Download the model completely.")
    given = first.get("hidden_size", wanted)
    if facts.is_xl and second is not None:
        given += second.get("hidden_size", 0)
        pooled = second.get("projection_dim", 0) + TIME_IDS * facts.unet.get("addition_time_embed_dim", 256)
        taken = facts.unet.get("projection_class_embeddings_input_dim")
        if taken != pooled:
            raise ModelError(
                f"The UNet of {where} takes {taken} channels beside the prompt; that of SDXL with such text encoders "
                f"takes {pooled}.",
                remedy,
            )
    if given != wanted:
        raise ModelError(
            f"The text encoder of {where} gives {given} channels, its UNet takes {wanted}.", remedy
        )
