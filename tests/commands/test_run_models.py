"""`streamv2v run --model` on tiny random pipelines as users have them on disk, with the network refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, make_clip
from helpers.lora_files import SPELLINGS, random_updates, save_lora
from helpers.lora_methods import METHODS, random_method
from helpers.single_file import save_single_file
from helpers.tiny import make_tiny_pipeline, tiny_unet
from helpers.tiny_adapter import make_tiny_adapter
from helpers.tiny_control import make_tiny_controlnet
from helpers.tiny_xl import make_tiny_xl_pipeline
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from streamv2v_cli.app import app

FRAMES = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SD 1.5's shape: CLIP text encoder, PNDM scheduler, tiny VAE."""
    return make_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "pndm")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a full VAE."""
    return make_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "kl", vae="kl")


@pytest.fixture
def restyle(tmp_path: Path) -> Callable[..., np.ndarray]:
    """Run the command on a clip; the (frames, height, width, 3) pixels that come out."""
    clip = make_clip(tmp_path / "in.mp4", pts=tuple(range(0, 512 * FRAMES, 512)))

    def restyle(*arguments: Any) -> np.ndarray:
        output = Path(arguments[arguments.index("-o") + 1]) if "-o" in arguments else tmp_path / "out.mkv"
        command = ["run", str(clip), "-p", "a cat", "-o", str(output), "-y", "--size", "48", "--steps", "2"]
        lossless = ["--crf", "0", "--preset", "ultrafast", "--pix-fmt", "yuv444p"]
        result = CliRunner().invoke(app, [*command, *lossless, *map(str, arguments)])
        assert result.exit_code == 0, result.output
        seen = look(output)
        assert seen.times == look(clip).times
        return np.stack(seen.pixels)

    return restyle


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return not np.array_equal(a, b)


def test_sdxl_as_a_folder_and_as_a_file(restyle: Any, tmp_path: Path) -> None:
    xl = make_tiny_xl_pipeline(tmp_path / "xl", vae="kl", layers_per_block=2)
    file = save_single_file(xl, tmp_path / "model.safetensors", "xl")
    common = ("--vae", "own", "--lcm-lora", "none", "--guidance", "full")
    picture = restyle("--model", xl, *common)
    assert picture.shape == (FRAMES, 48, 64, 3)
    assert picture.std() > 1
    assert np.array_equal(picture, restyle("--model", file, "--model-config", xl, *common))
    assert differ(picture, restyle("--model", xl, *common, "--negative-prompt", "red"))


def test_controlnets(folder: Path, restyle: Any, tmp_path: Path) -> None:
    """By preprocessor, several at once, and with pictures of a video: here those of the input."""
    net = make_tiny_controlnet(tmp_path / "net", tiny_unet())
    plain = restyle("--model", folder)
    tile = restyle("--model", folder, "--controlnet", f"{net}:tile:0.5")
    assert differ(plain, tile)
    assert differ(tile, restyle("--model", folder, "--controlnet", f"{net}:tile"))
    both = restyle("--model", folder, "--controlnet", f"{net}:tile:0.5", "--controlnet", f"{net}:canny:0-0.5")
    assert differ(tile, both)
    video = ("--controlnet", f"{net}:video:0.5", "--controlnet-video", tmp_path / "in.mp4")
    assert np.array_equal(tile, restyle("--model", folder, *video))
    other = make_clip(tmp_path / "other.mp4", pts=tuple(range(0, 512 * FRAMES, 512)), picture=_grey)
    assert differ(tile, restyle("--model", folder, *video[:3], other))


def test_style_pictures(folder: Path, restyle: Any, tmp_path: Path) -> None:
    """By reference-only attention and by an IP-Adapter, several at once, and with weights over time."""
    look = tmp_path / "look.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(look)
    adapter = ("--ip-adapter", make_tiny_adapter(tmp_path / "ip" / "adapter.safetensors", tiny_unet()))
    common = ("--model", folder, "-p", "a cat")
    plain = restyle(*common)
    for way in ((), adapter):
        assert np.array_equal(plain, restyle(*common, "--style-image", f"{look}:0", *way))
        one = restyle(*common, "--style-image", f"{look}:5", *way)
        assert differ(plain, one)
        assert differ(one, restyle(*common, "--style-image", f"{look}:5", "--style-image", look, *way))
        script = tmp_path / "p.yaml"
        script.write_text("- {frame: 0, style: 5}\n- {frame: 2, style: 0}")
        over_time = restyle(*common, "--style-image", look, "--prompts", script, *way)
        assert differ(one, over_time)
        assert differ(plain, over_time)


def _grey(index: int) -> np.ndarray:
    return np.full((48, 64, 3), 40 * index, np.uint8)


def test_a_diffusers_folder(folder: Path, restyle: Any) -> None:
    picture = restyle("--model", folder)
    assert picture.shape == (FRAMES, 48, 64, 3)
    assert picture.std() > 1
    assert np.array_equal(picture, restyle("--model", folder))
    assert differ(picture, restyle("--model", folder, "--seed", 1))


def test_the_same_seed_gives_the_same_bytes(folder: Path, restyle: Any, tmp_path: Path) -> None:
    for container in ("mp4", "mkv"):
        files = []
        for _ in range(2):
            output = tmp_path / f"bytes.{container}"
            restyle("--model", folder, "--bank", "dyme", "-o", output)
            files.append(output.read_bytes())
        assert files[0] == files[1]


def test_a_single_file_with_its_full_vae(full: Path, restyle: Any, tmp_path: Path) -> None:
    file = save_single_file(full, tmp_path / "model.safetensors")
    own = restyle("--model", full, "--vae", "own")
    assert np.array_equal(own, restyle("--model", file, "--model-config", full, "--vae", "own"))


def test_a_single_file_with_a_tiny_vae(folder: Path, full: Path, restyle: Any, tmp_path: Path) -> None:
    file = save_single_file(full, tmp_path / "model.safetensors")
    tiny = restyle("--model", file, "--model-config", full, "--vae", folder / "vae")
    assert differ(tiny, restyle("--model", full, "--vae", "own"))


def test_a_lora_file(folder: Path, restyle: Any, tmp_path: Path) -> None:
    names = ["mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.attentions.0.proj_in"]
    lora = save_lora(tmp_path / "style.safetensors", random_updates(tiny_unet(), names))
    plain = restyle("--model", folder)
    assert differ(plain, restyle("--model", folder, "--lora", f"{lora}:0.8"))
    assert np.array_equal(plain, restyle("--model", folder, "--lora", f"{lora}:0"))


def test_lora_files_of_every_spelling(folder: Path, restyle: Any, tmp_path: Path) -> None:
    """They all say the same."""
    names = ["mid_block.attentions.0.transformer_blocks.0.attn1.to_q"]
    updates = random_updates(tiny_unet(), names, alpha=4)
    plain, pictures = restyle("--model", folder), []
    for spelling in SPELLINGS:
        path = tmp_path / (spelling if spelling == "peft" else f"{spelling}.safetensors")
        lora = save_lora(path, updates, None, spelling)
        pictures.append(restyle("--model", folder, "--lora", lora))
    assert differ(plain, pictures[0])
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])


@pytest.mark.parametrize("method", METHODS)
def test_lora_files_of_every_method(folder: Path, restyle: Any, tmp_path: Path, method: str) -> None:
    """Two runs give the same, another weight something else, and so does a script that ends with the weight 0."""
    layer, lora = "down_blocks.1.resnets.0.conv2", tmp_path / "style.safetensors"
    own, _ = random_method(method, tiny_unet(seed=3).get_parameter(f"{layer}.weight"))
    save_file({f"lora_unet_{layer.replace('.', '_')}.{name}": tensor for name, tensor in own.items()}, lora)
    plain = restyle("--model", folder, "--bank", "none")
    styled = restyle("--model", folder, "--bank", "none", "--lora", lora)
    (tmp_path / "p.yaml").write_text("- {frame: 0, loras: 1}\n- {frame: 3, loras: 0}\n")
    script = restyle("--model", folder, "--bank", "none", "--lora", lora, "--prompts", tmp_path / "p.yaml")
    assert [differ(*pair) for pair in zip(plain, styled, strict=True)] == [True] * FRAMES
    assert np.array_equal(script, np.concatenate([styled[:3], plain[3:]]))


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"prediction_type": "v_prediction"}, ()),
        ({"scheduler": "lcm"}, ()),
        ({"scheduler": "euler-trailing"}, ("--steps", 1)),
        ({"scheduler": "euler-trailing"}, ("--steps", 1, "--strength", "0.5", "--set", "diffusion.grid=4")),
        ({}, ("--guidance", "self", "--guidance-scale", 1.4, "--negative-prompt", "red")),
    ],
    ids=["v-prediction", "lcm", "turbo", "turbo on its own timesteps", "residual guidance"],
)
def test_other_kinds_of_models(restyle: Any, tmp_path: Path, options: dict[str, Any], arguments: Any) -> None:
    assert restyle("--model", make_tiny_pipeline(tmp_path / "model", **options), *arguments).std() > 1


@pytest.mark.parametrize("preset", ["default", "realtime", "fidelity", "baseline"])
def test_presets(folder: Path, restyle: Any, preset: str) -> None:
    assert len(restyle("--config", preset, "--model", folder)) == FRAMES
