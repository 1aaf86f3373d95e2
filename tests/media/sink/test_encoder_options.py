"""What is asked of an encoder reaches it, or is an error before the first frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import look, make_clip

from streamv2v_cli.errors import ConfigError, UsageError
from streamv2v_cli.media.sink import plan_encoder
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Output

ASKED = {f"output.{key}" for key in ("codec", "bitrate", "keyint", "encoder_opt")}


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Two seconds that no encoder finds easy."""
    generator = np.random.default_rng(0)
    return make_clip(
        tmp_path / "in.mp4",
        pts=range(0, 512 * 50, 512),
        size=(160, 120),
        picture=lambda _: generator.integers(0, 255, (120, 160, 3), np.uint8),
    )


def keyframes(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [n for n, frame in enumerate(container.decode(video=0)) if frame.key_frame]


@pytest.mark.parametrize(
    ("codec", "low", "high"),
    [("libx264", 100, 500), ("libx265", 100, 500), ("mpeg4", 200, 2000), ("libvpx-vp9", 100, 500)],
)
def test_a_bitrate_takes_the_place_of_the_quality(
    codec: str, low: int, high: int, noisy: Path, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    sizes = []
    for bitrate in (f"{low}k", f"{high / 1000}M"):
        output = tmp_path / f"{bitrate}{'.avi' if codec == 'mpeg4' else '.mkv'}"
        plan = rewrite(noisy, output, codec=codec, preset=None, bitrate=bitrate, crf=18, explicit=ASKED)
        sizes.append(output.stat().st_size)
        assert "crf" not in plan.encoder.options
    assert sizes[0] * 1.2 < sizes[1] < 3 * high * 1000 * 2 / 8


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx-vp9", "libsvtav1"])
def test_keyframes_are_no_further_apart_than_asked(
    codec: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 30, 512))
    rewrite(clip, tmp_path / "out.mkv", codec=codec, preset=None, keyint=10, explicit=ASKED)
    found = [*keyframes(tmp_path / "out.mkv"), 30]
    assert found[0] == 0
    assert max(np.diff(found)) <= 10
    assert len(found) >= 4


def test_other_options_reach_the_encoder(noisy: Path, tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    rewrite(noisy, tmp_path / "plain.mkv")
    options = ("qmax=20", "x264-params=keyint=7:scenecut=0")
    plan = rewrite(noisy, tmp_path / "out.mkv", encoder_opt=options, explicit=ASKED)
    assert keyframes(tmp_path / "out.mkv") == list(range(0, 50, 7))
    assert "qmax=20" in str(plan.encoder)
    rewrite(
        noisy, tmp_path / "hevc.mkv", codec="libx265", encoder_opt=("x265-params=keyint=5",), explicit=ASKED
    )
    assert max(np.diff(keyframes(tmp_path / "hevc.mkv"))) <= 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encoder_opt": ("tuen=film",)}, "no option 'tuen'. Did you mean 'tune'"),
        ({"encoder_opt": ("qmax=9999",)}, "does not take '9999' for its qmax"),
        ({"codec": "ffv1", "bitrate": "1M"}, "ffv1 has no bit rate"),
        ({"codec": "ffv1", "keyint": 5, "pix_fmt": "yuv420p"}, ""),
        ({"codec": "mpeg4", "bitrate": "1M"}, "only at a constant frame rate"),
        ({"codec": "prores_ks", "keyint": 5}, "every frame is a keyframe"),
    ],
)
def test_what_the_encoder_does_not_know_is_an_error(
    settings: dict[str, Any], words: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    if not words:
        rewrite(clip, tmp_path / "out.mkv", explicit=ASKED, **settings)
        return
    with pytest.raises(UsageError) as error:
        rewrite(clip, tmp_path / "out.mkv", explicit=ASKED, **settings)
    assert words in str(error.value)
    assert not list(tmp_path.glob("out*"))


def test_a_value_that_the_encoder_refuses(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    with pytest.raises(Exception, match="libx264 does not open"):
        rewrite(clip, tmp_path / "out.mkv", encoder_opt=("tune=polka",), explicit=ASKED)
    assert not list(tmp_path.glob("out*"))


def test_bitrate_and_crf_contradict_each_other(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    with pytest.raises(UsageError, match="Both --bitrate and --crf"):
        rewrite(clip, tmp_path / "out.mkv", bitrate="1M", explicit={*ASKED, "output.crf"})


@pytest.mark.parametrize(
    "wrong",
    [{"bitrate": "fast"}, {"bitrate": "0"}, {"keyint": 0}, {"encoder_opt": ["tune"]}, {"rate": "1/0"}],
)
def test_settings_that_mean_nothing(wrong: dict[str, Any]) -> None:
    flags = {f"output.{key}": ("--flag", value) for key, value in wrong.items()}
    with pytest.raises(ConfigError, match="--flag"):
        resolve(flags=flags)


@pytest.mark.parametrize(("candidates", "chosen"), [((), "libx264"), (("mpeg4", "libx265"), "mpeg4")])
def test_auto_takes_the_first_encoder_that_really_opens(
    candidates: tuple[str, ...],
    chosen: str,
    tmp_path: Path,
    rewrite: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of these, PyAV has the second and not the first; neither opens without its hardware.
    monkeypatch.setattr(plan_encoder, "HARDWARE", ("h264_no_such", "h264_v4l2m2m", *candidates))
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    plan = rewrite(clip, tmp_path / "out.mp4", codec="auto", preset=None, explicit=ASKED)
    assert plan.encoder.codec == chosen
    assert len(look(tmp_path / "out.mp4").times) == 2
    assert rewrite(clip, tmp_path / "out.webm", codec="auto", preset=None).encoder.codec == "libvpx-vp9"


def test_the_lossless_preset_keeps_every_pixel(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    lossless = resolve(configs=["lossless"])
    explicit = {key for key, origin in lossless.origins.items() if origin != "default"}
    settings = lossless.settings.output.model_dump()
    for suffix in (".mp4", ".mkv"):
        rewrite(clip, tmp_path / f"out{suffix}", change=lambda _: pixels, explicit=explicit, **settings)
        assert all((seen == pixels).all() for seen in look(tmp_path / f"out{suffix}").pixels)
    assert Output().codec == "libx264"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("h265", "libx265"),
        ("H.264", "libx264"),
        ("x264", "libx264"),
        ("X265", "libx265"),
        ("LIBX264", "libx264"),
    ],
)
def test_the_usual_names_of_codecs_lead_to_encoders(
    asked: str, meant: str, here: Any, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    result = here("run", clip, "--translator", "passthrough", "--codec", asked, "-o", "out.mkv")
    assert (result.code, f"Did you mean '{meant}'?" in result.err) == (2, True), result.err


def test_a_preset_of_speed_stops_no_encoder_without_presets(here: Any, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    for name, encoder_name in (("out.webm", "libvpx-vp9"), ("out.gif", "gif"), ("out.webp", "libwebp_anim")):
        result = here("run", clip, "--translator", "passthrough", "--preset", "ultrafast", "-o", name)
        assert result.code == 0, result.err
        assert result.err.count(f"The encoder {encoder_name} has no speed presets") == 1
    made = here(
        "run", clip, "--translator", "passthrough", "--codec", "libsvtav1", "--preset", "fast", "-o", "a.mkv"
    )
    assert made.code == 0, made.err
    assert made.err.count("takes presets from -2 to 13, not fast: --preset has no effect") == 1
    for codec, preset in (("libx264", "ultrafats"), ("libsvtav1", "ultrafats"), ("libsvtav1", "99")):
        options = ("--codec", codec, "--preset", preset, "-o", "no.mkv")
        result = here("run", clip, "--translator", "passthrough", *options)
        assert (result.code, "does not take" in result.err) == (2, True), result.err
