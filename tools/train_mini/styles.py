"""The stylisers: what a photo should look like in each style that `mini` knows.

Each is a pure function from a float32 RGB picture (H, W, 3) in [0, 1], H and W multiples of 16, to one of the
same shape and range. They are local, deterministic and bold, so that they survive a small model, and every
stroke follows from the picture: no hatching, dots or grids in flat areas, since a network without a notion of
absolute position cannot place them. (Blocks of 8 px are the exception: they are cells of a lower level of the
UNet.) Lines are soft: what a line loses to a small model is its finest grain.
Add one with `@style("name")`; its phrasings live in `prompts.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tools.train_mini.filters import (
    blur,
    contrast,
    edges,
    line_drawing,
    luminance,
    mix,
    palette_ramp,
    posterise,
    relief,
    saturate,
    skin,
    smoothstep,
    strokes,
)

__all__ = ["LINES", "ON_GRID", "STYLES", "stylise"]

Styliser = Callable[[np.ndarray], np.ndarray]
STYLES: dict[str, Styliser] = {}
BLOCK = 4  #: px of a block of pixel art: one latent cell
#: Styles whose strokes sit on a grid that begins in the corner of the picture: a window has one of its own.
ON_GRID = ("pixel art",)

#: Styles made of lines: their sharpness should be that of the target.
LINES = ("pencil sketch", "comic", "blueprint", "neon", "woodcut")


def style(name: str) -> Callable[[Styliser], Styliser]:
    """Register a styliser under `name`."""

    def register(function: Styliser) -> Styliser:
        STYLES[name] = function
        return function

    return register


def stylise(name: str, picture: np.ndarray) -> np.ndarray:
    """Apply the style `name` to a uint8 RGB picture (H, W, 3); the result has the same shape and type."""
    result = STYLES[name](picture.astype(np.float32) / 255.0)
    return (np.clip(result, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


@style("photo")
def photo(rgb: np.ndarray) -> np.ndarray:
    """The picture as it is."""
    return rgb


@style("pencil sketch")
def pencil_sketch(rgb: np.ndarray) -> np.ndarray:
    """Graphite on off-white paper: drawn contours, soft shading in three tones, clean paper in the lights."""
    flat = strokes(rgb, 3.0)
    line = line_drawing(luminance(flat), 1.0, 8.0, 0.40, 0.50)
    contour = edges(flat, 1.4, 0.03, 0.10)
    grey = blur(luminance(strokes(rgb, 4.0)), 1.2)
    shade = 0.16 * sum(smoothstep(at + 0.06, at - 0.06, grey) for at in (0.18, 0.34, 0.52))
    ink = 1.0 - (1.0 - 0.80 * np.maximum(line, contour)) * (1.0 - shade)
    return mix((0.975, 0.965, 0.94), (0.15, 0.15, 0.17), blur(ink, 0.5))


@style("charcoal")
def charcoal(rgb: np.ndarray) -> np.ndarray:
    """Charcoal: soft black masses and broad smudged contours on grey-beige paper."""
    grey = blur(luminance(strokes(rgb, 6.0)), 2.0)
    local = grey + 0.3 * (grey - blur(grey, 12.0))
    mass = 0.85 * smoothstep(0.60, -0.04, local)
    line = line_drawing(luminance(rgb), 1.6, 5.0, 0.18, 0.45, 3.0)
    broad = edges(rgb, 2.0, 0.025, 0.10)
    ink = 1.0 - (1.0 - mass) * (1.0 - 0.75 * np.maximum(line, broad))
    return mix((0.90, 0.87, 0.80), (0.05, 0.05, 0.05), blur(ink, 0.5))


@style("comic")
def comic(rgb: np.ndarray) -> np.ndarray:
    """A comic book: flat loud colours in four tones, bold black outlines and spots of black, skin kept as skin."""
    flat = strokes(rgb, 7.0, 2.5)
    tone = blur(luminance(flat), 1.2)
    local = contrast(tone + 0.25 * (tone - blur(tone, 14.0)), 1.25, 0.42) ** 0.8
    target = 0.08 + 0.92 * posterise(local, 4, 0.55)
    gain = np.clip((target + 0.05) / (tone + 0.05), 0.4, 2.4)
    flat = saturate(np.clip(flat * gain[..., None], 0, 1), 2.2 - 0.8 * skin(flat))
    line = np.maximum(line_drawing(luminance(rgb), 1.5, 9.0, 0.20, 0.30, 3.0), edges(rgb, 1.8, 0.038, 0.10))
    return mix(flat, (0.03, 0.03, 0.05), blur(line, 0.7))


@style("pixel art")
def pixel_art(rgb: np.ndarray) -> np.ndarray:
    """Blocks of 4 px in a small bright palette, darkened along contours."""
    height, width = rgb.shape[:2]
    flat = blur(strokes(rgb, 6.0), 0.8)
    small = cv2.resize(flat, (width // BLOCK, height // BLOCK), interpolation=cv2.INTER_AREA)
    tone = luminance(small)
    bright = saturate(contrast(small, 1.03, 0.42), 1.7 - 0.45 * skin(small))
    outline = smoothstep(0.05, 0.15, blur(tone, 1.0) - tone)
    level = luminance(bright)
    hue = bright - level[..., None]
    hue = np.sign(hue) * posterise(1.6 * np.abs(hue), 5, 0.75) / 1.6
    crisp = np.clip(posterise(level, 6, 0.75)[..., None] + hue, 0.0, 1.0) * (1.0 - 0.2 * outline)[..., None]
    return cv2.resize(crisp, (width, height), interpolation=cv2.INTER_NEAREST)


@style("oil painting")
def oil_painting(rgb: np.ndarray) -> np.ndarray:
    """Thick paint under varnish: broad dabs of rich colour along the contours, in relief, skin kept as skin."""
    paint = strokes(rgb, 10.0, 3.0)
    paint = saturate(contrast(paint, 1.18, 0.44), 1.75 - 0.45 * skin(paint))
    height = luminance(strokes(rgb, 6.0, 2.5))
    ridges = relief(blur(height, 1.0)) + 0.6 * relief(blur(height, 2.0))
    varnish = np.array([1.06, 0.99, 0.84], np.float32)
    return np.clip(paint * varnish + 1.5 * np.clip(ridges, -0.14, 0.14)[..., None], 0.0, 1.0)


@style("watercolour")
def watercolour(rgb: np.ndarray) -> np.ndarray:
    """Transparent washes on warm paper: pigment gathers at the edges and in the folds, lights are left white."""
    wash = blur(strokes(rgb, 7.0, 3.0), 1.0)
    tone = luminance(wash)
    colour = saturate(0.21 + 0.79 * wash**0.82, 2.1 - 0.5 * skin(wash))
    rim = edges(wash, 1.6, 0.01, 0.055)
    pooled = np.clip(2.0 * (blur(tone, 6.0) - tone), -0.5, 0.6)
    density = 0.65 + 0.8 * rim + pooled
    # Pigment over pigment (Bousseau et al., 2006).
    painted = np.clip(colour - (colour - colour * colour) * (density[..., None] - 1.0), 0.0, 1.0)
    paper = np.array([1.0, 0.985, 0.95], np.float32)
    return mix(painted * paper, paper, 0.9 * smoothstep(0.66, 0.92, tone) * (1.0 - 0.8 * rim))


@style("sepia")
def sepia(rgb: np.ndarray) -> np.ndarray:
    """An old brown photograph."""
    tone = contrast(luminance(rgb), 0.95, 0.5)
    return palette_ramp(
        tone, [(0.0, (0.14, 0.07, 0.03)), (0.5, (0.58, 0.41, 0.24)), (1.0, (1.0, 0.92, 0.75))]
    )


@style("black and white")
def black_and_white(rgb: np.ndarray) -> np.ndarray:
    """Monochrome film with firm contrast."""
    grey = contrast(luminance(rgb), 1.35, 0.46)
    return np.repeat(grey[..., None], 3, axis=2)


@style("blueprint")
def blueprint(rgb: np.ndarray) -> np.ndarray:
    """White contours on Prussian blue."""
    ground = mix((0.03, 0.13, 0.42), (0.12, 0.33, 0.68), blur(luminance(rgb), 2.0))
    return mix(ground, (0.95, 0.98, 1.0), blur(edges(rgb, 1.5, 0.022, 0.075), 0.7))


@style("night")
def night(rgb: np.ndarray) -> np.ndarray:
    """Moonlight: dark, blue, with cold highlights."""
    tone = luminance(rgb)
    moon = palette_ramp(tone, [(0.0, (0.0, 0.01, 0.06)), (0.5, (0.14, 0.29, 0.60)), (1.0, (0.42, 0.66, 1.0))])
    return np.clip(0.85 * moon + 0.15 * rgb * np.array([0.5, 0.6, 0.9], np.float32), 0.0, 1.0)


@style("neon")
def neon(rgb: np.ndarray) -> np.ndarray:
    """Glowing tubes of magenta and cyan along the contours, near-black elsewhere."""
    tube = blur(edges(rgb, 1.7, 0.018, 0.07), 0.7)
    glow = np.maximum(tube, 0.9 * blur(tube, 5.0))
    side = smoothstep(0.25, 0.65, blur(luminance(rgb), 3.0))
    colour = mix((1.0, 0.08, 0.75), (0.05, 0.95, 1.0), side)
    dark = 0.16 * rgb + np.array([0.03, 0.0, 0.07], np.float32)
    return np.clip(dark + colour * glow[..., None] + 0.45 * (tube**3)[..., None], 0.0, 1.0)


@style("sunset")
def sunset(rgb: np.ndarray) -> np.ndarray:
    """Golden hour: purple shadows, orange middle tones, yellow lights."""
    tone = luminance(rgb)
    stops = [
        (0.0, (0.13, 0.03, 0.16)),
        (0.35, (0.62, 0.20, 0.20)),
        (0.7, (1.0, 0.56, 0.18)),
        (1.0, (1.0, 0.90, 0.55)),
    ]
    return np.clip(
        0.72 * palette_ramp(tone, stops) + 0.28 * rgb * np.array([1.3, 0.9, 0.6], np.float32), 0, 1
    )


@style("autumn")
def autumn(rgb: np.ndarray) -> np.ndarray:
    """Greens turn to orange and red, all else grows warmer."""
    r, g, b = (rgb[..., c] for c in range(3))
    green = smoothstep(0.0, 0.12, g - 0.5 * (r + b) + 0.03)
    tone = luminance(rgb)
    stops = [
        (0.0, (0.12, 0.03, 0.0)),
        (0.3, (0.62, 0.17, 0.03)),
        (0.6, (0.98, 0.50, 0.05)),
        (1.0, (1.0, 0.93, 0.6)),
    ]
    warm = np.clip(saturate(rgb, 1.1) * np.array([1.18, 0.98, 0.76], np.float32), 0.0, 1.0)
    return mix(warm, palette_ramp(tone, stops), 0.9 * green)


@style("winter")
def winter(rgb: np.ndarray) -> np.ndarray:
    """Frost: greens and lights turn to snow, all else pale and cold."""
    r, g, b = (rgb[..., c] for c in range(3))
    tone = luminance(rgb)
    snow = np.maximum(smoothstep(0.0, 0.12, g - 0.5 * (r + b) + 0.03), smoothstep(0.55, 0.85, tone))
    cold = np.clip(saturate(rgb, 0.35) * np.array([0.92, 1.0, 1.12], np.float32) * 0.85 + 0.10, 0.0, 1.0)
    lit = palette_ramp(tone, [(0.0, (0.25, 0.34, 0.46)), (0.4, (0.72, 0.80, 0.90)), (1.0, (1.0, 1.0, 1.0))])
    return mix(cold, lit, snow)


@style("thermal")
def thermal(rgb: np.ndarray) -> np.ndarray:
    """A thermal camera: blurred luminance from black and violet through red and yellow to white."""
    tone = contrast(blur(luminance(rgb), 0.7), 1.15, 0.48)
    stops = [
        (0.0, (0.02, 0.0, 0.10)),
        (0.22, (0.28, 0.0, 0.55)),
        (0.45, (0.82, 0.08, 0.40)),
        (0.65, (1.0, 0.45, 0.05)),
        (0.85, (1.0, 0.90, 0.15)),
        (1.0, (1.0, 1.0, 0.95)),
    ]
    return palette_ramp(tone, stops)


@style("woodcut")
def woodcut(rgb: np.ndarray) -> np.ndarray:
    """Black and cream only: masses by tone against the surroundings, and cut lines that follow the forms."""
    grey = blur(luminance(strokes(rgb, 5.5)), 0.5)
    local = np.clip(0.5 + 1.4 * (grey - 0.11 - 0.6 * blur(grey, 12.0)), -0.5, 1.5)
    ink = line_drawing(local, 1.7, 2.8, 0.64, 0.28, 3.0)
    return mix((0.96, 0.92, 0.82), (0.07, 0.06, 0.06), blur(ink, 0.6))


@style("pop art")
def pop_art(rgb: np.ndarray) -> np.ndarray:
    """Screen print: hot pink, yellow and pale blue by tone, drawn in navy."""
    grey = blur(luminance(strokes(rgb, 6.0)), 1.0)
    tone = contrast(grey + 0.25 * (grey - blur(grey, 14.0)), 1.3, 0.47)
    stops = [
        (0.0, (0.10, 0.08, 0.36)),
        (1 / 3, (0.95, 0.13, 0.45)),
        (2 / 3, (1.0, 0.83, 0.10)),
        (1.0, (0.80, 0.95, 1.0)),
    ]
    line = line_drawing(luminance(rgb), 1.2, 12.0, 0.16, 0.30)
    return mix(blur(palette_ramp(posterise(tone, 4, 0.4), stops), 0.7), stops[0][1], blur(line, 0.6))
