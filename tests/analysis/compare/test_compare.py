"""`streamv2v compare`: the right pictures beside each other, at the right times, in the right shape."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.clips import HEIGHT, LOSSLESS, WIDTH, look, make_clip, number_of, numbered

from streamv2v_cli.media.picture.resize import fitted
from streamv2v_cli.reports.captions import caption

BAR, GAP = 18, 4
COUNT = 12
EVENLY = tuple(range(0, 512 * COUNT, 512))


def video(path: Path, first: int = 0, **changes: object) -> Path:
    """A clip whose frames say their number, from `first` on."""
    fields = {"pts": EVENLY, "options": LOSSLESS, "picture": lambda index: numbered(first + index)}
    return make_clip(path, **{**fields, **changes})


def cells(pixels: np.ndarray, columns: int, rows: int, top: int = BAR) -> list[int]:
    """The numbers in a grid of pictures, row by row."""
    found = []
    for row in range(rows):
        for column in range(columns):
            left, upper = column * (WIDTH + GAP), top + row * (HEIGHT + BAR + GAP)
            found.append(number_of(pixels[upper : upper + HEIGHT, left : left + WIDTH]))
    return found


def pixels_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as picture:
        (frame,) = picture.decode(video=0)
        return frame.to_ndarray(format="rgb24")


def test_frames_of_the_same_moment_stand_beside_each_other(here: Callable, tmp_path: Path) -> None:
    first = video(tmp_path / "first.mp4", tones=(0.0,))
    video(tmp_path / "second.mp4", 100)
    done = here("compare", "first.mp4", "second.mp4", "-o", "side.mp4")
    assert (done.code, done.out, done.err) == (0, "side.mp4\n", "")
    seen, source = look(tmp_path / "side.mp4"), look(first)
    assert (seen.width, seen.height) == (2 * WIDTH + GAP, HEIGHT + BAR)
    assert seen.times == source.times
    assert seen.sounds == source.sounds
    assert [cells(pixels, 2, 1) for pixels in seen.pixels] == [[n, 100 + n] for n in range(COUNT)]
    assert not list(tmp_path.glob("*.part"))


def test_times_decide_what_belongs_together(here: Callable, tmp_path: Path) -> None:
    """A slow video that begins late, a short one, and one that goes on."""
    video(tmp_path / "first.mp4")
    video(tmp_path / "slow.mp4", 100, pts=[900 + 1024 * n for n in range(COUNT // 2)])
    video(tmp_path / "short.mkv", 200, pts=EVENLY[:5])
    video(tmp_path / "long.mp4", 300, pts=range(0, 512 * 20, 512))
    done = here("compare", "first.mp4", "slow.mp4", "short.mkv", "long.mp4", "-o", "side.mkv")
    assert done.code == 0
    assert done.err.splitlines() == [
        "warning: 'short.mkv' ends before the first video: its last frame is repeated.",
        "warning: 'long.mp4' continues after the end of the first video.",
    ]
    seen = look(tmp_path / "side.mkv")
    assert (seen.width, seen.height) == (2 * WIDTH + GAP, 2 * (HEIGHT + BAR) + GAP)
    expected = [[n, 100 + n // 2, 200 + min(n, 4), 300 + n] for n in range(COUNT)]
    assert [cells(pixels, 2, 2) for pixels in seen.pixels] == expected


def test_images_follow_by_order_and_columns_can_be_chosen(here: Callable, tmp_path: Path) -> None:
    video(tmp_path / "fast.mp4", pts=range(0, 256 * COUNT, 256), rate=Fraction(50))
    (tmp_path / "frames").mkdir()
    for index in range(COUNT):
        with av.open(str(tmp_path / "frames" / f"{index:03}.png"), "w", format="image2") as image:
            stream = image.add_stream("png", width=WIDTH, height=HEIGHT, pix_fmt="rgb24")
            image.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(50 + index), "rgb24")))
            image.mux(stream.encode(None))
    arguments = ("compare", "fast.mp4", "frames", "fast.mp4", "fast.mp4", "--columns", 4, "--frames", 7)
    assert here(*arguments, "-o", "side.mp4").code == 0
    seen = look(tmp_path / "side.mp4")
    assert [cells(pixels, 4, 1) for pixels in seen.pixels] == [[n, 50 + n, n, n] for n in range(7)]


def test_captions(here: Callable, tmp_path: Path) -> None:
    video(tmp_path / "first.mp4", pts=EVENLY[:1])
    arguments = ("compare", "first.mp4", "first.mp4")

    def captions(*options: object) -> list[np.ndarray]:
        assert here(*arguments, *options, "-y", "-o", "side.mkv").code == 0
        (pixels,) = look(tmp_path / "side.mkv").pixels
        return [pixels[:BAR, :WIDTH].astype(int), pixels[:BAR, -WIDTH:].astype(int)]

    left, right = captions()
    assert left.max() > 150
    assert np.abs(left - right).mean() < 5
    other, same = captions("-l", "source", "-l", "first.mp4")
    assert np.abs(left - other).mean() > 10
    assert np.abs(right - same).mean() < 5
    assert here(*arguments, "--no-labels", "-o", "bare.mkv").code == 0
    seen = look(tmp_path / "bare.mkv")
    assert seen.height == HEIGHT
    assert cells(seen.pixels[0], 2, 1, top=0) == [0, 0]


@pytest.mark.parametrize("text", ["", "short", "a text that fits nowhere " * 5, "ñandú 日本"])
def test_a_caption_stays_within_its_bar(text: str) -> None:
    picture = caption(text, (100, 20))
    assert picture.shape == (20, 100, 3)
    assert (picture[:, :3] == picture[0, 0]).all()
    assert (picture[:, -3:] == picture[0, 0]).all()
    assert (picture.max() > 150) == bool(text)


@pytest.mark.parametrize(
    ("size", "aspect", "box", "inner"),
    [
        ((64, 48), Fraction(1), (64, 48), (0, 0, 64, 48)),
        ((64, 48), Fraction(1), (128, 96), (0, 0, 128, 96)),
        ((48, 64), Fraction(1), (64, 48), (14, 0, 36, 48)),
        ((60, 30), Fraction(1), (40, 40), (0, 10, 40, 20)),
        ((40, 40), Fraction(1, 2), (40, 40), (10, 0, 20, 40)),
    ],
)
def test_pictures_keep_their_shape(
    size: tuple[int, int], aspect: Fraction, box: tuple[int, int], inner: tuple[int, int, int, int]
) -> None:
    whole = fitted(np.full((size[1], size[0], 3), 200, np.uint8), aspect, box, 24)
    left, top, width, height = inner
    expected = np.full((box[1], box[0], 3), 24, np.uint8)
    expected[top : top + height, left : left + width] = 200
    assert np.array_equal(whole, expected)


def test_pixels_that_are_no_squares_and_another_height(here: Callable, tmp_path: Path) -> None:
    video(tmp_path / "wide.mp4", aspect=Fraction(2), pts=EVENLY[:2])
    assert here("compare", "wide.mp4", "wide.mp4", "--height", 96, "--no-labels", "-o", "side.mp4").code == 0
    seen = look(tmp_path / "side.mp4")
    assert (seen.width, seen.height) == (2 * 256 + GAP, 96)
    assert (seen.aspect or 1) == 1


def test_a_contact_sheet(here: Callable, tmp_path: Path) -> None:
    video(tmp_path / "first.mp4", pts=[512 + pts for pts in EVENLY])
    video(tmp_path / "second.mp4", 100)
    assert here("compare", "first.mp4", "second.mp4", "-o", "sheet.png").out == "sheet.png\n"
    sheet = pixels_of(tmp_path / "sheet.png")
    assert sheet.shape == (BAR + 2 * (BAR + HEIGHT + GAP) - GAP, 4 * (WIDTH + GAP) - GAP, 3)
    chosen = [0, 4, 7, 11]
    assert cells(sheet, 4, 2, top=2 * BAR) == [*chosen, *(100 + n for n in chosen)]
    assert not list(tmp_path.glob("*.part"))
    assert here("compare", "first.mp4", "second.mp4", "-o", "sheet.jpg", "--moments", 20).code == 0
    assert cells(pixels_of(tmp_path / "sheet.jpg"), COUNT, 1, top=2 * BAR) == list(range(COUNT))
    assert here("compare", "first.mp4", "second.mp4", "-o", "sheet.webp", "--moments", 1).code == 0
    assert pixels_of(tmp_path / "sheet.webp").shape[1] == WIDTH


def test_the_times_on_a_sheet_are_those_of_its_frames(here: Callable, tmp_path: Path) -> None:
    video(tmp_path / "first.mp4", pts=[512 + pts for pts in EVENLY])
    assert here("compare", "first.mp4", "first.mp4", "-o", "sheet.png", "--moments", 2).code == 0
    head = pixels_of(tmp_path / "sheet.png")[:BAR]
    for place, text in enumerate(("0.04 s", "0.48 s")):
        left = place * (WIDTH + GAP)
        assert np.array_equal(head[:, left : left + WIDTH], caption(text, (WIDTH, BAR)))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("a.mp4", "-o", "x.mp4"), 2, "1 video cannot be compared"),
        (("a.mp4",) * 7 + ("-o", "x.mp4"), 2, "7 videos cannot be compared"),
        (("a.mp4", "no.mp4", "-o", "x.mp4"), 1, "'no.mp4' cannot be opened"),
        (("a.mp4", "no.mp4", "-o", "x.png"), 1, "'no.mp4' cannot be opened"),
        (("a.mp4", "a.mp4", "-o", "a.mp4", "-y"), 2, "is the input"),
        (("a.mp4", "a.mp4", "-o", "there.png"), 2, "exists"),
        (("a.mp4", "a.mp4", "-o", "a.mp4/x.png"), 2, "not a folder"),
        (("a.mp4", "a.mp4", "-o", "-"), 2, "written to one file"),
        (("a.mp4", "a.mp4", "-o", "%03d.png"), 2, "written to one file"),
        (("a.mp4", "a.mp4", "-o", "x.txt"), 2, "no extension that names"),
        (("-", "-", "-o", "x.mp4"), 2, "Only one video"),
        (("-", "a.mp4", "-o", "x.png"), 2, "cannot come from a pipe"),
        (("a.mp4", "a.mp4", "-o", "x.mp4", "-l", "one"), 2, "1 captions were given for 2 videos"),
        (("a.mp4", "a.mp4", "-o", "x.mp4", "-l", "a", "-l", "b", "--no-labels"), 2, "Both --label and"),
        (("a.mp4", "a.mp4", "-o", "x.png", "--crf", "20"), 2, "--crf does not apply to a contact sheet"),
        (("a.mp4", "a.mp4", "-o", "x.mp4", "--moments", "2"), 2, "--moments does not apply to a video"),
        (("a.mp4", "a.mp4", "-o", "x.mp4", "--crf", "999"), 2, "--crf"),
    ],
)
def test_what_is_refused(
    here: Callable, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    video(tmp_path / "a.mp4", pts=EVENLY[:2])
    (tmp_path / "there.png").touch()
    done = here("compare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "there.png"}
