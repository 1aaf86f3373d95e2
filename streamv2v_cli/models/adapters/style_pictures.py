"""Style pictures: reading them. Imports neither torch nor PyAV until it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import MediaError, ModelError, UsageError
from streamv2v_cli.models.files.kinds import given_file
from streamv2v_cli.models.model import StylePicture

if TYPE_CHECKING:
    import numpy as np

    from streamv2v_cli.settings.schema import StyleImage

__all__ = ["picture_path", "read_pictures"]


def picture_path(name: str) -> Path:
    """The file that --style-image names.

    Raises:
        ModelNotFoundError: it does not exist.
    """
    return given_file(name, "style picture", "--style-image")


def read_pictures(images: tuple[StyleImage, ...]) -> tuple[StylePicture, ...]:
    """The pictures, upright, opaque and in sRGB, as frames of an input would be.

    Raises:
        ModelNotFoundError: one does not exist.
        ModelError: one cannot be read.
    """
    return tuple(StylePicture(_read(picture_path(image.source)), image) for image in images)


def _read(path: Path) -> np.ndarray:
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.media.open import MediaInput, open_file
    from streamv2v_cli.media.trim import Trim

    try:
        source = open_file(MediaInput.of(path), trim=Trim(frames=1), copied=())
        try:
            return next(item.pixels for item in source if isinstance(item, Frame))
        finally:
            source.close()
    except (MediaError, UsageError, StopIteration) as error:
        reason = error.message if isinstance(error, MediaError | UsageError) else "it holds no picture."
        raise ModelError(
            f"The style picture '{path}' cannot be read: {reason}", "Give another with --style-image FILE."
        ) from error
