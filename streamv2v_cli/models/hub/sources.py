"""From what a user typed to a place: a file, a folder, the Hub's cache or nowhere.

Nothing here touches the network or imports torch.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.models.adapters.ip_adapter_files import NAMED
from streamv2v_cli.models.catalog import CATALOG

__all__ = ["ModelSource", "cached_snapshot", "find_source", "not_found", "not_kept"]

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ModelSource:
    """Where a model or a part of one is.

    Attributes:
        text: what the user typed or the catalog names.
        kind: `file` and `folder` are paths on this machine; `hub` is an id on the Hugging Face Hub.
        path: the file or folder; for `hub` the cached snapshot, None when nothing of it is cached.
        hub_id: the id for `hub`, else None.
    """

    text: str
    kind: Literal["file", "folder", "hub"]
    path: Path | None
    hub_id: str | None = None


def find_source(text: str, role: str, flag: str) -> ModelSource:
    """Find what `text` means: a path that exists always wins, then a Hub id.

    Args:
        text: a path or a Hub id (`owner/name`).
        role: what is looked for, such as "model" or "LoRA", for messages.
        flag: the option that takes a local path, for messages.

    Raises:
        ModelNotFoundError: it looks like a path but is not there, or is neither a path nor an id.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return ModelSource(text, "file", path)
    if path.is_dir():
        return ModelSource(text, "folder", path)
    if _looks_like_path(text):
        raise ModelNotFoundError(f"The {role} {text!r} does not exist.", f"Check the path given with {flag}.")
    if not _HUB_ID.fullmatch(text):
        near = get_close_matches(text, CATALOG, n=1) if role == "model" else []
        known = f" nor a known name ({', '.join(CATALOG)})" if role == "model" else ""
        raise ModelNotFoundError(
            f"The {role} {text!r} is not a file, a folder{known} or a Hub id of the form OWNER/NAME.",
            f"Did you mean {near[0]!r}?" if near else f"Give a path or a Hub id with {flag}.",
        )
    return ModelSource(text, "hub", cached_snapshot(text), text)


def _looks_like_path(text: str) -> bool:
    return (
        text.startswith((".", "/", "~"))
        or "\\" in text
        or text.count("/") > 1
        or text.endswith("/")
        or text.lower().endswith(WEIGHT_SUFFIXES)
    )


def cached_snapshot(hub_id: str) -> Path | None:
    """The folder in the Hub's cache that holds what was downloaded of `hub_id`, complete or not."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, cache_dir=constants.HF_HUB_CACHE, local_files_only=True))
    except LocalEntryNotFoundError as error:
        folder = getattr(error, "snapshot_path", None)
        return Path(folder) if folder else None


_NEEDED = {
    "model": (
        "*.yaml",
        "model_index.json",
        "scheduler/*",
        "tokenizer*/*",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder*/config.json",
        "text_encoder*/model.safetensors",
        "vae/config.json",
    ),
    "VAE": ("config.json", "diffusion_pytorch_model.safetensors"),
    "ControlNet": ("config.json", "diffusion_pytorch_model.safetensors"),
}
_NEEDED |= {
    f"IP-Adapter for {family}": (file, f"{encoder}/config.json", f"{encoder}/model.safetensors")
    for family, (file, encoder) in NAMED.items()
}
_NEEDED["model with its VAE"] = (*_NEEDED["model"], "vae/diffusion_pytorch_model.safetensors")
"""What is read of a repository, by role: it may hold many times as much in other formats."""


def not_found(role: str, hub_id: str, reason: str, remedy: str) -> ModelNotFoundError:
    """The error for a part that is not on this machine and cannot be fetched.

    Args:
        role: such as "model" or "LCM-LoRA".
        hub_id: the id on the Hub.
        reason: why it cannot be fetched, as the end of a sentence.
        remedy: the flag or setting that avoids the download.
    """
    files = " ".join(f'"{name}"' if "*" in name else name for name in _NEEDED.get(role, ("*.safetensors",)))
    return ModelNotFoundError(
        f"The {role} {hub_id!r} is not on this machine and {reason}.",
        f"Download it with `hf download {hub_id} --include {files}` where there is a network, or {remedy}.",
    )


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_WRITING = (errno.EROFS, errno.EACCES, errno.EPERM)
_OF_XET = re.compile(r"\(os error (\d+)\)")
"""How the Hub's other client, which is written in Rust, words what the system said."""


def not_kept(error: Exception, what: str, folder: Path | str, variable: str) -> ModelError | None:
    """The error for something that came but could not be written; None if it failed for another reason.

    Args:
        error: of the download.
        what: was fetched, as the beginning of a sentence.
        folder: where it is kept.
        variable: the environment variable that names another place.
    """
    cause: BaseException | None = error
    while cause is not None:
        code = cause.errno if isinstance(cause, OSError) else None
        if isinstance(cause, RuntimeError) and (match := _OF_XET.search(str(cause))):
            code = int(match[1])
        # A connection can be forbidden as well, but has no file name.
        forbidden = code in _NO_WRITING and getattr(cause, "filename", None) is not None
        if code is not None and (code in _NO_SPACE or forbidden):
            return ModelError(
                f"{what} cannot be kept in '{folder}': {os.strerror(code).lower()}.",
                f"Set {variable} to another folder{'' if forbidden else ', or free some space there'}.",
            )
        cause = cause.__cause__
    return None
