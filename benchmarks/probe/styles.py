"""What the probe draws: three styles that leave something to invent.

A stroke and a hatching are drawn out of white noise, which stands for what a model invents. A palette, a paper, the
lie of the strokes and a print's colours do not follow from the source either, and they are one for a whole picture: a
model has to agree with itself about them, which is what self-attention is for. All pictures are float32 RGB (H, W, 3)
in [0, 1], the noise float32 (H, W) of mean 0 and deviation 1.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tools.train_mini.filters import blur, contrast, edges, kuwahara, luminance, mix, saturate, smoothstep

__all__ = ["MAIN_STYLE", "OTHER_STYLES", "STYLES", "stylise"]

Styliser = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
LIE = np.pi / 4
"""The direction of a stroke where nothing else gives it one, radians; it varies by `SPREAD` between pictures."""
SPREAD = 0.2


def smeared_noise(noise: np.ndarray, angle: np.ndarray, length: int, grain: float) -> np.ndarray:
    """White noise smeared along a field of directions (line integral convolution, Cabral and Leedom 1993).

    Args:
        noise: (H, W).
        angle: (H, W), radians.
        length: how far each way, px.
        grain: width of a streak, px (the deviation of a blur before the smearing).

    Returns:
        (H, W) of mean 0 and deviation 1.
    """
    noise = blur(noise, grain)
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


def photo(rgb: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A print: one exposure, contrast, warmth and saturation for the whole picture."""
    x = saturate(rgb, rng.uniform(0.6, 1.4)) ** np.exp(rng.uniform(-0.35, 0.35))
    warmth = rng.uniform(-0.1, 0.1)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    return contrast(x * tint, rng.uniform(0.85, 1.2)).astype(np.float32)


def oil_painting(rgb: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes along the edges, on flat ground along one direction, in the colours of one warm palette."""
    paint = saturate(kuwahara(blur(rgb, 0.7), 4), rng.uniform(1.4, 2.0))
    angle = along_edges(luminance(blur(paint, 1.5)), rng.normal(LIE, SPREAD))
    strokes = smeared_noise(noise, angle, 8, 1.3)
    palette = rng.uniform((1.0, 0.9, 0.7), (1.25, 1.1, 1.0)).astype(np.float32)
    thick = contrast(paint, 1.15, 0.45) * palette * (1 + rng.uniform(0.1, 0.16) * strokes)[..., None]
    return np.clip(thick, 0, 1)


def pencil_sketch(rgb: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contours, and graphite shading hatched in one direction, crossed in the darks, on one paper."""
    tone = blur(luminance(rgb), 1.0)
    first = rng.normal(LIE, SPREAD)
    hatch = [
        smeared_noise(noise, np.full(tone.shape, angle, np.float32), 9, 1.2)
        for angle in (first, first + np.pi / 2)
    ]
    light, dark = smoothstep(0.8, 0.15, tone), smoothstep(0.42, 0.08, tone)
    shade = light * (0.66 + 0.1 * hatch[0]) + 0.1 * dark * (1 + hatch[1])
    ink = np.maximum(0.95 * edges(rgb, 1.5, 0.018, 0.06), shade)
    warmth = rng.uniform(-0.05, 0.05)
    paper = (0.95 + warmth, 0.94, 0.93 - warmth)
    grey = rng.uniform(0.05, 0.2)
    drawn: np.ndarray = np.clip(mix(paper, (grey, grey, grey + 0.02), np.clip(ink, 0, 1)), 0, 1)
    return drawn


STYLES: dict[str, Styliser] = {
    "photo": photo,
    "oil painting": oil_painting,
    "pencil sketch": pencil_sketch,
}
MAIN_STYLE = "oil painting"
"""The style of all tables; of the others there are no bank and DyMe alone."""
OTHER_STYLES = tuple(name for name in STYLES if name != MAIN_STYLE)


def stylise(name: str, picture: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A uint8 RGB picture (H, W, 3) in a style; strokes come from `noise`, what is one for the picture from `rng`."""
    result = STYLES[name](picture.astype(np.float32) / 255, noise.astype(np.float32), rng)
    return (np.clip(result, 0, 1) * 255 + 0.5).astype(np.uint8)
