"""Matching colours: the result is given the means and spreads of the source's colours."""

from __future__ import annotations

from functools import cache

import torch

__all__ = ["ColourMatcher", "from_lab", "to_lab"]

_TO_XYZ = torch.tensor(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]],
    dtype=torch.float64,
)
"""From linear sRGB (IEC 61966-2-1)."""
_DELTA = 6 / 29
_SLOWEST = 0.1
"""Share of a frame in the running figures: they follow a change within about ten frames."""
_GAIN = 3.0
"""How many times larger or smaller a spread may become: a drawing in greys has none to enlarge."""


class ColourMatcher:
    """Draws the colours of results to those of their sources (Reinhard et al., Color transfer between images, 2001).

    In CIE L*a*b* each channel gets the mean and the standard deviation of the source's. Both are running figures over
    the frames, so that a moving object does not make the whole picture flicker: of the first k frames of a segment
    their mean, later an exponential one.

    Args:
        amount: share of the matched picture, from 0 to 1.
    """

    def __init__(self, amount: float) -> None:
        self.amount = amount
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._figures: torch.Tensor | None = None
        self._count = 0
        self._prompt = ""

    def __call__(
        self, picture: torch.Tensor, source: torch.Tensor, prompt: str, *, starts: bool
    ) -> torch.Tensor:
        """The next result.

        Args:
            picture: (1, 3, height, width) from -1 to 1.
            source: what it was made from, of the same shape and range.
            prompt: that it was made by; another one begins anew.
            starts: it is the first of a segment.

        Returns:
            A picture of the same shape and range.
        """
        if starts or prompt != self._prompt:
            self.reset()
        self._prompt = prompt
        lab = to_lab(picture[0].clamp(-1, 1))
        figures = torch.stack([_figures(lab), _figures(to_lab(source[0].to(picture)))])
        self._count += 1
        share = max(1 / self._count, _SLOWEST)
        self._figures = figures if self._figures is None else torch.lerp(self._figures, figures, share)
        (mean, spread), (wanted_mean, wanted_spread) = self._figures
        gain = (wanted_spread / spread.clamp_min(1e-3)).clamp(1 / _GAIN, _GAIN)
        matched = from_lab((lab - mean) * gain + wanted_mean)
        return torch.lerp(picture, matched[None], self.amount)


def _figures(lab: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation of each channel of (3, height, width), (2, 3, 1, 1)."""
    deviation, mean = torch.std_mean(lab, (1, 2), correction=0, keepdim=True)
    return torch.stack([mean, deviation])


def to_lab(picture: torch.Tensor) -> torch.Tensor:
    """(3, height, width) sRGB from -1 to 1 as CIE L*a*b*, D65: L from 0 to 100."""
    colours = (picture + 1) / 2
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055).clamp_min(0) ** 2.4)
    x, y, z = torch.tensordot(_matrices(linear.device, linear.dtype)[0], linear, 1).unbind(0)
    x, y, z = (_compressed(value) for value in (x, y, z))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def from_lab(lab: torch.Tensor) -> torch.Tensor:
    """(3, height, width) CIE L*a*b* as sRGB from -1 to 1; what lies outside of it is cut off."""
    light, a, b = lab.unbind(0)
    y = (light + 16) / 116
    values = torch.stack([y + a / 500, y, y - b / 200])
    linear_values = torch.where(values > _DELTA, values**3, 3 * _DELTA**2 * (values - 4 / 29))
    linear = torch.tensordot(_matrices(lab.device, lab.dtype)[1], linear_values, 1)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    colours = torch.where(linear <= 0.0031308, 12.92 * linear, curved)
    return 2 * colours.clamp(0, 1) - 1


def _compressed(value: torch.Tensor) -> torch.Tensor:
    """The cube root of CIE L*a*b*, which is straight near black."""
    root = value.clamp_min(_DELTA**3) ** (1 / 3)
    return torch.where(value > _DELTA**3, root, value / (3 * _DELTA**2) + 4 / 29)


@cache
def _matrices(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """From linear sRGB to XYZ as shares of white, and back."""
    there = _TO_XYZ / _TO_XYZ.sum(1, keepdim=True)
    return there.to(device, dtype), torch.linalg.inv(there).to(device, dtype)
