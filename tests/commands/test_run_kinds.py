"""Every kind of file that people have, given to `streamv2v run`: it works, or the error names the option for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clips import look, make_clip
from helpers.leftovers import save_with_leftovers
from helpers.lora_files import random_updates, save_lora
from helpers.single_file import save_single_file, single_file_tensors
from helpers.taesd import original_decoder, save_original_taesd
from helpers.tiny import make_tiny_pipeline, tiny_unet, tiny_vae
from helpers.tiny_control import make_tiny_controlnet, original_control_tensors, tiny_controlnet
from PIL import Image
from safetensors.torch import load_file, save_file

FOLDER_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip and one of each kind."""
    place = tmp_path_factory.mktemp("kinds")
    make_clip(place / "in.mp4", pts=(0, 512, 1024))
    model = make_tiny_pipeline(place / "model", vae="kl")
    shutil.copytree(model, place / "bin")
    for part, stem in FOLDER_STEMS.items():
        weights = place / "bin" / part / f"{stem}.safetensors"
        pickled = "pytorch_model.bin" if part == "text_encoder" else f"{stem}.bin"
        torch.save(load_file(weights), weights.with_name(pickled))
        weights.unlink()
    save_single_file(model, place / "model.safetensors")
    save_with_leftovers(place / "model.ckpt", single_file_tensors(model))
    tiny_vae(seed=5).save_pretrained(place / "vae")
    save_file(load_file(model / "vae/diffusion_pytorch_model.safetensors"), place / "vae.safetensors")
    for suffix in (".safetensors", ".pth"):
        save_original_taesd(place, suffix)
    update = random_updates(tiny_unet(), ["mid_block.attentions.0.transformer_blocks.0.attn1.to_q"])
    save_lora(place / "lora.safetensors", update)
    save_lora(place / "lora", update, spelling="peft")
    Image.new("RGB", (32, 32), "red").save(place / "style.png")
    make_tiny_controlnet(place / "net", tiny_unet())
    original = original_control_tensors(tiny_controlnet(tiny_unet()))
    save_file(original, place / "net.safetensors")
    torch.save(original, place / "net.pth")
    video = {f"decoder.{name}": value for name, value in original_decoder(frames=2).state_dict().items()}
    for name, tensors in {
        "words.safetensors": {"emb_params": torch.zeros(2, 768)},
        "ip.safetensors": {
            "image_proj.proj.weight": torch.zeros(4, 4),
            "ip_adapter.1.to_k_ip.weight": torch.ones(2),
        },
        "enlarge.safetensors": {
            "conv_first.weight": torch.zeros(4, 3, 3, 3),
            "conv_last.bias": torch.zeros(3),
        },
        "motion.safetensors": {"down_blocks.0.motion_modules.0.norm.weight": torch.zeros(2)},
        "taesdv.safetensors": video,
        "text.safetensors": {"text_model.embeddings.token_embedding.weight": torch.zeros(4, 2)},
    }.items():
        save_file(tensors, place / name)
    torch.save(
        {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(2, 768)}}, place / "words.pt"
    )
    return place


@pytest.fixture
def run(here: Callable[..., Any], place: Path, tmp_path: Path) -> Callable[..., Any]:
    """`streamv2v run` on a tiny model with its own VAE; files are named without their folder."""

    def run(*arguments: str) -> Any:
        given = [
            f"{place / head}{colon}{tail}" if head and (place / head).exists() else f"{head}{colon}{tail}"
            for head, colon, tail in (argument.partition(":") for argument in arguments)
        ]
        model = [] if "--model" in arguments else ["--model", str(place / "model")]
        vae = [] if "--vae" in arguments else ["--vae", "own"]
        common = ["--lcm-lora", "none", "--size", "48", "--steps", "2", "-o", "out.mkv", "-y", "-p", "a cat"]
        lossless = ["--crf", "0", "--preset", "ultrafast", "--pix-fmt", "yuv444p"]
        return here("run", place / "in.mp4", *model, *vae, *common, *lossless, *given)

    return run


@pytest.fixture
def picture(run: Callable[..., Any], tmp_path: Path) -> Callable[..., np.ndarray]:
    def picture(*arguments: str) -> np.ndarray:
        done = run(*arguments)
        assert done.code == 0, done.err
        return np.stack(look(tmp_path / "out.mkv").pixels)

    return picture


def test_a_model_in_all_its_forms(picture: Any, run: Any, place: Path) -> None:
    """A folder of .bin files, one file, and a checkpoint of Lightning give the pictures of the folder."""
    wanted = picture()
    assert wanted.std() > 1
    config = ("--model-config", "model")
    assert np.array_equal(picture("--model", "bin", "--allow-pickle"), wanted)
    assert np.array_equal(picture("--model", "model.safetensors", *config), wanted)
    assert np.array_equal(picture("--model", "model.ckpt", "--allow-pickle", *config), wanted)
    refused = run("--model", "bin")
    assert refused.code == 1
    assert "--allow-pickle" in refused.err


def test_a_tiny_vae_as_it_is_published(picture: Any, run: Any, tmp_path: Path, place: Path) -> None:
    first = picture("--vae", "taesd_decoder.safetensors")
    assert first.std() > 1
    assert np.array_equal(picture("--vae", "taesd_encoder.safetensors"), first)
    assert np.array_equal(picture("--vae", "taesd_encoder.pth", "--allow-pickle"), first)
    assert not np.array_equal(picture(), first)
    shutil.copy(place / "taesd_decoder.safetensors", tmp_path / "taesd_decoder.safetensors")
    alone = run("--vae", str(tmp_path / "taesd_decoder.safetensors"))
    assert alone.code == 1
    assert "the other, 'taesd_encoder.safetensors', is not beside it" in alone.err


def test_a_controlnet_as_a_folder_and_as_a_file(picture: Any) -> None:
    wanted = picture("--controlnet", "net:canny")
    assert not np.array_equal(picture(), wanted)
    assert np.array_equal(picture("--controlnet", "net.safetensors:canny"), wanted)
    assert np.array_equal(picture("--controlnet", "net.pth:canny", "--allow-pickle"), wanted)


def test_other_parts(picture: Any) -> None:
    plain = picture()
    assert not np.array_equal(picture("--vae", "vae"), plain)
    assert np.array_equal(picture("--lora", "lora.safetensors"), picture("--lora", "lora"))


FILES = {
    "model.safetensors": "--model",
    "vae.safetensors": "--vae",
    "taesd_encoder.safetensors": "--vae",
    "lora.safetensors": "--lora",
    "net.safetensors": "--controlnet",
    "words.safetensors": "--embedding",
    "ip.safetensors": "--ip-adapter",
    "enlarge.safetensors": "--upscale",
    "motion.safetensors": "",
    "taesdv.safetensors": "",
    "text.safetensors": "",
    "vae": "--vae",
    "lora": "--lora",
    "net": "--controlnet",
    "model": "--model",
    "net.pth": "--controlnet",
    "words.pt": "--embedding",
    "taesd_decoder.pth": "--vae",
}
OPTIONS = ("--model", "--vae", "--lora", "--controlnet", "--upscale", "--ip-adapter", "--embedding")
WRONG = [
    (option, name)
    for option in OPTIONS
    for name, right in FILES.items()
    if option != right
    and (option, name) != ("--vae", "model.safetensors")  # its VAE is taken
    and (option, name) != ("--vae", "model")  # below
    and not (option == "--upscale" and "." not in name)  # refused as a setting: no folders
    and not (option == "--embedding" and "." not in name)  # refused: no file
    and not (option == "--ip-adapter" and name.endswith((".pth", ".pt")))  # refused by its ending
]


@pytest.mark.parametrize(("option", "name"), WRONG)
def test_what_is_given_in_the_wrong_place(run: Any, name: str, option: str) -> None:
    """The error says what it is, and which option takes it."""
    value = f"{name}:canny" if option == "--controlnet" else name
    picture = ("--style-image", "style.png") if option == "--ip-adapter" else ()
    done = run(option, value, *picture, "--allow-pickle")
    assert done.code == 1, done.err
    said = " ".join(done.err.split())
    assert "holds" in said
    right = FILES[name]
    wanted = rf"Give it with {right}\b" if right else r"no use here|not a whole supported model|pictures"
    assert re.search(wanted, said)


def test_a_whole_model_given_as_a_vae_and_a_plan_of_that(run: Any, place: Path) -> None:
    done = run("--vae", "model")
    assert done.code == 1
    assert f"Give its folder with --vae '{place / 'model/vae'}'" in done.err
    planned = run("--vae", "lora.safetensors", "--dry-run")
    assert "holds a LoRA, not a VAE" in " ".join((planned.out + planned.err).split())
