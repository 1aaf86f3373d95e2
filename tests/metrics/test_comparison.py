"""The figures against slow references from the formulas, and the cases whose outcome is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from streamv2v_cli.errors import MediaError
from streamv2v_cli.metrics import Comparison, DisFlow, Means
from streamv2v_cli.metrics import flow as flow_module
from streamv2v_cli.metrics.figures import fine_energy

HEIGHT, WIDTH = 60, 90


def texture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture of soft spots in three colours: something that optical flow can hold on to."""
    values = np.random.default_rng(seed).uniform(0, 255, (height, width, 3))
    for axis in (0, 1):
        values = sum(np.roll(values, shift, axis) for shift in range(-3, 4)) / 7
    values = (values - values.min()) / (values.max() - values.min())
    return (20 + 215 * values).astype(np.uint8)


def panned(frames: int, step: int, seed: int = 0) -> list[np.ndarray]:
    """A window that moves `step` pixels to the right over a wider picture."""
    wide = texture(seed, width=WIDTH + frames * step)
    return [np.ascontiguousarray(wide[:, k * step : k * step + WIDTH]) for k in range(frames)]


def shift_flow(step: int):
    """The exact flow of `panned`: contents move to the left; the other way if asked from the later frame."""
    calls = []

    def estimate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        calls.append(1)
        flow = np.zeros((*a.shape, 2), np.float32)
        flow[..., 0] = step if len(calls) % 2 else -step
        return flow

    return estimate


def means(source: list[np.ndarray], edited: list[np.ndarray], flow=None) -> Means:
    comparison = Comparison(flow)
    for pair in zip(source, edited, strict=True):
        comparison.push(*pair)
    return comparison.means()


def noisy(frames: list[np.ndarray], sigma: float, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        (frame // 2 + 64 + rng.normal(0, sigma, frame.shape)).round().astype(np.uint8) for frame in frames
    ]


def test_a_still_video_gives_nothing() -> None:
    still = [texture()] * 4
    found = means(still, [texture(5)] * 4)
    assert (found.frames, found.changes) == (4, 3)
    assert found.warp_error == found.source_warp_error == found.flicker == found.source_change == 0
    assert found.visible == 1
    assert found.sharpness_trend == pytest.approx(0, abs=1e-9)


def test_a_global_shift_with_its_exact_flow_gives_nothing() -> None:
    source, edited = panned(5, 3), panned(5, 3, seed=7)
    found = means(source, edited, shift_flow(3))
    assert found.warp_error == found.flicker == found.source_change == 0
    # What enters at the right side was not there before.
    assert found.visible == pytest.approx((WIDTH - 3) / WIDTH)
    # The wrong way round, nothing fits.
    assert means(source, edited, shift_flow(-3)).warp_error > 100


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_white_noise_gives_twice_its_variance(sigma: float) -> None:
    still = [texture(height=200, width=300)] * 6
    found = means(still, noisy(still, sigma))
    # Rounding adds a twelfth to each frame. The mean of |N(0, 2 sigma^2)| is 2 sigma / sqrt(pi).
    assert found.warp_error == pytest.approx(2 * (sigma**2 + 1 / 12), rel=0.02)
    assert found.flicker == pytest.approx(2 * sigma / np.sqrt(np.pi), rel=0.03)


def test_the_estimated_flow_of_a_pan_explains_it() -> None:
    source = panned(5, 2)
    edited = [255 - frame for frame in source]
    found = means(source, edited)
    standing = means([source[0]] * 5, edited)
    assert found.warp_error < 0.02 * standing.warp_error
    assert abs(found.flicker) < 0.1
    assert found.visible > 0.9


def test_swapped_frames_raise_it() -> None:
    source = panned(8, 2)
    swapped = [source[index] for index in (0, 1, 3, 2, 4, 6, 5, 7)]
    right, wrong = means(source, source), means(source, swapped)
    assert right.flicker == 0
    assert wrong.warp_error > 20 * right.warp_error
    assert wrong.flicker > 1


def test_what_is_hidden_does_not_count() -> None:
    """A square moves over a still ground; what it uncovers has no counterpart in the frame before."""
    ground, square = texture(1), texture(2)[:20, :20]
    before, after = ground.copy(), ground.copy()
    before[20:40, 20:40] = square
    after[20:40, 26:46] = square
    forth, back = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    forth[20:40, 20:40, 0], back[20:40, 26:46, 0] = 6, -6
    flows = iter([back, forth])
    comparison = Comparison(lambda a, b: next(flows))
    comparison.push(before, before)
    figures = comparison.push(after, after)
    assert figures.warp_error == 0
    assert figures.visible == pytest.approx(1 - 20 * 6 / (HEIGHT * WIDTH))


def reference_visible(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """Pixel by pixel, where `back` leads to the middle of pixels."""
    height, width = back.shape[:2]
    visible = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            there_x, there_y = x + round(back[y, x, 0]), y + round(back[y, x, 1])
            if 0 <= there_x < width and 0 <= there_y < height:
                f, b = forth[there_y, there_x], back[y, x]
                visible[y, x] = ((b + f) ** 2).sum() <= 0.01 * ((b**2).sum() + (f**2).sum()) + 0.5
    return visible


def test_the_check_pixel_by_pixel() -> None:
    rng = np.random.default_rng(3)
    back = rng.integers(-2, 3, (18, 25, 2)).astype(np.float32)
    forth = rng.integers(-2, 3, (18, 25, 2)).astype(np.float32) * np.float32(0.9)
    expected = reference_visible(back, forth)
    assert 0.02 < expected.mean() < 0.5
    assert np.array_equal(flow_module.visible_after(back, forth) == 255, expected)


def reference_errors(before: np.ndarray, after: np.ndarray, back: np.ndarray, seen: np.ndarray):
    """Mean squared and mean absolute difference over the seen pixels, for a flow of whole pixels."""
    differences = []
    for y, x in np.argwhere(seen):
        there = before[y + int(back[y, x, 1]), x + int(back[y, x, 0])].astype(float)
        differences.append(after[y, x].astype(float) - there)
    return np.square(differences).mean(), np.abs(differences).mean()


def test_warp_error_and_flicker_pixel_by_pixel() -> None:
    rng = np.random.default_rng(4)
    source = rng.integers(0, 256, (2, 16, 20, 3)).astype(np.uint8)
    edited = rng.integers(0, 256, (2, 16, 20, 3)).astype(np.uint8)
    back = rng.integers(-1, 2, (16, 20, 2)).astype(np.float32)
    forth = rng.integers(-1, 2, (16, 20, 2)).astype(np.float32)
    seen = reference_visible(back, forth)
    flows = iter([back, forth])
    comparison = Comparison(lambda a, b: next(flows))
    first, second = (comparison.push(*pair) for pair in zip(source, edited, strict=True))
    assert first.warp_error is None
    assert first.flicker is None
    square, absolute = reference_errors(*edited, back, seen)
    source_square, source_absolute = reference_errors(*source, back, seen)
    assert second.warp_error == pytest.approx(square)
    assert second.source_warp_error == pytest.approx(source_square)
    assert second.source_change == pytest.approx(source_absolute)
    assert second.flicker == pytest.approx(absolute - source_absolute)
    assert second.visible == pytest.approx(seen.mean())


def reference_luma(pixels: np.ndarray) -> np.ndarray:
    return (pixels @ np.array([0.299, 0.587, 0.114])).round()


def reference_filter(picture: np.ndarray, kernel: list[list[float]]) -> np.ndarray:
    """Correlation with a kernel; beyond the border the picture is mirrored at its outermost pixels."""
    height, width = np.shape(kernel)
    padded = np.pad(picture, ((height // 2,), (width // 2,)), mode="reflect")
    out = np.zeros_like(picture)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            out[y, x] = (padded[y : y + height, x : x + width] * kernel).sum()
    return out


def reference_structure(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equation 13 with a Gaussian window, of Sobel edges."""
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    x, y = (np.hypot(reference_filter(p, sobel), reference_filter(p, sobel.T)) for p in (a, b))
    ramp = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(ramp, ramp) / ramp.sum() ** 2

    def mean(picture: np.ndarray) -> np.ndarray:
        return reference_filter(picture, window)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    var_x, var_y = mean(x * x) - mean(x) ** 2, mean(y * y) - mean(y) ** 2
    covariance = mean(x * y) - mean(x) * mean(y)
    top = (2 * mean(x) * mean(y) + c1) * (2 * covariance + c2)
    return (top / ((mean(x) ** 2 + mean(y) ** 2 + c1) * (var_x + var_y + c2))).mean()


def test_sharpness_and_structure_against_their_formulas() -> None:
    source, edited = texture(1, 24, 32), texture(2, 24, 32)
    edited = (source * 0.6 + edited * 0.4).astype(np.uint8)
    figures = Comparison().push(source, edited)
    laplacian = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    a, b = reference_luma(source), reference_luma(edited)
    assert figures.source_sharpness == pytest.approx(reference_filter(a, laplacian).var(), rel=1e-3)
    assert figures.sharpness == pytest.approx(reference_filter(b, laplacian).var(), rel=1e-3)
    assert figures.structure == pytest.approx(reference_structure(a, b), abs=1e-3)
    assert Comparison().push(source, source).structure == pytest.approx(1)


@pytest.mark.parametrize(
    ("cycles", "share"), [((0, 20), 1), ((12, 12), 1), ((0, 8), 0), ((9, 0), 0), ((0, 0), 0)]
)
def test_fine_energy_of_a_wave(cycles: tuple[int, int], share: float) -> None:
    """A wave of amplitude 40 has the energy 800; the limit is an eighth of a cycle a pixel, whichever way."""
    y, x = np.indices((96, 96)) / 96
    wave = 128 + 40 * np.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x))
    assert fine_energy(wave.round().astype(np.uint8)) == pytest.approx(800 * share, rel=0.02, abs=4)


def test_fine_energy_of_noise() -> None:
    """White noise has as much energy at every frequency; a disc of a radius of 1/8 lies below the limit."""
    noise = np.random.default_rng(0).normal(128, 20, (301, 300)).round().clip(0, 255).astype(np.uint8)
    assert fine_energy(noise) == pytest.approx(noise.var() * (1 - np.pi / 64), rel=0.02)


def test_fine_detail_and_edit_compare_with_the_source() -> None:
    rng = np.random.default_rng(3)
    source = rng.integers(64, 192, (64, 80, 3), np.uint8)
    softer = (128 + (source.astype(int) - 128) // 2).astype(np.uint8)
    figures = Comparison().push(source, softer)
    assert figures.fine_detail == pytest.approx(-6.02, abs=0.2)
    assert figures.edit == pytest.approx(np.abs(source.astype(int) - softer).mean())
    assert Comparison().push(source, source).fine_detail == 0
    assert Comparison().push(np.zeros_like(source), source).fine_detail is None


def test_structure_is_of_edges_and_not_of_colours() -> None:
    source = texture()
    inverted, other = Comparison().push(source, 255 - source), Comparison().push(source, texture(9))
    assert inverted.structure > 0.99
    assert other.structure < 0.5


def test_the_trend_is_the_slope_of_the_line_that_fits_best() -> None:
    rng = np.random.default_rng(0)
    frames = [
        (128 + (40 - index) * rng.choice([-1, 1], (40, 40, 1))).astype(np.uint8).repeat(3, 2)
        for index in range(20)
    ]
    comparison = Comparison(lambda a, b: np.zeros((*a.shape, 2), np.float32))
    rows = [comparison.push(frames[0], frame) for frame in frames]
    values = [row.sharpness for row in rows]
    slope = np.polyfit(np.arange(20), values, 1)[0]
    found = comparison.means()
    assert found.sharpness == pytest.approx(np.mean(values))
    assert found.sharpness_trend == pytest.approx(100 * 100 * slope / np.mean(values))
    assert found.sharpness_trend < -100
    assert found.source_sharpness_trend == pytest.approx(0, abs=1e-9)
    assert found.structure == pytest.approx(np.mean([row.structure for row in rows]))


def test_nothing_is_compared_across_a_cut() -> None:
    comparison = Comparison()
    comparison.push(texture(1), texture(1))
    assert comparison.push(texture(2), texture(2), cut=True).warp_error is None
    assert comparison.push(texture(2), texture(2)).warp_error == 0
    found = comparison.means()
    assert (found.frames, found.changes, found.warp_error) == (3, 1, 0)


def test_means_of_nothing_and_of_one_frame() -> None:
    comparison = Comparison()
    assert comparison.means() == Means(0, 0, *[None] * 12)
    comparison.push(texture(), texture())
    found = comparison.means()
    assert (found.frames, found.changes, found.warp_error, found.sharpness_trend) == (1, 0, None, None)
    assert found.structure == pytest.approx(1)


def test_if_all_is_hidden_nothing_is_measured() -> None:
    comparison = Comparison(lambda a, b: np.full((*a.shape, 2), 1000, np.float32))
    comparison.push(texture(), texture())
    figures = comparison.push(texture(), texture())
    assert (figures.warp_error, figures.flicker, figures.visible) == (None, None, 0)


@pytest.mark.parametrize("size", [(HEIGHT // 2, WIDTH // 2), (2 * HEIGHT, 2 * WIDTH)])
def test_an_edited_video_of_another_size_is_measured_in_that_of_its_source(size: tuple[int, int]) -> None:
    source = panned(4, 2)
    grey = np.full((*size, 3), 90, np.uint8)
    found = means(source, [grey] * 4)
    assert found.warp_error == found.sharpness == 0
    assert found.source_sharpness > 1


def test_flow_on_smaller_pictures_is_in_pixels_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    source = panned(3, 4)
    seen = []

    def spy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        seen.append(a.shape)
        return DisFlow()(a, b)

    monkeypatch.setattr(flow_module, "FLOW_PIXELS", HEIGHT * WIDTH // 4)
    found = means(source, source, spy)
    assert set(seen) == {(HEIGHT // 2, WIDTH // 2)}
    assert found.warp_error < 0.02 * means([source[0]] * 3, source).warp_error


def test_an_estimator_that_wants_colour_gets_it_in_the_size_that_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [np.full((HEIGHT, WIDTH, 3), (10 * index, 50, 90), np.uint8) for index in range(3)]
    seen = []

    class Colour:
        in_colour = True

        def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
            seen.append((a.shape, tuple(a[0, 0]), tuple(b[0, 0])))
            return np.zeros((*a.shape[:2], 2), np.float32)

    monkeypatch.setattr(flow_module, "FLOW_PIXELS", HEIGHT * WIDTH // 4)
    assert means(frames, frames, Colour()).source_change == pytest.approx(10 / 3)
    colours = [tuple(frame[0, 0]) for frame in frames]
    pairs = [(1, 0), (0, 1), (2, 1), (1, 2)]
    assert seen == [((HEIGHT // 2, WIDTH // 2, 3), colours[a], colours[b]) for a, b in pairs]


def test_buffers_may_be_used_again() -> None:
    comparison = Comparison(lambda a, b: np.zeros((*a.shape, 2), np.float32))
    buffer = texture(1)
    comparison.push(buffer, buffer)
    buffer[:] = texture(2)
    assert comparison.push(buffer, buffer).source_warp_error > 50


def test_too_small_a_picture_is_an_error() -> None:
    tiny = np.zeros((8, 20, 3), np.uint8)
    comparison = Comparison()
    comparison.push(tiny, tiny)
    with pytest.raises(MediaError, match="20x8 are too small"):
        comparison.push(tiny, tiny)
