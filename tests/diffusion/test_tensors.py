from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.clips import write_clip
from benchmarks.similar import main as count_similar
from streamv2v_cli.accel.transfer import DirectTransfers
from streamv2v_cli.diffusion.similar import SimilarFrameFilter
from streamv2v_cli.diffusion.tensors import (
    from_model_range,
    picture_of,
    pixels_of,
    resize,
    to_model_range,
)
from streamv2v_cli.settings.schema import SkipSimilar

CPU = torch.device("cpu")


def test_all_values_survive_the_way_there_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    pixels.setflags(write=False)
    tensor = to_model_range(DirectTransfers(CPU).upload(pixels))
    assert tensor.shape == (1, 3, 16, 16)
    assert (float(tensor.min()), float(tensor.max())) == (-1.0, 1.0)
    assert np.array_equal(DirectTransfers(CPU).download(lambda: from_model_range(tensor[0]))(), pixels)


def test_values_outside_the_range_are_clipped() -> None:
    tensor = torch.tensor([-3.0, 3.0, float("inf")]).view(3, 1, 1)
    assert from_model_range(tensor).tolist() == [[[0, 255, 255]]]


def test_shrinking_does_not_alias() -> None:
    """Stripes one pixel wide become grey; without antialiasing they would become black or white."""
    stripes = torch.tensor([-1.0, 1.0]).repeat(64).expand(1, 3, 128, 128)
    small = resize(stripes, (32, 32))
    assert float(small[..., 4:-4].abs().max()) < 0.05
    assert resize(stripes, (128, 128)) is stripes


@pytest.mark.parametrize("size", [(40, 24), (160, 96), (64, 48)], ids=str)
def test_a_processor_resamples_bytes_as_it_does_floats(size: tuple[int, int]) -> None:
    """But for what is rounded between the directions and at the end; where the size stays, nothing is."""
    random = np.random.default_rng(0)
    scene = np.kron(random.uniform(30, 220, (8, 10, 3)), np.ones((8, 8, 1)))[:48, :64]
    pixels = torch.from_numpy(scene.round().astype(np.uint8))
    wanted = resize(to_model_range(pixels), size)
    difference = (picture_of(pixels, size) - wanted).abs() * 127.5
    assert float(difference.max()) < 2
    assert float(difference.mean()) < 0.5
    picture = to_model_range(pixels) * 0.9
    wanted_pixels = from_model_range(resize(picture, size)[0])
    assert int((pixels_of(picture, size).int() - wanted_pixels.int()).abs().max()) <= 2
    if size == (64, 48):
        assert torch.equal(picture_of(pixels, size), to_model_range(pixels))
        assert torch.equal(pixels_of(picture, size), from_model_range(picture[0]))


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


def _skipped(pictures: list[torch.Tensor]) -> int:
    similar = SimilarFrameFilter(SkipSimilar(enabled=True, max_skip=100))
    skipped = 0
    for picture in pictures:
        if similar.skips(picture):
            skipped += 1
        else:
            similar.translated(picture)
    return skipped


def _levels(pictures: np.ndarray) -> list[torch.Tensor]:
    """Grey pictures (frames, height, width) from 0 to 255 as the model sees them."""
    clipped = torch.from_numpy(pictures).round().clamp(0, 255).float()
    return list((clipped / 127.5 - 1)[:, None, None].expand(-1, 1, 3, -1, -1))


def test_sensor_noise_of_a_still_camera_is_skipped() -> None:
    random = np.random.default_rng(0)
    scene = np.kron(random.uniform(0, 255, (16, 24)), np.ones((16, 16)))
    assert _skipped(_levels(scene + random.normal(0, 5, (40, *scene.shape)))) == 39


def test_a_small_object_that_moves_is_not_skipped() -> None:
    """12 of 256 pixels wide, four pixels a frame, in a scene that stands still."""
    random = np.random.default_rng(0)
    scene = np.kron(random.uniform(120, 255, (16, 16)), np.ones((16, 16)))
    frames = np.repeat(scene[None], 40, axis=0)
    for number, frame in enumerate(frames):
        frame[100:112, 4 * number : 4 * number + 12] -= 60
    assert _skipped(_levels(frames)) == 0


def test_a_camera_that_turns_over_a_bright_wall_is_not_skipped() -> None:
    """Pictures that are bright all over are alike by their cosine from 0 to 1 whatever they show."""
    random = np.random.default_rng(0)
    wall = np.kron(random.uniform(170, 230, (32, 48)), np.ones((8, 8)))
    assert _skipped(_levels(np.stack([wall[:, x : x + 256] for x in range(0, 80, 2)]))) == 0


def test_the_command_counts_what_is_skipped_in_clips_and_before_a_still_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "pan.mp4", frames=12, smooth=16)
    monkeypatch.setattr(
        "sys.argv", ["similar", str(tmp_path / "pan.mp4"), "--set", "skip_similar.max_skip=3"]
    )
    count_similar()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == ["12", "250", "250"]
    assert rows[0] == ["| pan", "12", "0 % |"]
    assert [row[2] for row in rows[1:]] == ["75 % |", "75 % |"]
