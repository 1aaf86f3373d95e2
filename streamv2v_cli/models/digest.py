"""Whether two machines have the same model: a digest of all files that it is loaded from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import ModelError, reason_of
from streamv2v_cli.models.locate import describe_model

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["model_digests"]


def model_digests(settings: Settings) -> dict[str, str]:
    """What the model is loaded from: role and source of each part -> digest of its files, by their names.

    Raises:
        ModelError: a part is not on this machine, or cannot be read.
    """
    if settings.translator == "passthrough":
        return {}
    digests: dict[str, str] = {}
    known: dict[Path, str] = {}
    for part in describe_model(settings).parts:
        if part.path is None:
            raise ModelError(f"{part.role} {part.source} is not on this machine: {part.remark}.")
        try:
            known[part.path] = known.get(part.path) or _digest(part.path)
        except OSError as error:
            raise ModelError(f"{part.role} {part.source} cannot be read: {reason_of(error)}.") from error
        digests[f"{part.role} {part.source}"] = known[part.path]
    return digests


def _digest(path: Path) -> str:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    whole = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "blake2b").hexdigest()
        whole.update(f"{file.relative_to(path).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()
