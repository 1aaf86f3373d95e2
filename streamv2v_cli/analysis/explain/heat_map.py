"""The picture of where a point attends: heat over the frame and over those in the bank."""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamv2v_cli.analysis.explain.attention import Heat, Part
from streamv2v_cli.media.picture.resize import fitted, square_size
from streamv2v_cli.reports.captions import BACKGROUND, bar_height, caption
from streamv2v_cli.reports.grid import labelled_grid
from streamv2v_cli.settings.sizes import even

__all__ = ["heat_picture"]

_TILE = 384
"""Width of a frame in the picture, in pixels."""
_COLUMNS = 3
_FEWEST = 1.0
"""Times the even share; below it a place shows no heat at all."""
_POINT, _PEAK, _MATCH = (255, 40, 40), (255, 255, 255), (60, 220, 255)


def heat_picture(heat: Heat, lines: list[str]) -> np.ndarray:
    """Frames with heat: the frame itself, then those that the bank knows, the newest first.

    All share one scale: how many times the share that each place would get if all were attended to alike. The point
    is a red cross, the place of most heat in each frame a white ring, the nearest output for fusion a blue square.

    Args:
        heat: what is drawn.
        lines: what the picture says above the frames.

    Returns:
        (height, width, 3) uint8.
    """
    even_share = 1 / sum(part.weights.size for part in heat.parts)
    most = max(part.weights.max() for part in heat.parts) / even_share
    tiles = [_tile(heat, part, even_share, most) for part in heat.parts]
    texts = [f"frame {part.frame}: {100 * part.share:.1f} % of the attention" for part in heat.parts]
    frames = labelled_grid(list(zip(texts, tiles, strict=True)), _COLUMNS)
    width = frames.shape[1]
    bar = bar_height(22 * 16)
    head = [caption(line, (width, bar)) for line in lines]
    return np.concatenate([*head, frames, _scale(width, most), _legend(heat, width, bar)])


def _tile(heat: Heat, part: Part, even_share: float, most: float) -> np.ndarray:
    """One frame with its heat and marks."""
    width, height = square_size(part.picture.shape[1::-1], heat.sample_aspect_ratio)
    height = even(round(_TILE * height / width))
    grey = cv2.cvtColor(
        fitted(part.picture, heat.sample_aspect_ratio, (_TILE, height), BACKGROUND), cv2.COLOR_RGB2GRAY
    )
    times = part.weights.reshape(heat.grid).astype(np.float32) / even_share
    heated = cv2.resize(_strength(times, most), (_TILE, height), interpolation=cv2.INTER_LINEAR)
    tile = np.ascontiguousarray(_covered(grey * np.float32(0.8), heated))
    scale = _TILE / heat.grid[1], height / heat.grid[0]
    _ring(tile, _middle(int(part.weights.argmax()), heat.grid, scale))
    if part.match is not None:
        _square(tile, _middle(part.match, heat.grid, scale), scale)
    if part.frame == heat.question.frame:
        across, down = (
            (at + 0.5) / side for at, side in zip(heat.question.point, part.picture.shape[1::-1], strict=True)
        )
        _cross(tile, (round(across * _TILE), round(down * height)))
    return tile


def _strength(times: np.ndarray, most: float) -> np.ndarray:
    """How much heat covers the frame, 0 to 1: logarithmic from the even share to the most."""
    span = max(math.log(max(most, 1.0) / _FEWEST), 1e-6)
    strength: np.ndarray = np.clip(np.log(np.maximum(times, _FEWEST) / _FEWEST) / span, 0, 1)
    return strength


def _covered(grey: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8: a grey picture under heat that covers it the more the stronger it is."""
    mapped = cv2.applyColorMap((64 + 191 * strength).round().astype(np.uint8), cv2.COLORMAP_INFERNO)
    cover = np.sqrt(strength)[..., None]
    mixed: np.ndarray = grey[..., None] * (1 - cover) + mapped[..., ::-1] * cover
    return mixed.round().astype(np.uint8)


def _middle(token: int, grid: tuple[int, int], scale: tuple[float, float]) -> tuple[int, int]:
    row, column = divmod(token, grid[1])
    return round((column + 0.5) * scale[0]), round((row + 0.5) * scale[1])


def _cross(tile: np.ndarray, at: tuple[int, int]) -> None:
    for colour, thickness in (((0, 0, 0), 4), (_POINT, 2)):
        cv2.drawMarker(tile, at, colour, cv2.MARKER_CROSS, 18, thickness)


def _ring(tile: np.ndarray, at: tuple[int, int]) -> None:
    for colour, thickness in (((0, 0, 0), 4), (_PEAK, 2)):
        cv2.circle(tile, at, 9, colour, thickness, cv2.LINE_AA)


def _square(tile: np.ndarray, at: tuple[int, int], scale: tuple[float, float]) -> None:
    half = max(7, round(max(scale) / 2))
    for colour, thickness in (((0, 0, 0), 4), (_MATCH, 2)):
        cv2.rectangle(tile, (at[0] - half, at[1] - half), (at[0] + half, at[1] + half), colour, thickness)


def _scale(width: int, most: float) -> np.ndarray:
    """The colours with what they mean."""
    bar = bar_height(22 * 16)
    strength = np.linspace(0, 1, width // 3, dtype=np.float32)[None].repeat(bar - 8, 0)
    whole = np.full((bar, width, 3), BACKGROUND, np.uint8)
    left = width // 3
    whole[4 : bar - 4, left : left + strength.shape[1]] = _covered(np.full_like(strength, 128), strength)
    whole[:, :left] = caption("attention: the even share or less", (left, bar))
    rest = width - left - strength.shape[1]
    whole[:, width - rest :] = caption(f"{most:,.0f} times that (logarithmic)", (rest, bar))
    return whole


def _legend(heat: Heat, width: int, bar: int) -> np.ndarray:
    marks = ["red cross: the point", "white ring: most attention"]
    if heat.fusion is not None:
        marks.append("blue square: nearest output for fusion")
    return caption("; ".join(marks), (width, bar))
