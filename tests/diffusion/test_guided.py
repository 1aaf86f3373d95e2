"""Guided upsampling against the formulas, and what it must never do."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from helpers.guided_reference import guided, linear_model

from streamv2v_cli.diffusion import guided as module
from streamv2v_cli.diffusion.guided import Guide, GuidedUpsampler, coefficients
from streamv2v_cli.diffusion.tensors import from_model_range, resize
from streamv2v_cli.metrics.figures import sharpness

CPU = torch.device("cpu")
SMALL, LARGE = (29, 18), (77, 51)


def _scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A source with edges and noise, at full size in bytes and small, and a result that follows it in parts."""
    random = np.random.default_rng(seed)
    full = np.kron(random.uniform(0.1, 0.9, (3, 6, 8)), np.ones((1, 9, 10)))[:, : LARGE[1], : LARGE[0]]
    full = np.clip(full + random.normal(0, 0.03, full.shape), 0, 1)
    pixels = (full * 255).round().astype(np.uint8).transpose(1, 2, 0)
    small = cv2.resize(pixels, SMALL, interpolation=cv2.INTER_AREA).transpose(2, 0, 1) / 255
    turned = np.array([[0.1, 0.6, 0.1], [0.5, 0.0, 0.3], [0.0, 0.2, -0.7]]) @ small.reshape(3, -1)
    result = turned.reshape(small.shape) + np.array([0.1, 0.1, 0.8])[:, None, None]
    result += random.normal(0, 0.05, small.shape)
    return pixels, small, result.clip(0, 1)


def _upsampled(pixels: np.ndarray, small: np.ndarray, result: np.ndarray, guide: Guide) -> np.ndarray:
    upsampler = GuidedUpsampler(SMALL, pixels.shape[1::-1], CPU)
    pictures = [torch.from_numpy(2 * planes - 1).float() for planes in (result, small)]
    return upsampler(*pictures, torch.from_numpy(pixels), guide).numpy()


@pytest.mark.numerical
@pytest.mark.parametrize(("radius", "epsilon"), [(1, 1e-2), (2, 1e-3), (5, 1e-4)])
def test_the_coefficients_are_those_of_the_formulas(radius: int, epsilon: float) -> None:
    _, small, result = _scene()
    ours = coefficients(torch.from_numpy(2 * small - 1), torch.from_numpy(2 * result - 1), radius, epsilon)
    wanted = linear_model(small, result, radius, epsilon)
    np.testing.assert_allclose(ours.numpy().transpose(1, 0, 2, 3), wanted, atol=1e-9)


@pytest.mark.numerical
@pytest.mark.parametrize(
    "guide",
    [Guide(), Guide(0.5, 1, 1e-2), Guide(1, 3, 1e-4), Guide(1, 2, 1e-3, 4.0), Guide(0.3, 1, 1e-3, 2.0)],
    ids=str,
)
def test_the_whole_is_that_of_the_formulas(guide: Guide, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rows and columns are that it takes at a time: these do not divide the picture."""
    pixels, small, result = _scene()
    names = ("strength", "radius", "epsilon", "sharpen")
    options: dict[str, Any] = {name: getattr(guide, name) for name in names}
    wanted = guided(small, result, pixels.transpose(2, 0, 1) / 255, **options).transpose(1, 2, 0)
    for rows, columns in ((16, 64), (7, 11)):
        monkeypatch.setattr(module, "_ROWS", rows)
        monkeypatch.setattr(module, "_COLUMNS", columns)
        # What is restored after sharpening has been rounded twice before.
        difference = np.abs(_upsampled(pixels, small, result, guide) - wanted)
        assert difference.max() < (0.51 if guide.sharpen == 1 else 2)
        assert difference.mean() < 0.5


def test_without_strength_it_is_bicubic() -> None:
    pixels, small, result = _scene()
    picture = torch.from_numpy(2 * result - 1).float()[None]
    bicubic = from_model_range(resize(picture, LARGE)[0]).numpy().astype(int)
    assert np.abs(_upsampled(pixels, small, result, Guide(strength=0)) - bicubic).max() <= 1


@pytest.mark.parametrize("sharpen", [1.0, 4.0])
def test_no_photo_shines_through_a_flat_result(sharpen: float) -> None:
    pixels, small, _ = _scene()
    result = np.full_like(small, 0.6)
    assert np.ptp(_upsampled(pixels, small, result, Guide(sharpen=sharpen))) == 0


def test_a_recoloured_source_is_as_sharp_as_the_source() -> None:
    """Where the result is a linear function of the source, the enlarged one is that function of the large one."""
    scene = np.random.default_rng(0).integers(0, 256, (LARGE[1], LARGE[0], 3), dtype=np.uint8)
    small = torch.from_numpy(scene).permute(2, 0, 1)[None].double() / 255
    small = torch.nn.functional.interpolate(small, SMALL[::-1], mode="bicubic", antialias=True)[0].numpy()
    turn = np.array([[-0.5, 0.0, 0.0], [0.0, 0.0, 0.4], [0.2, 0.2, 0.0]])
    result = np.einsum("ci,ihw->chw", turn, small) + 0.5
    wanted = 255 * (scene / 255 @ turn.T + 0.5)
    ours = _upsampled(scene, small, result, Guide(epsilon=1e-7))
    blurred = _upsampled(scene, small, result, Guide(strength=0))
    assert np.abs(ours - wanted).mean() < 0.6 < 10 < np.abs(blurred - wanted).mean()
    luma = [cv2.cvtColor(picture.round().astype(np.uint8), cv2.COLOR_RGB2GRAY) for picture in (ours, wanted)]
    assert sharpness(luma[0]) == pytest.approx(sharpness(luma[1]), rel=0.01)


def test_sharpened_edges_have_no_halos() -> None:
    """A soft edge becomes steeper and stays between the colours on its two sides."""
    ramp = np.clip(np.linspace(-3, 4, SMALL[0]), 0, 1) * 0.6 + 0.2
    result = np.broadcast_to(ramp, (3, *SMALL[::-1])).copy()
    pixels = np.full((LARGE[1], LARGE[0], 3), 77, np.uint8)
    soft, steep = (
        _upsampled(pixels, np.full_like(result, 77 / 255), result, Guide(sharpen=sharpen))[25, :, 0].astype(
            int
        )
        for sharpen in (1.0, 6.0)
    )
    # Within a fiftieth of the edge: the range itself is enlarged by a bicubic filter, and so is what is restored.
    assert 48 <= steep.min() < steep.max() <= 207
    assert np.diff(steep).min() >= -3
    assert np.diff(steep).max() > 1.5 * np.diff(soft).max()
    assert abs(int((steep > 127).argmax()) - int((soft > 127).argmax())) <= 1


def test_sharpened_and_scaled_back_it_is_what_the_model_drew() -> None:
    pixels, small, result = _scene()
    errors = {}
    for sharpen in (1.0, 5.0):
        large = _upsampled(pixels, small, result, Guide(sharpen=sharpen))
        back = cv2.resize(large, SMALL, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
        errors[sharpen] = np.abs(back - 255 * result).mean()
    assert errors[5.0] < errors[1.0] < 6
