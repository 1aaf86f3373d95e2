"""The two forms that a model comes in, behind one interface: a diffusers folder or a single file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from streamv2v_cli.errors import ModelError, reason_of
from streamv2v_cli.models.catalog import LAYOUTS, SD15_LAYOUT
from streamv2v_cli.models.facts import ModelFacts, read_facts, read_json
from streamv2v_cli.models.files.layout import UNET_PREFIX, VAE_PREFIX, layout_of, read_header
from streamv2v_cli.models.files.selection import names_below, weight_files
from streamv2v_cli.models.files.soundness import check_finite, check_sizes
from streamv2v_cli.models.files.weights import check_loaded, fill, read_tensors, shapes_of, with_new_names

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

__all__ = ["Checkpoint", "FileCheckpoint", "FolderCheckpoint"]

_TIME_CONDITION = "time_embed.cond_proj.weight"
_VELOCITY_MARK = "v_pred"
_TELLING_BIAS = UNET_PREFIX + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_VELOCITY_SPREAD = 0.09
_CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
_OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.0.model.")
_OPEN_CLIP_2 = "conditioner.embedders.1.model."
"""Where text encoders are, in the names of the first code of Stable Diffusion and in those of the second."""
_log = logging.getLogger(__name__)


class Checkpoint(Protocol):
    """A model on disk whose parts are loaded one by one, on the CPU."""

    @property
    def facts(self) -> ModelFacts:
        """Its configurations."""

    def unet(self, dtype: torch.dtype) -> UNet2DConditionModel:
        """The UNet."""

    def text_encoder(self, dtype: torch.dtype) -> CLIPTextModel:
        """The text encoder."""

    def text_encoder_2(self, dtype: torch.dtype) -> CLIPTextModelWithProjection:
        """The second text encoder of SDXL."""

    def vae(self, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
        """The model's own VAE."""

    def tokenizer(self, part: str = "tokenizer") -> CLIPTokenizer:
        """The tokenizer, or with `tokenizer_2` that of the second text encoder."""


def load_part(
    cls: Any,
    folder: Path,
    part: str,
    dtype: torch.dtype,
    stem: str | None = None,
    *,
    allow_pickle: bool = False,
) -> Any:
    """One part of a diffusers folder.

    Args:
        cls: the class of the part.
        folder: the model's folder.
        part: its subfolder; "" for a folder that holds just this part.
        dtype: number format.
        stem: see `weight_files`.
        allow_pickle: read .bin files where there are no safetensors.

    Raises:
        ModelError: weights are missing, pickled and not allowed, damaged, or do not match the config.
    """
    where = repr(str(folder))
    variant, files = weight_files(names_below(folder), part, str(folder), stem, allow_pickle=allow_pickle)
    name, weights = part or "model", [folder / file for file in files if not file.endswith(".json")]
    config = read_json(folder / part / "config.json")
    if weights[0].suffix == ".bin":
        return _from_pickles(cls, config, weights, name, where).to(dtype)
    shapes = {tensor: shape for file in weights for tensor, shape in read_header(file).items()}
    check_sizes(config, shapes, lambda: _built(cls, config), f"The {name} in {where}")
    try:
        module, report = cls.from_pretrained(
            folder / part,
            variant=variant,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:
        # Each library wraps a damaged file in another class; the cause stays chained for --debug.
        raise ModelError(
            f"The {name} in {where} cannot be loaded: {reason_of(error)}.", "Download it again."
        ) from error
    check_loaded(name, where, report["missing_keys"], report["unexpected_keys"], report["mismatched_keys"])
    check_finite(module.state_dict().items(), f"The {name} in {where}")
    return module


def _from_pickles(cls: Any, config: Mapping[str, Any], weights: list[Path], name: str, where: str) -> Any:
    tensors: dict[str, torch.Tensor] = {}
    for file in weights:
        tensors |= read_tensors(file, allow_pickle=True)
    check_sizes(config, shapes_of(tensors), lambda: _built(cls, config), f"The {name} in {where}")
    module = _built(cls, config)
    try:
        fill(module, with_new_names(module, tensors), name, where)
    except ModelError as error:
        raise ModelError(
            error.message, "The files are incomplete or belong to another architecture."
        ) from error
    return module


def _built(cls: Any, config: Mapping[str, Any]) -> Any:
    """A part as its library makes it of a configuration."""
    if hasattr(cls, "config_class"):  # of transformers
        return cls(cls.config_class.from_dict(dict(config)))
    return cls.from_config(dict(config))


def load_tokenizer(folder: Path, part: str = "tokenizer") -> CLIPTokenizer:
    """The tokenizer in `folder`/`part`; the layouts that come with streamv2v share their vocabulary.

    Raises:
        ModelError: it is missing or broken.
    """
    from transformers import CLIPTokenizer

    path, options = folder / part, {}
    has_words = any((path / name).exists() for name in ("vocab.json", "tokenizer.json"))
    if folder in LAYOUTS.values() and not has_words:
        path, options = SD15_LAYOUT / "tokenizer", read_json(path / "tokenizer_config.json")
    try:
        if not path.is_dir():
            raise FileNotFoundError("there is no folder of that name")
        return CLIPTokenizer.from_pretrained(
            path,
            local_files_only=True,
            **{name: value for name, value in options.items() if name == "pad_token"},
        )
    except Exception as error:
        raise ModelError(
            f"The {part} in {str(folder)!r} cannot be loaded: {reason_of(error)}.",
            "Download the model completely.",
        ) from error


class FolderCheckpoint:
    """A folder in diffusers format."""

    def __init__(self, folder: Path, *, allow_pickle: bool = False) -> None:
        self.folder, self._allow_pickle = folder, allow_pickle
        self.facts = read_facts(folder)

    def _load(self, cls: Any, part: str, dtype: torch.dtype) -> Any:
        return load_part(cls, self.folder, part, dtype, allow_pickle=self._allow_pickle)

    def unet(self, dtype: torch.dtype) -> UNet2DConditionModel:
        """The UNet."""
        from diffusers import UNet2DConditionModel

        module: UNet2DConditionModel = self._load(UNet2DConditionModel, "unet", dtype)
        return module

    def text_encoder(self, dtype: torch.dtype) -> CLIPTextModel:
        """The text encoder."""
        from transformers import CLIPTextModel

        module: CLIPTextModel = self._load(CLIPTextModel, "text_encoder", dtype)
        return module

    def text_encoder_2(self, dtype: torch.dtype) -> CLIPTextModelWithProjection:
        """The second text encoder of SDXL."""
        from transformers import CLIPTextModelWithProjection

        module: CLIPTextModelWithProjection = self._load(CLIPTextModelWithProjection, "text_encoder_2", dtype)
        return module

    def vae(self, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
        """The model's own VAE."""
        from diffusers import AutoencoderKL, AutoencoderTiny

        if self.facts.vae is None:
            raise ModelError(
                f"{str(self.folder)!r} has no VAE of its own.", "Give one with --vae PATH_OR_ID."
            )
        cls = AutoencoderTiny if self.facts.own_vae_is_tiny else AutoencoderKL
        module: AutoencoderKL | AutoencoderTiny = self._load(cls, "vae", dtype)
        return module

    def tokenizer(self, part: str = "tokenizer") -> CLIPTokenizer:
        """The tokenizer, or with `tokenizer_2` that of the second text encoder."""
        return load_tokenizer(self.folder, part)


class FileCheckpoint:
    """A single file in the layout of the original Stable Diffusion code.

    Args:
        path: the file.
        config: a folder with its configs and tokenizer; None for those that come with streamv2v.
        allow_pickle: it may be a pickled file.
    """

    def __init__(self, path: Path, config: Path | None, *, allow_pickle: bool = False) -> None:
        self.path, self._allow_pickle = path, allow_pickle
        self.config = layout_of(path, self._shapes, config)
        facts = self._with_time_condition(read_facts(self.config))
        self.facts = facts if config else self._with_prediction(facts)

    def _with_time_condition(self, facts: ModelFacts) -> ModelFacts:
        """Consistency models distilled with guidance as an input have one weight more than their base."""
        shape = self._shapes.get(UNET_PREFIX + _TIME_CONDITION)
        return replace(facts, unet={**facts.unet, "time_cond_proj_dim": shape[1]}) if shape else facts

    def _with_prediction(self, facts: ModelFacts) -> ModelFacts:
        """Models of one layout may predict the noise or the velocity, which no shape of a weight tells.

        Those of SDXL that predict the velocity have a mark. Those of SD 2.x are told, as ComfyUI does, by the spread
        of a bias: over 0.09 in SD 2.0 and 2.1 for 768 pixels and what was trained from them.
        """
        velocity = facts.is_xl and _VELOCITY_MARK in self._shapes
        if self.config == LAYOUTS["SD 2.x"]:
            bias = self._tensors.get(_TELLING_BIAS)
            velocity = bias is not None and float(bias.float().std(correction=0)) > _VELOCITY_SPREAD
        prediction = "v_prediction" if velocity else "epsilon"
        return replace(facts, scheduler={**facts.scheduler, "prediction_type": prediction})

    @cached_property
    def _shapes(self) -> Mapping[str, tuple[int, ...]]:
        if self.path.suffix.lower() == ".safetensors":
            return read_header(self.path)
        return shapes_of(self._tensors)

    @cached_property
    def _tensors(self) -> dict[str, torch.Tensor]:
        _log.debug("reading %s", self.path)
        return read_tensors(self.path, allow_pickle=self._allow_pickle)

    def _below(self, prefix: str, new: str | None = None) -> dict[str, torch.Tensor]:
        """The tensors of which the names begin so, with that beginning or a new one."""
        kept = prefix if new is None else new
        return {
            kept + name.removeprefix(prefix): tensor
            for name, tensor in self._tensors.items()
            if name.startswith(prefix)
        }

    def unet(self, dtype: torch.dtype) -> UNet2DConditionModel:
        """The UNet."""
        from diffusers import UNet2DConditionModel
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

        source = self._below(UNET_PREFIX)
        module = self._built(UNet2DConditionModel, self.facts.unet, source, "UNet")
        tensors = convert_ldm_unet_checkpoint(source, dict(module.config))
        if UNET_PREFIX + _TIME_CONDITION in source:
            tensors["time_embedding.cond_proj.weight"] = source[UNET_PREFIX + _TIME_CONDITION]
        return self._filled(module, tensors, "unet", dtype)

    def text_encoder(self, dtype: torch.dtype) -> CLIPTextModel:
        """The text encoder: CLIP as in SD 1.x, or OpenCLIP as in SD 2.x."""
        from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
        from transformers import CLIPTextModel

        clip = next(filter(None, (self._below(prefix, "") for prefix in _CLIP)), None)
        # diffusers leaves out the last layer, which SD 2.x does not use, under the older name only.
        text = clip or next(filter(None, (self._below(prefix, _OPEN_CLIP[0]) for prefix in _OPEN_CLIP)), None)
        if text is None:
            raise ModelError(f"{str(self.path)!r} holds no text encoder.", "Get the whole checkpoint.")
        module = self._built(CLIPTextModel, self.facts.text_encoder, text, "text encoder")
        tensors = text if clip else convert_open_clip_checkpoint(module, text)
        return self._filled(module, with_new_names(module, tensors), "text encoder", dtype)

    def text_encoder_2(self, dtype: torch.dtype) -> CLIPTextModelWithProjection:
        """The second text encoder of SDXL, an OpenCLIP."""
        from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
        from transformers import CLIPTextModelWithProjection

        source = self._below(_OPEN_CLIP_2)
        if not source:
            raise ModelError(f"{str(self.path)!r} holds no second text encoder.", "Get the whole checkpoint.")
        config = self.facts.text_encoder_2 or {}
        module = self._built(CLIPTextModelWithProjection, config, source, "second text encoder")
        tensors = convert_open_clip_checkpoint(module, source, prefix=_OPEN_CLIP_2)
        return self._filled(module, with_new_names(module, tensors), "second text encoder", dtype)

    def vae(self, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
        """The model's own VAE."""
        from diffusers import AutoencoderKL
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        tensors = self._below(VAE_PREFIX)
        if not tensors or self.facts.vae is None:
            raise ModelError(f"{str(self.path)!r} has no VAE of its own.", "Give one with --vae PATH_OR_ID.")
        module = self._built(AutoencoderKL, self.facts.vae, tensors, "VAE")
        return self._filled(module, convert_ldm_vae_checkpoint(tensors, dict(module.config)), "VAE", dtype)

    def tokenizer(self, part: str = "tokenizer") -> CLIPTokenizer:
        """The tokenizer of the config folder, or with `tokenizer_2` the second one."""
        return load_tokenizer(self.config, part)

    def _built(self, cls: Any, config: Mapping[str, Any], tensors: Mapping[str, Any], part: str) -> Any:
        check_sizes(
            config, shapes_of(tensors), lambda: _built(cls, config), f"The {part} in {str(self.path)!r}"
        )
        return _built(cls, config)

    def _filled(self, module: Any, tensors: Mapping[str, torch.Tensor], part: str, dtype: torch.dtype) -> Any:
        fill(module, tensors, part, repr(str(self.path)))
        return module.to(dtype)
