"""What the probe draws: three styles that leave something to invent.

A stroke, the angle of a hatching, a paper, a palette and a print's colours do not follow from the source, and they
are one for a whole picture: a model has to invent them and to agree with itself about them, which is what
self-attention is for. All pictures are float32 RGB (H, W, 3) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tools.train_mini.filters import blur, contrast, edges, kuwahara, luminance, mix, saturate, smoothstep

__all__ = ["MAIN_STYLE", "OTHER_STYLES", "STYLES", "stylise"]

Styliser = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def smeared_noise(angle: np.ndarray, length: int, grain: float, rng: np.random.Generator) -> np.ndarray:
    """White noise smeared along a field of directions (line integral convolution, Cabral and Leedom 1993).

    Args:
        angle: (H, W), radians.
        length: how far each way, px.
        grain: width of a streak, px (the deviation of a blur before the smearing).
        rng: draws the noise.

    Returns:
        (H, W) of mean 0 and deviation 1.
    """
    noise = cv2.GaussianBlur(rng.standard_normal(angle.shape, np.float32), (0, 0), grain)
    rows, columns = np.indices(angle.shape, np.float32)
    step_x, step_y = np.cos(angle, dtype=np.float32), np.sin(angle, dtype=np.float32)
    total = noise.copy()
    for way in (-1, 1):
        x, y = columns.copy(), rows.copy()
        for _ in range(length):
            dx, dy = (cv2.remap(step, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
                      for step in (step_x, step_y))  # fmt: skip
            x, y = x + way * dx, y + way * dy
            total += cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    total -= total.mean()
    smeared: np.ndarray = total / (total.std() + 1e-6)
    return smeared


def along_edges(grey: np.ndarray, elsewhere: float) -> np.ndarray:
    """The direction along the edges of (H, W), radians; `elsewhere` where there are none (structure tensor)."""
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    xx, yy, xy = (blur(product, 4.0) for product in (dx * dx, dy * dy, dx * dy))
    # Twice the angle of the gradient, as a vector; the opposite one belongs to the edge.
    cosine, sine = yy - xx, -2 * xy
    flat = 0.02
    angle: np.ndarray = 0.5 * np.arctan2(
        sine + flat * np.sin(2 * elsewhere), cosine + flat * np.cos(2 * elsewhere)
    )
    return angle.astype(np.float32)


def photo(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A print: one exposure, contrast, warmth and saturation for the whole picture."""
    x = saturate(rgb, rng.uniform(0.6, 1.4)) ** np.exp(rng.uniform(-0.35, 0.35))
    warmth = rng.uniform(-0.1, 0.1)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    return contrast(x * tint, rng.uniform(0.85, 1.2)).astype(np.float32)


def oil_painting(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes along the edges, on flat ground along one direction, in the colours of one palette."""
    paint = saturate(kuwahara(blur(rgb, 1.0), 6), rng.uniform(1.2, 1.7))
    angle = along_edges(luminance(blur(paint, 1.5)), rng.uniform(0, np.pi))
    strokes = smeared_noise(angle, int(rng.integers(5, 10)), rng.uniform(0.9, 1.5), rng)
    palette = rng.uniform(0.86, 1.14, 3).astype(np.float32)
    thick = contrast(paint, 1.15, 0.45) * palette * (1 + rng.uniform(0.07, 0.13) * strokes)[..., None]
    return np.clip(thick, 0, 1)


def pencil_sketch(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contours, and graphite shading hatched in one direction, crossed in the darks, on one paper."""
    tone = blur(luminance(rgb), 1.0)
    first = rng.uniform(0, np.pi)
    hatch = [
        smeared_noise(np.full(tone.shape, angle, np.float32), 9, 0.8, rng)
        for angle in (first, first + np.pi / 2)
    ]
    light, dark = smoothstep(0.85, 0.1, tone), smoothstep(0.42, 0.08, tone)
    shade = light * (0.72 + 0.14 * hatch[0]) + 0.1 * dark * (1 + hatch[1])
    ink = np.maximum(0.95 * edges(rgb, 1.3, 0.02, 0.08), shade)
    warmth = rng.uniform(-0.05, 0.05)
    paper = (0.93 + warmth, 0.92, 0.92 - warmth)
    grey = rng.uniform(0.08, 0.25)
    drawn: np.ndarray = np.clip(mix(paper, (grey, grey, grey + 0.02), ink), 0, 1)
    return drawn


STYLES: dict[str, Styliser] = {
    "photo": photo,
    "oil painting": oil_painting,
    "pencil sketch": pencil_sketch,
}
MAIN_STYLE = "oil painting"
"""The style of all tables; of the others there are no bank and DyMe alone."""
OTHER_STYLES = tuple(name for name in STYLES if name != MAIN_STYLE)


def stylise(name: str, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A uint8 RGB picture (H, W, 3) in a style; what is invented comes from `rng`."""
    result = STYLES[name](picture.astype(np.float32) / 255, rng)
    return (np.clip(result, 0, 1) * 255 + 0.5).astype(np.uint8)
