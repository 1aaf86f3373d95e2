"""Guided upsampling: a small result is enlarged with the detail of its source, which is there at full size.

The fast guided filter with a colour guide (He, Sun & Tang, Guided image filtering, TPAMI 2013, section 3.4; He & Sun,
Fast guided filter, 2015): around each pixel of the small picture the result p is taken for a linear function of the
colours I of the small source, p = A I + b. The coefficients, which are smooth, are those of both pictures at half
their size; averaged and enlarged, they are applied to the source at full size. What this leaves unexplained, p - A I,
is enlarged as it is and holds b as well, so that a flat style stays flat whatever the source shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from streamv2v_cli.diffusion.tensors import resized_pixels

__all__ = ["Guide", "GuidedUpsampler", "coefficients"]

_COLUMNS = 64
"""Columns that are enlarged by one matrix product, which then has few zeros to multiply with."""
_ROWS, _ROWS_ON_A_GPU = 16, 256
"""Rows of the result that are made at a time: what belongs to them stays in the cache of a processor."""
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The upper triangle of a symmetric 3 x 3 matrix."""
_EDGE = 60.0
"""Difference in levels of 255 between the colours around a pixel from which on it belongs to an edge."""


@dataclass(frozen=True, slots=True)
class Guide:
    """How much of the source's detail is taken over.

    Attributes:
        strength: share of the detail, from 0 (none, which is bicubic) to 1.
        radius: of the windows in pixels of the small picture, 1 or more; coefficients take the next even one.
        epsilon: variance of the source, of colours from 0 to 1, that does not count as structure.
        sharpen: how many times steeper edges become, 1 or more, between the colours around them, so that there are no
            halos and nothing appears on a flat ground; scaled back, the picture stays what it was.
    """

    strength: float = 1.0
    radius: int = 2
    epsilon: float = 1e-3
    sharpen: float = 1.0


class GuidedUpsampler:
    """Enlarges pictures of one size to another.

    The coefficients are never there at full size.

    Args:
        small: (width, height) of the results.
        large: (width, height) of the sources, and of what comes out.
        device: where the pictures are.
    """

    def __init__(self, small: tuple[int, int], large: tuple[int, int], device: torch.device) -> None:
        self._half = (small[0] + 1) // 2, (small[1] + 1) // 2
        self._coarse = _Enlargement(self._half, large, 9, device)
        self._fine = _Enlargement(small, large, 10, device)

    def __call__(
        self, picture: torch.Tensor, source: torch.Tensor, full: torch.Tensor, guide: Guide
    ) -> torch.Tensor:
        """Enlarge a picture.

        Args:
            picture: (3, height, width) float32 result from -1 to 1, of the small size.
            source: the source of the same shape and range.
            full: (height, width, 3) uint8 source of the large size.
            guide: how much of its detail is taken over.

        Returns:
            (height, width, 3) uint8 of the large size.
        """
        halves = F.interpolate(torch.cat([source, picture])[None], self._half[::-1], mode="area")[0]
        factors = coefficients(halves[:3], halves[3:], (guide.radius + 1) // 2, guide.epsilon)
        factors = factors.mul_(guide.strength).flatten(0, 1)
        rest, result, start = _rest(picture, source, factors, guide), torch.empty_like(full), 0
        planes = result.new_empty((len(full), 3, full.shape[1])) if guide.sharpen > 1 else None
        for parts, others in zip(self._coarse(factors), self._fine(rest), strict=True):
            rows = slice(start, start := start + len(parts))
            levels = _rounded(_applied(parts, others, full[rows]))
            if planes is None:
                _interleave(levels, result[rows])
            else:
                planes[rows] = levels
        if planes is not None:
            self._restore(planes, picture, result)
        return result

    def _restore(self, planes: torch.Tensor, picture: torch.Tensor, result: torch.Tensor) -> None:
        """Add to (height, 3, width) levels what they lack of the small picture when they are scaled back to its size.

        Steep edges would give thin lines more weight than the model did, and more flicker. Iterative back-projection
        (Irani & Peleg, 1991), of which one step is enough.
        """
        size, start = (picture.shape[-1], picture.shape[-2]), 0
        again = resized_pixels(planes.permute(0, 2, 1), size).permute(2, 0, 1)
        for lack in self._fine((picture + 1).mul_(127.5).sub_(again)):
            rows = slice(start, start := start + len(lack))
            _interleave(_rounded(lack.add_(planes[rows])), result[rows])


class _Enlargement:
    """Bicubic enlargement by products with banded matrices, some columns and some rows at a time.

    What a processor works on stays in its cache.

    Args:
        small: (width, height) of planes.
        large: that of the enlarged ones.
        most: planes at once.
        device: where they are.
    """

    def __init__(
        self, small: tuple[int, int], large: tuple[int, int], most: int, device: torch.device
    ) -> None:
        rows = _ROWS if device.type == "cpu" else _ROWS_ON_A_GPU
        self._across = _bands(small[0], large[0], _COLUMNS, device)
        self._down = _bands(small[1], large[1], rows, device)
        self._wide = torch.empty(small[1] * most * large[0], device=device)
        self._width = large[0]

    def __call__(self, planes: torch.Tensor) -> Iterator[torch.Tensor]:
        """Of (count, height, width) the rows of the enlarged planes, (rows, count, width), from the top."""
        count, height, width = planes.shape
        small = planes.transpose(0, 1).reshape(-1, width)
        wide = self._wide[: len(small) * self._width].view(-1, self._width)
        for band in self._across:
            torch.mm(small[:, band.first : band.last], band.matrix, out=wide[:, band.start : band.end])
        wide = wide.view(height, -1)
        for band in self._down:
            yield torch.mm(band.matrix.T, wide[band.first : band.last]).view(-1, count, self._width)


def _rest(picture: torch.Tensor, source: torch.Tensor, factors: torch.Tensor, guide: Guide) -> torch.Tensor:
    """What is enlarged beside the factors, in levels of 255 as the full source is.

    Returns:
        (3 or 10, height, width): what the factors, (9, height / 2, width / 2), do not explain, and to sharpen the
        lowest and highest colours around, and how many times steeper an edge between them becomes.
    """
    enlarged = F.interpolate(factors[None], picture.shape[-2:], mode="bilinear").view(3, *picture.shape)
    rest = [(picture + 1).sub_(enlarged.mul_((source + 1)[:, None]).sum(0)).mul_(127.5)]
    if guide.sharpen > 1:
        largest = _over_windows(torch.cat([picture, -picture]), guide.radius, torch.maximum)
        highest, lowest = _means(largest, guide.radius).mul_(127.5).split(3)
        square = (highest + lowest).amax(0, keepdim=True).square_()
        gain = (square / (square + _EDGE**2)).mul_(guide.sharpen - 1).add_(1)
        rest += [127.5 - lowest, highest + 127.5, gain]
    return torch.cat(rest)


def _applied(factors: torch.Tensor, rest: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
    """Rows of the result, (rows, 3, width) in levels of 255.

    Args:
        factors: (rows, 9, width), A by the colours of the guide.
        rest: (rows, 3 or 10, width), what `_rest` gave, enlarged.
        full: (rows, width, 3) uint8 of the source.
    """
    colours, levels = full.permute(0, 2, 1).contiguous().float(), rest[:, :3]
    for colour in range(3):
        levels.addcmul_(factors[:, 3 * colour : 3 * colour + 3], colours[:, colour, None])
    if rest.shape[1] > 3:
        lowest, highest, gain = rest[:, 3:6], rest[:, 6:9], rest[:, 9:]
        middle = torch.lerp(lowest, highest, 0.5)
        levels = torch.lerp(middle, levels, gain).clamp_(lowest, highest)
    return levels


def _rounded(levels: torch.Tensor) -> torch.Tensor:
    """Levels as bytes; what is given is of no use afterwards."""
    return levels.round_().clamp_(0, 255).to(torch.uint8)


def _interleave(planes: torch.Tensor, pixels: torch.Tensor) -> None:
    """Write (rows, 3, width) into (rows, width, 3)."""
    torch.stack(planes.unbind(1), -1, out=pixels)


def coefficients(source: torch.Tensor, picture: torch.Tensor, radius: int, epsilon: float) -> torch.Tensor:
    """The matrix A of the linear model p = A I + b around each pixel, averaged over the windows that hold it.

    Args:
        source: I, (3, height, width) from -1 to 1.
        picture: p, of the same shape.
        radius: of the windows in pixels.
        epsilon: added to the variances, in squares of colours from 0 to 1.

    Returns:
        (3, 3, height, width): for each channel of I its factors in the three of p.
    """
    planes = source.new_empty((21, *source.shape[-2:]))
    planes[:3], planes[3:6] = source, picture
    for place, (i, j) in enumerate(_PAIRS):
        torch.mul(source[i], source[j], out=planes[6 + place])
    torch.mul(source[:, None], picture, out=planes[12:].view(3, 3, *source.shape[-2:]))
    means = _means(planes, radius)
    of_source, of_picture, squares, products = means.split([3, 3, 6, 9])
    for place, (i, j) in enumerate(_PAIRS):
        squares[place].addcmul_(of_source[i], of_source[j], value=-1)
    covariance = products.view(3, 3, *source.shape[-2:])
    covariance.addcmul_(of_source[:, None], of_picture, value=-1)
    # Colours from -1 to 1 have four times the variance.
    solved = _solved(squares, 4 * epsilon, covariance)
    return _means(solved.flatten(0, 1), radius).view_as(solved)


def _solved(variance: torch.Tensor, epsilon: float, covariance: torch.Tensor) -> torch.Tensor:
    """(V + epsilon)^-1 C at each pixel.

    Args:
        variance: (6, height, width), the upper triangle of V.
        epsilon: 0 or more.
        covariance: (3, 3, height, width), C.
    """
    xx, xy, xz, yy, yz, zz = variance.unbind(0)
    xx, yy, zz = xx + epsilon, yy + epsilon, zz + epsilon
    # The cofactors, by Cramer's rule: the inverse is symmetric as well.
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    scale = 1 / (xx * a + xy * b + xz * c)
    inverse = [[x.mul(scale) for x in row] for row in ((a, b, c), (b, d, e), (c, e, f))]
    solved = torch.empty_like(covariance)
    for place, (x, y, z) in enumerate(inverse):
        torch.mul(covariance[0], x, out=solved[place])
        solved[place].addcmul_(covariance[1], y).addcmul_(covariance[2], z)
    return solved


def _means(planes: torch.Tensor, radius: int) -> torch.Tensor:
    """The mean of (channels, height, width) over squares of 2 radius + 1, of what of them lies in the picture."""
    total = _over_windows(planes, radius, torch.add)
    for axis in (1, 2):
        length = planes.shape[axis]
        place = torch.arange(length, device=planes.device)
        count = (place + radius).clamp_max(length - 1) - (place - radius).clamp_min(0) + 1
        total.mul_(count.to(planes.dtype).reciprocal_().view(-1, *[1] * (2 - axis)))
    return total


def _over_windows(planes: torch.Tensor, radius: int, combine: Callable[..., torch.Tensor]) -> torch.Tensor:
    """(channels, height, width) combined over squares of 2 radius + 1, of what of them lies in the picture."""
    for axis in (1, 2):
        length = planes.shape[axis]
        total = planes.clone()
        for shift in range(1, min(radius, length - 1) + 1):
            rest = length - shift
            for here, there in ((shift, 0), (0, shift)):
                part = total.narrow(axis, here, rest)
                combine(part, planes.narrow(axis, there, rest), out=part)
        planes = total
    return planes


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """Some pixels of an enlarged row or column, and what of the small one they are made of.

    Attributes:
        start, end: of the pixels.
        first, last: of the small row or column.
        matrix: (last - first, end - start) float32.
    """

    start: int
    end: int
    first: int
    last: int
    matrix: torch.Tensor


def _bands(small: int, large: int, length: int, device: torch.device) -> list[_Band]:
    """Bicubic resampling from `small` to `large` pixels as matrix products of `length` pixels each."""
    whole = F.interpolate(torch.eye(small)[None, None], (small, large), mode="bicubic", antialias=True)[0, 0]
    bands = []
    for start in range(0, large, length):
        pixels = whole[:, start : start + length]
        used = pixels.any(dim=1).nonzero()
        first, last = int(used[0]), int(used[-1]) + 1
        matrix = pixels[first:last].contiguous().to(device)
        bands.append(_Band(start, min(start + length, large), first, last, matrix))
    return bands
