"""Which files of a model are read, of a folder as well as of a repository. Imports no torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.facts import read_json

__all__ = ["CONFIG_FILES", "choose_files", "holds_files", "names_below", "weight_files"]

CONFIG_FILES = (
    "model_index.json",
    "streamv2v.yaml",
    "styles.yaml",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "tokenizer/merges.txt",
    "tokenizer_2/*.json",
    "tokenizer_2/merges.txt",
    "unet/config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
    "vae/config.json",
)
_STEM = "diffusion_pytorch_model"
_TEXT_STEMS = {"safetensors": "model", "bin": "pytorch_model"}
"""Names of the weights in diffusers' folders, and in those of transformers."""


def weight_files(
    names: Iterable[str], part: str, where: str, stem: str | None = None, *, allow_pickle: bool = False
) -> tuple[str | None, list[str]]:
    """Choose the weights of one part among file names.

    Args:
        names: paths relative to the model's folder, with forward slashes.
        part: `unet`, `text_encoder`, `text_encoder_2`, `vae`, or "" for files at the top.
        where: the folder or Hub id, for messages.
        stem: the name of the weights without its end; None for that of the part.
        allow_pickle: take .bin files where there are no others.

    Returns:
        The variant (None or "fp16") and the files: one, or an index and its shards.

    Raises:
        ModelError: there are no weights, or only pickled ones.
    """
    present = set(names)
    prefix = f"{part}/" if part else ""
    for suffix in ("safetensors", "bin") if allow_pickle else ("safetensors",):
        start = prefix + (stem or _stem(part, suffix))
        for variant in (None, "fp16"):
            ending = f".{variant}" if variant else ""
            if f"{start}{ending}.{suffix}" in present:
                return variant, [f"{start}{ending}.{suffix}"]
            index = f"{start}.{suffix}.index{ending}.json"
            shards = sorted(fnmatch.filter(present, f"{start}{ending}-?????-of-?????.{suffix}"))
            if index in present and shards:
                return variant, [index, *shards]
    what = part or "model"
    pickled = sorted(
        name for name in present if name.startswith(prefix) and name.endswith((".bin", ".ckpt", ".pt"))
    )
    if pickled:
        raise ModelError(
            f"The {what} in {where!r} has only pickled weights ({pickled[0]}), which can run code when read.",
            "Use a version with .safetensors files, or use --allow-pickle if you trust who made it: even then only "
            "tensors are read.",
        )
    wanted = f"{prefix}{stem or _stem(part, 'safetensors')}.safetensors"
    raise ModelError(f"{where!r} has no {what} weights ({wanted}).", "Download the model completely.")


def _stem(part: str, suffix: str) -> str:
    return _TEXT_STEMS[suffix] if part.startswith("text_encoder") else _STEM


def choose_files(
    names: Sequence[str], parts: Sequence[str], where: str, *, allow_pickle: bool = False
) -> list[str]:
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
        chosen += weight_files(names, part, where, allow_pickle=allow_pickle)[1]
    return chosen


def names_below(folder: Path) -> list[str]:
    """Paths of the files in a folder and its direct subfolders, relative to it, with forward slashes."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


def holds_files(folder: Path, parts: Sequence[str], *, allow_pickle: bool = False) -> bool:
    """Whether a cached snapshot has the configs and the weights of `parts`."""
    names = names_below(folder)
    needed = {"model_index.json", "scheduler/scheduler_config.json", "unet/config.json"}
    if not needed <= set(names):
        return False
    second = "text_encoder_2" in read_json(folder / "model_index.json")
    for number in ("", "_2") if second else ("",):
        words = {f"tokenizer{number}/{name}" for name in ("tokenizer.json", "vocab.json")}
        if f"text_encoder{number}/config.json" not in names or not words & set(names):
            return False
    try:
        for part in parts:
            weight_files(names, part, str(folder), allow_pickle=allow_pickle)
    except ModelError:
        return False
    return True
