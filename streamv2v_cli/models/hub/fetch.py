"""Fetching from the Hugging Face Hub: only what is needed, never pickles, and quick to say no."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamv2v_cli.errors import ModelError, StreamV2VError
from streamv2v_cli.models.files.kinds import check_place
from streamv2v_cli.models.files.selection import names_below
from streamv2v_cli.models.hub.needs import Need, adapter_need, lora_need, model_need, part_need
from streamv2v_cli.models.hub.sources import ModelSource, not_found, not_kept
from streamv2v_cli.models.loras.file import choose_lora_file
from streamv2v_cli.reports.text import bytes_text

__all__ = [
    "Download",
    "check_room",
    "fetch",
    "found",
    "free_in_cache",
    "obtain",
    "obtain_adapter",
    "obtain_controlnet",
    "obtain_lcm_lora",
    "obtain_lora",
    "obtain_model",
    "obtain_vae",
    "plan_download",
]

TIMEOUT = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Download:
    """What would be fetched for a part.

    Attributes:
        need: the part.
        names: its files in the repository.
        missing: bytes of those that are not on this machine.
    """

    need: Need
    names: tuple[str, ...]
    missing: int


def plan_download(need: Need) -> Download:
    """Ask the Hub for the files of a part and their sizes; errors as `fetch`."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    hub_id = need.source.hub_id or need.source.text
    with _plain_errors(hub_id, need.role, need.remedy):
        info = HfApi().model_info(hub_id, timeout=TIMEOUT, files_metadata=True)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        names = need.choose(list(sizes))
        missing = [
            name
            for name in names
            if not try_to_load_from_cache(hub_id, name, cache_dir=constants.HF_HUB_CACHE, revision=info.sha)
        ]
        return Download(need, tuple(names), sum(sizes.get(name, 0) for name in missing))


def check_room(downloads: Iterable[Download]) -> None:
    """Raise a ModelError if there is too little space for them in the Hub's cache."""
    from huggingface_hub import constants

    needed, free = sum(download.missing for download in downloads), free_in_cache()
    if needed > free:
        raise ModelError(
            f"The download takes {bytes_text(needed)}, and {bytes_text(free)} are free in "
            f"'{constants.HF_HUB_CACHE}'.",
            "Free some space there, or set HF_HOME to another folder.",
        )


def free_in_cache() -> int:
    """Bytes that are free where the Hub's cache is or will be."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def fetch(need: Need) -> Path:
    """Download the files of a part that are not in the Hub's cache yet.

    Returns:
        The snapshot folder.

    Raises:
        ModelNotFoundError: offline, unreachable, unknown or gated.
        ModelError: it cannot be written to the cache, or there is too little space.
    """
    from huggingface_hub import constants, snapshot_download

    hub_id = need.source.hub_id or need.source.text
    download = plan_download(need)
    check_room([download])
    with _plain_errors(hub_id, need.role, need.remedy), _closed_bars() as bar:
        _log.info(
            "fetching %s %s from the Hugging Face Hub (%d files)", need.role, hub_id, len(download.names)
        )
        return Path(
            snapshot_download(
                hub_id,
                cache_dir=constants.HF_HUB_CACHE,
                allow_patterns=list(download.names),
                etag_timeout=TIMEOUT,
                tqdm_class=bar,
            )
        )


@contextmanager
def _closed_bars() -> Iterator[type]:
    """The client's progress bars; it leaves them open, in the way of what is printed next."""
    from huggingface_hub.utils import tqdm

    opened: list[Any] = []

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            opened.append(self)

    try:
        yield Bar
    finally:
        for bar in opened:
            bar.close()


@contextmanager
def _plain_errors(hub_id: str, role: str, remedy: str) -> Iterator[None]:
    """Turn whatever the Hub client and its HTTP library raise into one sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except StreamV2VError:
        raise
    except OfflineModeIsEnabled as error:
        raise not_found(role, hub_id, "HF_HUB_OFFLINE forbids fetching it", remedy) from error
    except GatedRepoError as error:
        reason = "access to it is restricted: ask for it on its page, then run `hf auth login`"
        raise not_found(role, hub_id, reason, remedy) from error
    except RepositoryNotFoundError as error:
        reason = "the Hugging Face Hub has no public model of that name"
        raise not_found(role, hub_id, reason, remedy) from error
    except Exception as error:
        if full := not_kept(error, f"The {role} {hub_id!r}", constants.HF_HUB_CACHE, "HF_HOME"):
            raise full from error
        # The client's HTTP library, and with it the class of a refused connection, changes between versions.
        detail = (str(error).strip().splitlines() or [""])[0][:200].rstrip(". ")
        reason = f"the Hugging Face Hub cannot be reached ({type(error).__name__}: {detail})"
        raise not_found(role, hub_id, reason, remedy) from error


def obtain_model(
    source: ModelSource, parts: Sequence[str], *, own_vae: bool = False, allow_pickle: bool = False
) -> Path:
    """The model's folder in diffusers format, with its configs and the weights of `parts`, as `model_need`.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it has no safetensors weights, or is in another format.
    """
    return obtain(model_need(source, parts, own_vae=own_vae, allow_pickle=allow_pickle))


def obtain_vae(text: str, *, allow_pickle: bool = False) -> Path:
    """The folder or file of a VAE; with `allow_pickle` of .bin files where there are no others.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it has no safetensors weights.
    """
    return obtain(part_need(text, "VAE", allow_pickle=allow_pickle))


def obtain_controlnet(text: str, *, allow_pickle: bool = False) -> Path:
    """The folder or file of a ControlNet; as `obtain_vae`."""
    return obtain(part_need(text, "ControlNet", allow_pickle=allow_pickle))


def obtain_adapter(text: str, family: str) -> Path:
    """The file or folder of an IP-Adapter for a family of models, with its image encoder; errors as `obtain_vae`."""
    return obtain(adapter_need(text, family))


def obtain_lora(text: str) -> Path:
    """The file of a LoRA.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: its folder does not say which file is meant.
    """
    return obtain(lora_need(text, "LoRA"))


def obtain_lcm_lora(text: str) -> Path:
    """The file of the LCM-LoRA; errors as `obtain_lora`, with the way to do without it."""
    return obtain(lora_need(text, "LCM-LoRA"))


def obtain(need: Need) -> Path:
    """A local path as it is, the cached snapshot if it is complete, else what is fetched; of a LoRA the file."""
    path = need.path or fetch(need)
    return path if path.is_file() or "LoRA" not in need.role else _lora_in(path, need.source.text)


def found(need: Need) -> Path | None:
    """The same without the network: None if it is not on this machine.

    Raises:
        ModelError: the folder of a LoRA does not say which file is meant.
    """
    return None if need.path is None else obtain(need)


def _lora_in(folder: Path, where: str) -> Path:
    check_place(folder, "LoRA", allow_pickle=True)
    return folder / choose_lora_file(names_below(folder), where)
