"""Which files of a diffusers folder (on disk or on the Hub) a model needs. Imports no torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamv2v_cli.errors import ModelError

__all__ = ["CONFIG_FILES", "choose_files", "holds_files", "names_below", "weight_files"]

CONFIG_FILES = (
    "model_index.json",
    "streamv2v.yaml",
    "styles.yaml",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "tokenizer/merges.txt",
    "unet/config.json",
    "text_encoder/config.json",
    "vae/config.json",
)
_STEMS = {"text_encoder": "model"}
_DEFAULT_STEM = "diffusion_pytorch_model"


def weight_files(names: Iterable[str], part: str, where: str) -> tuple[str | None, list[str]]:
    """Choose the weights of one part among file names.

    Args:
        names: paths relative to the model's folder, with forward slashes.
        part: `unet`, `text_encoder`, `vae`, or "" for files at the top.
        where: the folder or Hub id, for messages.

    Returns:
        The variant (None or "fp16") and the files: one, or an index and its shards.

    Raises:
        ModelError: there are no weights, or only pickled ones.
    """
    present = set(names)
    prefix = f"{part}/" if part else ""
    stem = prefix + _STEMS.get(part, _DEFAULT_STEM)
    for variant in (None, "fp16"):
        ending = f".{variant}" if variant else ""
        if f"{stem}{ending}.safetensors" in present:
            return variant, [f"{stem}{ending}.safetensors"]
        index = f"{stem}.safetensors.index{ending}.json"
        shards = sorted(fnmatch.filter(present, f"{stem}{ending}-?????-of-?????.safetensors"))
        if index in present and shards:
            return variant, [index, *shards]
    what = part or "model"
    pickled = sorted(
        name for name in present if name.startswith(prefix) and name.endswith((".bin", ".ckpt", ".pt"))
    )
    if pickled:
        raise ModelError(
            f"The {what} in {where!r} has only pickled weights ({pickled[0]}), which can run code when read.",
            "Use a version with .safetensors files, or convert it where you trust it: load it with diffusers "
            "and call save_pretrained.",
        )
    raise ModelError(
        f"{where!r} has no {what} weights ({stem}.safetensors).", "Download the model completely."
    )


def choose_files(names: Sequence[str], parts: Sequence[str], where: str) -> list[str]:
    """The configs and tokenizer, and the weights of `parts`, among the files of a repository.

    Raises:
        ModelError: it is no diffusers model, or a part has no safetensors weights.
    """
    if "model_index.json" not in names:
        raise ModelError(
            f"{where!r} on the Hugging Face Hub is not in diffusers format (it has no model_index.json).",
            "Download one of its .safetensors files and give it with --model PATH.",
        )
    chosen = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in CONFIG_FILES)]
    for part in parts:
        chosen += weight_files(names, part, where)[1]
    return chosen


def names_below(folder: Path) -> list[str]:
    """Paths of the files in a folder and its direct subfolders, relative to it, with forward slashes."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


def holds_files(folder: Path, parts: Sequence[str]) -> bool:
    """Whether a cached snapshot has the configs and the weights of `parts`."""
    names = names_below(folder)
    needed = (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "text_encoder/config.json",
    )
    tokenizer = any(name in names for name in ("tokenizer/tokenizer.json", "tokenizer/vocab.json"))
    if not tokenizer or not set(needed) <= set(names):
        return False
    try:
        for part in parts:
            weight_files(names, part, str(folder))
    except ModelError:
        return False
    return True
