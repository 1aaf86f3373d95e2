"""What the settings ask for, applied to a model: which VAE, whether LCM-LoRA. Imports no torch."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.models.catalog import CATALOG, SD_TINY_VAE, SDXL_TINY_VAE, CatalogEntry, lcm_lora_for
from streamv2v_cli.models.facts import Kind, ModelFacts, detect_kind
from streamv2v_cli.models.files.layout import read_metadata
from streamv2v_cli.models.hub.sources import ModelSource, cached_snapshot, find_source
from streamv2v_cli.text.json_text import from_json

__all__ = ["choose_kind", "choose_lcm_lora", "choose_vae", "find_model"]

_log = logging.getLogger(__name__)

_SAID = ("modelspec.title", "modelspec.merged_from")
"""Metadata of the tools of kohya and ComfyUI that name a model and what it was merged from."""
_RECIPE = "sd_merge_recipe"
_MERGED = ("custom_name", "primary_model_name", "secondary_model_name")
"""The same of AUTOMATIC1111, and what of it is in the result: a third model is taken away from it."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_DISTILLED: dict[str, Kind] = {
    "turbo": "turbo",
    "lightning": "turbo",
    "hyper": "turbo",
    "dmd": "turbo",
    "lcm": "consistency",
}
"""Words by which the names of merges say that they need few steps.

Their shapes and configurations are those of the base model, and what was added cannot be told from the sum.
"""


def find_model(text: str) -> tuple[ModelSource, CatalogEntry | None]:
    """Where the model called `text` is, and its entry in the catalog if it has one.

    A file or a diffusers folder of that name in the current folder goes before the catalog.

    Raises:
        ModelNotFoundError: there is no such path and it can be neither a name nor a Hub id.
    """
    entry = CATALOG.get(text)
    path = Path(text)
    if entry is None:
        return find_source(text, "model", "--model"), None
    if path.is_file() or (path / "model_index.json").is_file():
        _log.info("%s is taken from the current folder, not from the catalog", text)
        return find_source(text, "model", "--model"), None
    if isinstance(entry.source, str):
        return ModelSource(text, "hub", cached_snapshot(entry.source), entry.source), entry
    if not (entry.source / "model_index.json").is_file():
        raise ModelNotFoundError(
            f"The embedded model {text!r} is missing from this installation.",
            "Install streamv2v again, or give a local folder or file with --model PATH.",
        )
    return ModelSource(text, "folder", entry.source), entry


def choose_kind(source: ModelSource, entry: CatalogEntry | None, facts: ModelFacts) -> Kind:
    """What a model is: by the catalog, by its configurations, by a word such as `Lightning` in a name.

    The names are that of its file or folder and those that it says it was made of. Whoever knows better decides with
    the setting `weights.lcm_lora`.
    """
    if entry is not None and entry.kind is not None:
        return entry.kind
    kind = detect_kind(facts)
    if kind != "diffusion":
        return kind
    for name in _names(source, facts):
        for word in _WORD.findall(name):
            if word.lower() in _DISTILLED:
                _log.info(
                    "%s is treated as a model distilled for few steps, because of the %r in the name %r",
                    source.text,
                    word,
                    name,
                )
                return _DISTILLED[word.lower()]
    return kind


def _names(source: ModelSource, facts: ModelFacts) -> list[str]:
    """What a model is called, and what it says it was made of."""
    if source.kind != "file":
        return [Path(source.text).name, Path(str(facts.unet.get("_name_or_path") or "")).name]
    names = [Path(source.text).stem]
    if source.path is None or source.path.suffix.lower() != ".safetensors":
        return names
    metadata = read_metadata(source.path)
    try:
        recipe = from_json(metadata.get(_RECIPE, "{}"))
    except ValueError:
        recipe = None
    merged = [str(recipe.get(key) or "") for key in _MERGED] if isinstance(recipe, dict) else []
    return [*names, *(metadata.get(key, "") for key in _SAID), *merged]


def choose_vae(wanted: str, facts: ModelFacts) -> str | None:
    """The VAE to load: a path or Hub id, or None for the model's own.

    Args:
        wanted: the setting `weights.vae`.
        facts: the model's configurations.

    Raises:
        ModelError: `auto`, but nobody made a tiny VAE for this model's latents.
    """
    if wanted == "own" or (wanted == "auto" and facts.own_vae_is_tiny):
        return None
    if wanted != "auto":
        return wanted
    if not facts.has_usual_latents:
        raise ModelError(
            "No tiny VAE is known for the latents of this model.",
            "Use the model's own with --vae own, or give one with --vae PATH_OR_ID.",
        )
    return SDXL_TINY_VAE if facts.is_xl else SD_TINY_VAE


def choose_lcm_lora(wanted: str, kind: Kind, facts: ModelFacts) -> str | None:
    """The LCM-LoRA to fuse: a path or Hub id, or None.

    Args:
        wanted: the setting `weights.lcm_lora`.
        kind: what the model is; only `diffusion` needs one.
        facts: the model's configurations.

    A model for whose architecture nobody made an LCM-LoRA runs without one under `auto`, with a warning.
    """
    if wanted == "none":
        return None
    if wanted != "auto":
        return wanted
    if kind != "diffusion":
        return None
    lora = lcm_lora_for(facts.cross_attention_dim)
    if lora is None:
        _log.warning(
            "the model is not distilled for few steps, and no LCM-LoRA is known for its architecture (prompts of "
            "width %d); give one with --lcm-lora PATH_OR_ID",
            facts.cross_attention_dim,
        )
    return lora
