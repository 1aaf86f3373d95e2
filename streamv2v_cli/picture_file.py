"""Writing one picture, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from .errors import SinkError

__all__ = ["save_picture"]


def save_picture(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture under a temporary name first, so that no half of one is ever seen.

    Args:
        picture: what is written.
        path: checked; its extension says the format.
        options: of the format, for Pillow.

    Raises:
        SinkError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        picture.save(part, format=Image.registered_extensions()[path.suffix.lower()], **options)
        part.replace(path)
    except OSError as error:
        raise SinkError(f"The output '{path}' cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
