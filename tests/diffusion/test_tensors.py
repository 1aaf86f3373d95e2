from __future__ import annotations

import numpy as np
import torch

from streamv2v_cli.accel.transfer import DirectTransfers
from streamv2v_cli.diffusion.similar import SimilarFrameFilter
from streamv2v_cli.diffusion.tensors import from_model_range, resize, to_model_range
from streamv2v_cli.settings.schema import SkipSimilar

CPU = torch.device("cpu")


def test_all_values_survive_the_way_there_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    pixels.setflags(write=False)
    tensor = to_model_range(DirectTransfers(CPU).upload(pixels))
    assert tensor.shape == (1, 3, 16, 16)
    assert (float(tensor.min()), float(tensor.max())) == (-1.0, 1.0)
    assert np.array_equal(DirectTransfers(CPU).download(from_model_range(tensor[0]))(), pixels)


def test_values_outside_the_range_are_clipped() -> None:
    tensor = torch.tensor([-3.0, 3.0, float("inf")]).view(3, 1, 1)
    assert from_model_range(tensor).tolist() == [[[0, 255, 255]]]


def test_shrinking_does_not_alias() -> None:
    """Stripes one pixel wide become grey; without antialiasing they would become black or white."""
    stripes = torch.tensor([-1.0, 1.0]).repeat(64).expand(1, 3, 128, 128)
    small = resize(stripes, (32, 32))
    assert float(small[..., 4:-4].abs().max()) < 0.05
    assert resize(stripes, (128, 128)) is stripes


def test_the_filter_compares_with_the_last_translated_frame() -> None:
    """A slow fade is not swallowed: each frame is near its neighbour, but the distance to the last one adds up."""
    similar = SimilarFrameFilter(SkipSimilar(enabled=True, threshold=0.995, max_skip=100))
    base = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drift = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    let_through = []
    for number in range(30):
        picture = base + (drift - base) * number / 60
        if not similar.skips(picture):
            similar.translated(picture)
            let_through.append(number)
    assert let_through[0] == 0
    assert 3 <= len(let_through) < 30


def test_black_frames_are_similar() -> None:
    similar = SimilarFrameFilter(SkipSimilar(enabled=True))
    black = -torch.ones(1, 3, 8, 8)
    assert not similar.skips(black)
    similar.translated(black)
    assert similar.skips(black)
    assert not similar.skips(-black)
