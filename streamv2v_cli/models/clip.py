"""Getting a CLIP model, which judges pictures, onto this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.folder import names_below
from streamv2v_cli.models.hub import fetch
from streamv2v_cli.models.sources import find_source

__all__ = ["obtain_clip"]

_WEIGHTS = ("model.safetensors", "model-?????-of-?????.safetensors", "model.safetensors.index.json")
_SMALL = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
_REMEDY = "give a local folder with --clip DIR"


def obtain_clip(text: str) -> Path:
    """The folder of a CLIP model in the format of transformers: a path, or fetched from the Hub.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it is no CLIP model, or has no safetensors weights.
    """
    source = find_source(text, "CLIP model", "--clip")
    if source.kind == "file":
        raise ModelError(f"The CLIP model '{text}' is a file.", "Give the folder that holds its config.json.")
    path = source.path
    if path is None or (source.hub_id is not None and not _is_complete(names_below(path))):
        path = fetch(text, lambda names: _choose(names, text), role="CLIP model", remedy=_REMEDY)
    names = names_below(path)
    _choose(names, text)
    try:
        kind = json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"The config.json of the CLIP model '{text}' cannot be read: {error}.") from error
    if kind != "clip":
        raise ModelError(
            f"The model in '{text}' is not a CLIP model: its config.json says {kind!r}.",
            "Name one such as openai/clip-vit-large-patch14.",
        )
    return path


def _choose(names: Sequence[str], where: str) -> list[str]:
    """What is needed of a repository's files."""
    weights = [name for name in names if any(fnmatch(name, pattern) for pattern in _WEIGHTS)]
    if not weights:
        raise ModelError(
            f"The CLIP model '{where}' has no safetensors weights (model.safetensors).",
            "Name another, such as openai/clip-vit-large-patch14.",
        )
    if "config.json" not in names:
        raise ModelError(
            f"The CLIP model '{where}' has no config.json.", "Name a model in transformers' format."
        )
    return [*weights, *(name for name in names if name in _SMALL)]


def _is_complete(names: Sequence[str]) -> bool:
    tokenizer = "tokenizer.json" in names or "vocab.json" in names
    weights = any(fnmatch(name, pattern) for name in names for pattern in _WEIGHTS[:2])
    return tokenizer and weights and "config.json" in names and "preprocessor_config.json" in names
