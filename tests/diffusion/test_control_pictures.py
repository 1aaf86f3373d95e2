"""Control pictures, by what they show of drawn pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamv2v_cli.diffusion.control_pictures import PREPROCESSORS, canny, control_pictures, luma, soft_edges
from streamv2v_cli.frame import Frame


def square(level: int, background: int = 0) -> np.ndarray:
    picture = np.full((64, 64, 3), background, np.uint8)
    picture[16:48, 16:48] = level
    return picture


def test_canny_is_that_of_opencv() -> None:
    found = canny(square(255))
    assert np.array_equal(found[..., 0], cv2.Canny(square(255), 100, 200))
    assert np.array_equal(found[..., 0], found[..., 2])
    assert not found[24:40, 24:40].any()
    assert found[15:17, 32].any()


def test_luma_is_grey() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 1] = 255
    assert np.array_equal(luma(picture), np.full((8, 8, 3), round(255 * 0.587), np.uint8))


@pytest.mark.parametrize("step", [16, 32, 48])
def test_a_soft_edge_is_as_bright_as_its_step(step: int) -> None:
    """A step of a quarter of the range is white, whatever else there is; one of half of that is half as bright."""
    found = soft_edges(square(100 + step, 100))
    brightest = int(found[:, 32].max())
    assert brightest == pytest.approx(4 * step, abs=0.06 * 4 * step)
    assert not found[31:33, 31:33].any()
    beside = square(100 + step, 100)
    beside[:, 60:] = 255
    assert np.array_equal(soft_edges(beside)[:, :40], found[:, :40])


def test_soft_edges_see_colours_of_equal_brightness() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32, 0], picture[:, 32:, 1] = 200, 102
    assert soft_edges(picture)[32, 31].max() > 200


def test_one_picture_for_each_net_in_the_size_of_the_model() -> None:
    frame = Frame(square(255))
    found = control_pictures(["tile", "canny", "tile"], frame, (32, 48))
    assert found.shape == (3, 3, 48, 32)
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(
        found[1], canny(np.ascontiguousarray(found[0].transpose(1, 2, 0))).transpose(2, 0, 1)
    )
    assert set(PREPROCESSORS) == {"canny", "softedge", "tile", "luma"}
