"""Getting each part of a model onto this machine: the local path or the Hub's cache first, then the Hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.folder import choose_files, holds_files, names_below, weight_files
from streamv2v_cli.models.hub import fetch
from streamv2v_cli.models.lora_file import choose_lora_file
from streamv2v_cli.models.sources import Source, find_source

__all__ = ["cached_lora", "cached_vae", "obtain_lcm_lora", "obtain_lora", "obtain_model", "obtain_vae"]

MODEL_REMEDY = "give a local folder or file with --model PATH"
VAE_REMEDY = "give a local one with --vae PATH, or use the model's own with --vae own"
LCM_REMEDY = "give a local file with --lcm-lora PATH, or do without with --lcm-lora none"
LORA_REMEDY = "give a local file with --lora PATH"


def obtain_model(source: Source, parts: Sequence[str]) -> Path:
    """The model's folder in diffusers format, with its configs and the weights of `parts`.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it has no safetensors weights, or is in another format.
    """

    def choose(names: Sequence[str]) -> list[str]:
        return choose_files(names, parts, source.text)

    return _obtain(source, lambda folder: holds_files(folder, parts), choose, "model", MODEL_REMEDY)


def obtain_vae(text: str) -> Path:
    """The folder or file of a VAE.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it has no safetensors weights.
    """

    def choose(names: Sequence[str]) -> list[str]:
        return ["config.json", *weight_files(names, "", text)[1]]

    return _obtain(find_source(text, "VAE", "--vae"), _holds_vae, choose, "VAE", VAE_REMEDY)


def obtain_lora(text: str) -> Path:
    """The file of a LoRA.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: its folder does not say which file is meant.
    """
    return _obtain_lora(find_source(text, "LoRA", "--lora"), "LoRA", LORA_REMEDY)


def obtain_lcm_lora(text: str) -> Path:
    """The file of the LCM-LoRA; errors as `obtain_lora`, with the way to do without it."""
    return _obtain_lora(find_source(text, "LCM-LoRA", "--lcm-lora"), "LCM-LoRA", LCM_REMEDY)


def cached_vae(source: Source) -> Path | None:
    """The VAE if it is on this machine."""
    return (
        source.path
        if source.path is not None and (source.hub_id is None or _holds_vae(source.path))
        else None
    )


def cached_lora(source: Source) -> Path | None:
    """The LoRA's file if it is on this machine."""
    if source.path is None or (source.hub_id is not None and not _holds_lora(source.path)):
        return None
    return source.path if source.kind == "file" else _lora_in(source.path, source.text)


def _obtain_lora(source: Source, role: str, remedy: str) -> Path:
    def choose(names: Sequence[str]) -> list[str]:
        return [
            choose_lora_file(names, source.text),
            *(name for name in names if name == "adapter_config.json"),
        ]

    path = _obtain(source, _holds_lora, choose, role, remedy)
    return path if source.kind == "file" else _lora_in(path, source.text)


def _lora_in(folder: Path, where: str) -> Path:
    return folder / choose_lora_file(names_below(folder), where)


def _holds_lora(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _holds_vae(folder: Path) -> bool:
    try:
        weight_files(names_below(folder), "", str(folder))
    except ModelError:
        return False
    return (folder / "config.json").is_file()


def _obtain(
    source: Source,
    complete: Callable[[Path], bool],
    choose: Callable[[Sequence[str]], list[str]],
    role: str,
    remedy: str,
) -> Path:
    """A local path as it is, the cached snapshot if it is complete, else what `choose` picks from the Hub."""
    if source.path is not None and (source.hub_id is None or complete(source.path)):
        return source.path
    return fetch(source.hub_id or source.text, choose, role=role, remedy=remedy)
