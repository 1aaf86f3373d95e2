"""Where labelled pictures stand."""

from __future__ import annotations

import numpy as np

from streamv2v_cli.reports.captions import BACKGROUND, caption
from streamv2v_cli.reports.grid import GAP, labelled_grid

BAR = 18
"""The least height of a caption."""


def plain(grey: int, width: int = 40, height: int = 30) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


def test_pictures_stand_in_rows_below_their_captions() -> None:
    pictures = [("one", plain(100)), ("two", plain(150)), ("three", plain(200))]
    whole = labelled_grid(pictures, 2)
    assert whole.shape == (2 * (BAR + 30) + GAP, 2 * 40 + GAP, 3)
    corners = [(0, 0), (0, 40 + GAP), (BAR + 30 + GAP, 0)]
    expected = plain(BACKGROUND, whole.shape[1], whole.shape[0])
    for (label, picture), (top, left) in zip(pictures, corners, strict=True):
        expected[top : top + BAR, left : left + 40] = caption(label, (40, BAR))
        expected[top + BAR : top + BAR + 30, left : left + 40] = picture
    assert np.array_equal(whole, expected)
    assert not np.array_equal(caption("one", (40, BAR)), plain(BACKGROUND, 40, BAR))


def test_the_largest_picture_says_how_much_room_each_has() -> None:
    whole = labelled_grid([("", plain(100, 20, 10)), ("", plain(200, 40, 30))], 5)
    assert whole.shape == (BAR + 30, 2 * 40 + GAP, 3)
    assert (whole[BAR : BAR + 10, :20] == 100).all()
    assert (whole[BAR + 10 :, :20] == BACKGROUND).all()
    assert (whole[BAR:, :40][:, 20:] == BACKGROUND).all()
    assert (whole[BAR:, 40 + GAP :] == 200).all()
