"""At which size the model works, and how large the result is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.errors import ConfigError

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Frames

__all__ = ["even", "model_frame_size", "output_frame_size", "pair_size"]


def model_frame_size(width: int, height: int, settings: Frames, vae_factor: int) -> tuple[int, int]:
    """The (width, height) in pixels that the model works at for a source of `width` x `height`.

    The aspect ratio is kept, but for the rounding of each side to `settings.multiple`. A size given as
    WIDTHxHEIGHT is a box that the picture fills as far as it can.

    Raises:
        ConfigError: `frame.multiple` is not a multiple of the VAE's factor.
    """
    if settings.multiple % vae_factor:
        raise ConfigError(
            f"frame.multiple is {settings.multiple}, but this model's VAE needs a multiple of {vae_factor}.",
            f"Try --set frame.multiple={vae_factor}.",
        )
    if settings.size == "native":
        scale = 1.0
    elif isinstance(settings.size, int):
        scale = settings.size / min(width, height)
    else:
        box_width, box_height = map(int, settings.size.split("x"))
        scale = min(box_width / width, box_height / height)

    def rounded(side: int) -> int:
        return max(1, round(side * scale / settings.multiple)) * settings.multiple

    return rounded(width), rounded(height)


def output_frame_size(source: tuple[int, int], model: tuple[int, int], settings: Frames) -> tuple[int, int]:
    """The (width, height) of the result, from `frame.output_size`."""
    if settings.output_size == "source":
        return source
    if settings.output_size == "model":
        return model
    width, height = map(int, settings.output_size.split("x"))
    return width, height


def pair_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) of two pictures of `size` beside each other."""
    return 2 * even(size[0]), size[1]


def even(length: int) -> int:
    """The next even number: colours are often stored for two rows and columns together."""
    return length + length % 2
