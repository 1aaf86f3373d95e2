"""The examples of docs/python.md do what the page says."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.clips import look, make_clip
from helpers.readme import ROOT, blocks_of, environment_with

import streamv2v_cli
from streamv2v_cli import bank

RESTYLE, BANK, MEDIA = blocks_of("docs/python.md", "python")


def _run(code: str, folder: Path) -> list[str]:
    """Run a program in a folder; the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        cwd=folder,
        env=environment_with(folder / "bin"),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pictures_are_restyled(tmp_path: Path) -> None:
    assert _run(RESTYLE, tmp_path) == [f"{number} (180, 320, 3)" for number in range(6)]


def test_the_bank_looks_back_and_is_taken_out_again(tmp_path: Path) -> None:
    further = """
alone = unet(latents[-1], 400, encoder_hidden_states=text).sample
print(float((predicted - alone).abs().max()) > 0.01)
bank.reset()
install(unet, lambda layer: StreamAttnProcessor(backend, bank.for_layer(layer)))
bank.prepare([RowEvent(start=True, update=True, frame=0)])
first = unet(latents[-1], 400, encoder_hidden_states=text).sample
print(torch.allclose(first, alone, atol=1e-4))
"""
    lines = _run(BANK + further, tmp_path)
    frames, (looked_back, first_is_alone) = lines[:-2], lines[-2:]
    assert [line.split(" torch")[0] for line in frames] == [str(number) for number in range(8)]
    assert len({line.rpartition(" ")[2] for line in frames}) == 1
    assert (looked_back, first_is_alone) == ("True", "True")


def test_a_video_is_inverted_with_its_times_and_sound(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=(0, 512, 1536, 2048), tones=(440.0,))
    (line,) = _run(MEDIA, tmp_path)
    assert line.split(" ", 1)[1] == "0 4"
    before, after = look(clip), look(tmp_path / "negative.mp4")
    assert after.times == pytest.approx(before.times)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "negative.mp4")) as result:
        assert len(result.streams.audio) == len(source.streams.audio) == 1
        pairs = zip(source.decode(video=0), result.decode(video=0), strict=True)
        for old, new in pairs:
            total = old.to_ndarray(format="rgb24").astype(int) + new.to_ndarray(format="rgb24")
            assert np.abs(total - 255).mean() < 12  # two lossy encodings


def test_the_page_names_every_public_name() -> None:
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    for name in streamv2v_cli.__all__:
        assert name == "__version__" or f"`{name}" in text, name


@pytest.mark.parametrize("module", [streamv2v_cli, bank], ids=lambda module: module.__name__)
def test_public_names_are_documented(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        if name == "__version__":
            continue
        thing = getattr(module, name)
        assert inspect.getdoc(thing), name
        members = vars(thing).items() if inspect.isclass(thing) else ()
        for member, value in members:
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"
