"""What has a name or is used by itself: models, tiny VAEs, LCM-LoRAs and ControlNets, and what is of them here.

Imports no torch, and never touches the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamv2v_cli.errors import ModelError, ModelNotFoundError, reason_of
from streamv2v_cli.models.adapters.controlnets import NAMED
from streamv2v_cli.models.catalog import CATALOG, LAYOUTS, LCM_LORAS, SD_TINY_VAE, SDXL_TINY_VAE
from streamv2v_cli.models.choices import find_model
from streamv2v_cli.models.facts import read_facts
from streamv2v_cli.models.files.kinds import kind_of
from streamv2v_cli.models.files.layout import OPTIONS
from streamv2v_cli.models.files.selection import names_below
from streamv2v_cli.models.hub.needs import Need, lora_need, model_need, part_need
from streamv2v_cli.models.hub.sources import WEIGHT_SUFFIXES

__all__ = ["FoundFile", "Known", "files_in", "find_known", "known", "need_of", "size_here"]

Role = Literal["model", "VAE", "LCM-LoRA", "ControlNet"]

_SHORT = {"SD 1.x": "sd15", "SD 2.x": "sd21", "SDXL": "sdxl"}
_MB = 1_000_000
_RAIL, _RAIL_PLUS, _STABILITY = "OpenRAIL-M", "OpenRAIL++-M", "Stability Community"
_PUBLISHED: dict[str, tuple[int | None, str]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (3_930 * _MB, _RAIL),
    "stabilityai/sd-turbo": (4_825 * _MB, _STABILITY),
    "SimianLuo/LCM_Dreamshaper_v7": (3_930 * _MB, "MIT"),
    "stabilityai/stable-diffusion-xl-base-1.0": (13_540 * _MB, _RAIL_PLUS),
    "stabilityai/sdxl-turbo": (13_540 * _MB, _STABILITY),
    "madebyollin/taesd": (10 * _MB, "MIT"),
    "madebyollin/taesdxl": (10 * _MB, "MIT"),
    "latent-consistency/lcm-lora-sdv1-5": (135 * _MB, _RAIL_PLUS),
    "latent-consistency/lcm-lora-sdxl": (394 * _MB, _RAIL_PLUS),
    "lllyasviel/control_v11p_sd15_canny": (1_445 * _MB, _RAIL),
    "lllyasviel/control_v11p_sd15_softedge": (1_445 * _MB, _RAIL),
    "lllyasviel/control_v11f1e_sd15_tile": (1_445 * _MB, _RAIL),
    "thibaud/controlnet-sd21-canny-diffusers": (1_457 * _MB, ""),
    "thibaud/controlnet-sd21-hed-diffusers": (1_457 * _MB, ""),
    "diffusers/controlnet-canny-sdxl-1.0": (5_004 * _MB, _RAIL_PLUS),
    "xinsir/controlnet-tile-sdxl-1.0": (2_502 * _MB, "Apache-2.0"),
}
"""Hub id -> what a run fetches of it in bytes, rounded, and its licence; the repository's page is what counts."""


@dataclass(frozen=True)
class Known:
    """One thing that is known by name.

    Attributes:
        name: what options and `streamv2v models` call it.
        role: what it is.
        about: in some words.
        family: of `LAYOUTS`; None where its files say it.
        source: a Hub id, or a folder in this package.
        size: bytes that a run fetches, rounded; None where that is not known.
        licence: of its weights; empty where the page of the repository says it.
    """

    name: str
    role: Role
    about: str
    family: str | None
    source: str | Path
    size: int | None
    licence: str


@dataclass(frozen=True)
class FoundFile:
    """A file or folder of weights and what takes it.

    Attributes:
        path: where it is.
        holds: what, as `kind_of` says; or why that cannot be told.
        option: the option that takes it; empty if none does.
        size: bytes.
    """

    path: Path
    holds: str
    option: str
    size: int


def known() -> list[Known]:
    """Everything that is known, models first."""
    entries = [_entry(name, "model", e.about, e.family, e.source) for name, e in CATALOG.items()]
    for source, family in ((SD_TINY_VAE, "SD 1.x"), (SDXL_TINY_VAE, "SDXL")):
        about = "tiny VAE of SD 1.x and 2.x" if family == "SD 1.x" else "tiny VAE of SDXL"
        entries.append(_entry(source.rpartition("/")[2], "VAE", about, family, source))
    for source, family in zip(LCM_LORAS.values(), ("SD 1.x", "SDXL"), strict=True):
        name, about = source.rpartition("/")[2], "lets a plain model work in few steps"
        entries.append(_entry(name, "LCM-LoRA", about, family, source))
    for kind, nets in NAMED.items():
        for family, source in nets.items():
            about = f"what --controlnet {kind} takes for models of {family}"
            entries.append(_entry(f"{kind}-{_SHORT[family]}", "ControlNet", about, family, source))
    return entries


def _entry(name: str, role: Role, about: str, family: str | None, source: str | Path) -> Known:
    if isinstance(source, Path):
        return Known(name, role, about, family, source, None, "Apache-2.0")
    size, licence = _PUBLISHED.get(source, (None, ""))
    return Known(name, role, about, family, source, size, licence)


def find_known(name: str) -> Known:
    """What is known under a name, or under a Hub id: those are taken for models.

    Raises:
        ModelNotFoundError: it is neither.
    """
    for entry in known():
        if name in (entry.name, entry.source):
            return entry
    source, _ = find_model(name)
    if source.hub_id is None:
        raise ModelNotFoundError(
            f"{name!r} is on this machine already.",
            "`streamv2v models list FOLDER` says what the files in a folder are.",
        )
    return Known(name, "model", "a model on the Hugging Face Hub", None, source.hub_id, None, "")


def need_of(entry: Known) -> Need:
    """What a run reads of it; of a model the weights of its own parts, without VAE and LoRAs.

    Raises:
        ModelError: what is here of it is damaged.
    """
    text = str(entry.source)
    if entry.role == "VAE" or entry.role == "ControlNet":
        return part_need(text, entry.role)
    if entry.role == "LCM-LoRA":
        return lora_need(text, entry.role)
    source, _ = find_model(entry.name)
    here = source.path is not None and (source.path / "unet" / "config.json").is_file()
    facts = read_facts(source.path if here and source.path else LAYOUTS[entry.family or "SD 1.x"])
    return model_need(source, facts.weighty_parts)


def size_here(need: Need) -> int:
    """Bytes of the files of a part that is on this machine; 0 if something is missing."""
    path = need.path
    if path is None:
        return 0
    names = need.choose(names_below(path)) if path.is_dir() else [""]
    return sum((path / name).stat().st_size for name in names)


def files_in(folder: Path) -> Iterator[FoundFile]:
    """Files and folders of weights below a folder, each with what it holds; pickled files are not opened.

    Raises:
        ModelNotFoundError: there is no such folder.
        ModelError: it cannot be read.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"The folder '{folder}' does not exist.", "Check the path.")
    if kind_of(folder) != "unknown":
        yield _found(folder)
        return
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise ModelError(f"The folder '{folder}' cannot be read: {reason_of(error)}.") from error
    for path in inside:
        if path.is_file() and path.suffix.lower() in WEIGHT_SUFFIXES:
            yield _found(path)
        elif path.is_dir() and not path.is_symlink():
            yield from files_in(path)


def _found(path: Path) -> FoundFile:
    files = [path] if path.is_file() else [path / name for name in names_below(path)]
    size = sum(file.stat().st_size for file in files)
    try:
        holds = kind_of(path)
    except ModelError as error:
        return FoundFile(path, error.message, "", size)
    return FoundFile(path, holds, OPTIONS.get(holds, "").partition(" ")[0], size)
