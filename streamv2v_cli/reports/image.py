"""Writing one picture, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import whole_file

__all__ = ["save_picture"]


def save_picture(picture: Image.Image, path: Path, *, overwrite: bool, **options: Any) -> None:
    """Write a picture under a temporary name first, so that no half of one is ever seen.

    Args:
        picture: what is written.
        path: checked; its extension says the format.
        overwrite: a file of that name is replaced.
        options: of the format, for Pillow.

    Raises:
        SinkError: it cannot be written, or it may not take its name.
    """
    try:
        with whole_file(path, overwrite=overwrite) as file:
            picture.save(file, format=Image.registered_extensions()[path.suffix.lower()], **options)
    except OSError as error:
        raise SinkError(f"The output '{path}' cannot be written: {error.strerror or error}.") from error
