"""What `streamv2v.yaml` recommends for single styles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models import gpu, load_model
from streamv2v_cli.models.recommendations import (
    recommended_settings,
    style_settings,
    without_effect,
    work_of_quality,
)
from streamv2v_cli.models.styles import read_styles
from streamv2v_cli.settings.keys import flatten
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.report import size_text


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Write a model's recommendations; its folder."""
    (tmp_path / "model_index.json").write_text("{}")

    def make(text: str) -> str:
        (tmp_path / "streamv2v.yaml").write_text(text)
        return str(tmp_path)

    return make


def test_styles_are_no_settings(write: Callable[[str], str]) -> None:
    model = write("seed: 1\nstyles: {pixel art: {upscale: nearest, grid: 8}, comic: {guide: {sharpen: 5}}}\n")
    assert recommended_settings(model) == {"seed": "1"}
    styles = style_settings(model)
    assert (styles["pixel art"].upscale, styles["pixel art"].grid) == ("nearest", 8)
    assert (styles["comic"].guide.sharpen, styles["comic"].upscale) == (5, "auto")


@pytest.mark.parametrize(
    ("styles", "named"),
    [
        ("[1]", "a mapping for each style"),
        ("{comic: nearest}", "a mapping for each style"),
        ("{comic: {mix: 0.5}}", "cannot set mix"),
        ("{comic: {upscale: weights.safetensors}}", "cannot set upscale"),
        ("{comic: {grid: 0}}", "grid"),
        ("{comic: {guide: {strength: much}}}", "guide.strength"),
    ],
)
def test_what_cannot_be_recommended(write: Callable[[str], str], styles: str, named: str) -> None:
    with pytest.raises(ModelError, match=named) as raised:
        style_settings(write(f"styles: {styles}\n"))
    assert "streamv2v.yaml" in raised.value.message


def test_the_embedded_model_recommends_for_styles_that_it_knows() -> None:
    book = read_styles("mini")
    assert book is not None
    assert style_settings("mini").keys() <= {style.name for style in book.styles}


def test_a_prompt_gets_what_its_style_recommends() -> None:
    model: Any = load_model(Settings.model_validate({"compute": {"device": "cpu"}}))
    assert model.advice("a cat, 8-bit game").upscale == "nearest"
    assert model.advice("a photo") is None


def test_options_without_effect(write: Callable[[str], str]) -> None:
    model = write("seed: 1\nwithout_effect: {style: {images: it cannot see}, bank.size: it forgets}\n")
    assert recommended_settings(model) == {"seed": "1"}
    assert without_effect(model) == {"style.images": "it cannot see", "bank.size": "it forgets"}
    for wrong, named in (("[1]", "a reason"), ("{no.such: x}", "no.such"), ("{seed: [1]}", "a reason")):
        with pytest.raises(ModelError, match=named):
            without_effect(write(f"without_effect: {wrong}\n"))


@pytest.mark.parametrize(
    ("advice", "quality", "where", "size"),
    [
        ("quality: {good: {frame: {size: 384}}}", "auto", "cuda:1", "384"),
        ("quality: {good: {frame: {size: 384}}}", "auto", "auto", "384"),
        ("quality: {good: {frame: {size: 384}}}", "auto", "cpu", "256"),
        ("quality: {good: {frame: {size: 384}}, fast: {seed: 1}}", "fast", "cuda", "256"),
        ("quality: {fast: {frame: {size: 128}}}", "auto", "cuda", "256"),
        ("seed: 1", "auto", "mps", "256"),
    ],
)
def test_a_model_works_at_what_is_good_where_there_is_a_gpu(
    write: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    advice: str,
    quality: str,
    where: str,
    size: str,
) -> None:
    monkeypatch.setattr("sys.platform", "win32")  # where no file tells of a GPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model = write(f"frame: {{size: 256}}\n{advice}\n")
    flat = flatten(recommended_settings(model, quality, where), "")
    assert flat["frame.size"] == size


def test_torch_is_not_asked_where_nothing_tells_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(gpu, "_FILES", ("/no/such/file", "/proc/no/gpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("asked"))
    assert not gpu.finds_gpu("auto")
    assert gpu.finds_gpu("cuda")
    monkeypatch.setattr(gpu, "_FILES", ("/no/such/file", __file__))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert not gpu.finds_gpu("auto")


@pytest.mark.parametrize(
    ("advice", "quality", "wanted"),
    [
        ("diffusion: {steps: 4}\nframe: {size: 512}", "fast", (384, 2)),
        ("diffusion: {steps: 4}\nframe: {size: 512}", "auto", (512, 4)),
        ("frame: {size: 40}", "fast", (64, Settings().diffusion.steps // 2)),
        ("diffusion: {steps: many}", "fast", None),
        ("frame: {size: native}", "best", None),
    ],
)
def test_what_a_quality_works_with(
    write: Callable[[str], str], advice: str, quality: str, wanted: tuple[int, int] | None
) -> None:
    assert work_of_quality(write(advice), quality) == wanted


@pytest.mark.parametrize(
    ("given", "times"),
    [
        # 384 and 2 steps: next are 512 and 4
        ({"quality": "fast", "diffusion": {"steps": 2}}, "3.6"),
        # steps that were asked for stay
        ({"quality": "fast", "diffusion": {"steps": 4}}, "1.8"),
        ({"diffusion": {"steps": 4}}, "1.8"),
    ],
)
def test_what_a_better_quality_costs(write: Callable[[str], str], given: dict[str, Any], times: str) -> None:
    model = write("diffusion: {steps: 4}\nframe: {size: 512}")
    settings = Settings.model_validate({"model": model, **given})
    told = f"--quality good, with a short side of 512, takes about {times} times as long"
    assert told in size_text(settings, (384, 384), (1024, 1024))
