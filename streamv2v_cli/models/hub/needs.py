"""What a run needs of each part: which files of a repository are chosen, and when they are complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.adapters.ip_adapter_files import choose_adapter_files, find_adapter_files
from streamv2v_cli.models.files.selection import choose_files, holds_files, names_below, weight_files
from streamv2v_cli.models.hub.sources import ModelSource, find_source
from streamv2v_cli.models.loras.file import choose_lora_file

__all__ = ["Need", "adapter_need", "lora_need", "model_need", "part_need"]

MODEL_REMEDY = "give a local folder or file with --model PATH"
VAE_REMEDY = "give a local one with --vae PATH, or use the model's own with --vae own"
LCM_REMEDY = "give a local file with --lcm-lora PATH, or do without with --lcm-lora none"
LORA_REMEDY = "give a local file with --lora PATH"
ADAPTER_REMEDY = "give a local file with --ip-adapter FILE"
CONTROL_REMEDY = "give a local folder with --controlnet DIR"


@dataclass(frozen=True)
class Need:
    """A part that a run reads, and the one rule by which its files are chosen and fetched.

    Attributes:
        source: where it is.
        role: what it is, for messages.
        remedy: how to do without the download, for messages.
        choose: picks the wanted ones from the names of all files of a repository; its own errors pass through.
        complete: whether a cached snapshot has all of them.
    """

    source: ModelSource
    role: str
    remedy: str
    choose: Callable[[Sequence[str]], list[str]]
    complete: Callable[[Path], bool]

    @property
    def path(self) -> Path | None:
        """Where it is on this machine; None if something is missing."""
        path = self.source.path
        if path is None or (self.source.hub_id is not None and not self.complete(path)):
            return None
        return path


def model_need(
    source: ModelSource, parts: Sequence[str], *, own_vae: bool = False, allow_pickle: bool = False
) -> Need:
    """A model in diffusers format.

    Args:
        source: where it is.
        parts: whose weights are needed now, beside all configurations.
        own_vae: its VAE will be needed, as messages say.
        allow_pickle: take .bin files where there are no others.
    """

    def choose(names: Sequence[str]) -> list[str]:
        return choose_files(names, parts, source.text, allow_pickle=allow_pickle)

    def complete(folder: Path) -> bool:
        return holds_files(folder, parts, allow_pickle=allow_pickle)

    return Need(source, "model with its VAE" if own_vae else "model", MODEL_REMEDY, choose, complete)


def part_need(text: str, role: Literal["VAE", "ControlNet"], *, allow_pickle: bool = False) -> Need:
    """What a repository holds at its top: a config and weights.

    Raises:
        ModelNotFoundError: it looks like a path but is not there, or is neither a path nor an id.
    """
    source = find_source(text, role, f"--{role.lower()}")

    def choose(names: Sequence[str]) -> list[str]:
        return ["config.json", *weight_files(names, "", source.text, allow_pickle=allow_pickle)[1]]

    def complete(folder: Path) -> bool:
        try:
            choose(names_below(folder))
        except ModelError:
            return False
        return (folder / "config.json").is_file()

    return Need(source, role, VAE_REMEDY if role == "VAE" else CONTROL_REMEDY, choose, complete)


def lora_need(text: str, role: Literal["LoRA", "LCM-LoRA"]) -> Need:
    """The file of a LoRA; errors as `part_need`."""
    source = find_source(text, role, f"--{role.lower()}")

    def choose(names: Sequence[str]) -> list[str]:
        beside = [name for name in names if name == "adapter_config.json"]
        return [choose_lora_file(names, source.text), *beside]

    def complete(folder: Path) -> bool:
        return any(folder.glob("*.safetensors"))

    return Need(source, role, LORA_REMEDY if role == "LoRA" else LCM_REMEDY, choose, complete)


def adapter_need(text: str, family: str) -> Need:
    """An IP-Adapter for a family of models, with its image encoder; errors as `part_need`."""

    def choose(names: Sequence[str]) -> list[str]:
        return choose_adapter_files(names, family, text)

    def complete(folder: Path) -> bool:
        try:
            find_adapter_files(folder, None, family)
        except ModelError:
            return False
        return True

    source = find_source(text, "IP-Adapter", "--ip-adapter")
    return Need(source, f"IP-Adapter for {family}", ADAPTER_REMEDY, choose, complete)
