"""`streamv2v models`, with a stand-in for the Hugging Face Hub on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.clips import make_clip
from helpers.commands import COMMAND
from helpers.hub import Hub
from helpers.lora_files import random_updates, save_lora
from helpers.tiny import make_tiny_pipeline, tiny_unet, tiny_vae
from helpers.tiny_control import make_tiny_controlnet
from safetensors.torch import save_file

SD15, TAESD, LCM = (
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "madebyollin/taesd",
    "latent-consistency/lcm-lora-sdv1-5",
)
CANNY = "lllyasviel/control_v11p_sd15_canny"
UNET = "unet/diffusion_pytorch_model.safetensors"
PARTS = ("--lcm-lora", LCM, "--controlnet", "canny")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny ones under the ids of the catalog, with files that no run needs."""
    place = tmp_path_factory.mktemp("repositories")
    model = make_tiny_pipeline(place / "sd15", vae="kl")
    (model / "README.md").write_text("about")
    (model / "v1-5-pruned.safetensors").write_bytes(b"\0" * 1000)
    torch.save({}, model / "unet/diffusion_pytorch_model.bin")
    shutil.copy(model / UNET, model / UNET.replace(".safetensors", ".fp16.safetensors"))
    tiny_vae(seed=5).save_pretrained(place / "taesd")
    (place / "lcm").mkdir()
    update = random_updates(tiny_unet(), ["mid_block.attentions.0.transformer_blocks.0.attn1.to_q"])
    save_lora(place / "lcm/pytorch_lora_weights.safetensors", update)
    (place / "lcm/image.png").write_bytes(b"\0")
    make_tiny_controlnet(place / "net", tiny_unet())
    return {SD15: model, TAESD: place / "taesd", LCM: place / "lcm", CANNY: place / "net"}


@pytest.fixture
def full_hub(hub: Hub, repositories: dict[str, Path]) -> Hub:
    hub.repositories = repositories
    return hub


def rows(done: Any, key: str = "models") -> dict[str, Any]:
    assert done.code == 0, done.err
    return {row["name"]: row for row in json.loads(done.out)[key]}


def test_exactly_what_a_run_needs_is_downloaded(
    full_hub: Hub, streamv2v: Callable[..., Any], environment: dict[str, str], tmp_path: Path
) -> None:
    """A run then needs no network; without the download it fetches the same files."""
    done = streamv2v("models", "download", "sd15", *PARTS)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 4
    fetched = {repository: full_hub.files(repository) for repository in (SD15, TAESD, LCM, CANNY)}
    assert {name for name in fetched[SD15] if not name.endswith((".json", ".txt"))} == {
        UNET,
        "text_encoder/model.safetensors",
    }
    assert fetched[LCM] == {"pytorch_lora_weights.safetensors"}
    assert fetched[TAESD] == fetched[CANNY] == {"config.json", "diffusion_pytorch_model.safetensors"}

    make_clip(tmp_path / "in.mp4", pts=(0, 512))
    run = ("run", "in.mp4", "-o", "out.mp4", "-y", "--model", "sd15", *PARTS, "--size", "48", "-p", "a cat")
    environment["HF_HUB_OFFLINE"] = "1"
    assert streamv2v(*run).code == 0
    environment["HF_HUB_OFFLINE"] = "0"
    full_hub.sent.clear()
    again = streamv2v("models", "download", "sd15", *PARTS)
    assert (again.code, again.out, full_hub.sent) == (0, "", [])

    shutil.rmtree(tmp_path / "hf")
    assert streamv2v(*run).code == 0
    assert {repository: full_hub.files(repository) for repository in fetched} == fetched


def test_what_is_here_is_listed(full_hub: Hub, streamv2v: Callable[..., Any], tmp_path: Path) -> None:
    before = rows(streamv2v("models", "list", "--json"))
    assert before["mini"]["path"]
    assert not before["taesd"]["path"]
    assert before["sdxl"]["bytes"] > 10**10
    done = streamv2v("models", "download", "taesd", "canny-sd15")
    assert done.code == 0, done.err
    after = rows(streamv2v("models", "list", "--json"))
    size = sum(file.stat().st_size for file in full_hub.repositories[TAESD].iterdir())
    assert after["taesd"]["bytes_here"] == size
    assert Path(after["taesd"]["path"]).is_relative_to(tmp_path / "hf")
    assert {name for name, row in after.items() if row["path"]} == {"mini", "taesd", "canny-sd15"}
    here = rows(streamv2v("models", "where", "--json"), "here")
    assert set(here) == {"mini", "taesd", "canny-sd15"}
    shown = streamv2v("models", "show", "taesd")
    assert f"here     {after['taesd']['path']}" in shown.out
    assert "licence  MIT" in shown.out
    table = streamv2v("models", "list")
    assert [line.split()[-1] for line in table.out.splitlines() if line.startswith(("mini", "sd15"))] == [
        "yes",
        "no",
    ]
    model = json.loads(streamv2v("models", "show", "sd-turbo", "--json").out)
    assert (model["kind"], model["family"]) == ("turbo", "SD 2.x")
    assert [part["role"] for part in model["parts"]] == ["model", "VAE"]


def test_a_connection_that_breaks_off_is_taken_up_where_it_ended(
    hub: Hub, streamv2v: Callable[..., Any], tmp_path: Path
) -> None:
    """The client writes ten megabytes at a time."""
    name = "pytorch_lora_weights.safetensors"
    (tmp_path / "lora").mkdir()
    save_file({"lora_unet_mid.lora_down.weight": torch.zeros(6_000_000)}, tmp_path / "lora" / name)
    hub.repositories = {LCM: tmp_path / "lora"}
    hub.cut[name] = 15_000_000
    done = streamv2v("models", "download", "lcm-lora-sdv1-5")
    assert done.code == 0, done.err
    assert [first > 9_000_000 for _, _, first in hub.sent] == [False, True]
    assert Path(done.out.strip()).read_bytes() == (tmp_path / "lora" / name).read_bytes()


def test_a_terminal_shows_how_far_it_is(full_hub: Hub, environment: dict[str, str], tmp_path: Path) -> None:
    """And is clean before the path is printed."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [*COMMAND, "models", "download", "taesd"]
    subprocess.run(command, stdout=follower, stderr=follower, env=environment, cwd=tmp_path, check=True)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "VAE madebyollin/taesd: 2 files" in shown
    assert "100%" in shown
    *_, path, end = shown.split("\r\n")
    assert end == ""
    assert Path(path).is_dir()


def test_files_of_an_interrupted_download_are_kept(full_hub: Hub, streamv2v: Callable[..., Any]) -> None:
    full_hub.down = {UNET}
    command = ("models", "download", "sd15", "--lcm-lora", "none")
    failed = streamv2v(*command)
    assert failed.code == 1
    assert f"The model '{SD15}' is not on this machine" in failed.err
    assert "text_encoder/model.safetensors" in full_hub.files(SD15)
    full_hub.down.clear()
    full_hub.sent.clear()
    assert streamv2v(*command).code == 0
    assert full_hub.files(SD15) == {UNET}


@pytest.mark.parametrize("large", [UNET, "diffusion_pytorch_model.safetensors"])
def test_a_full_disk_is_noticed_before_anything_large_is_fetched(
    full_hub: Hub, streamv2v: Callable[..., Any], large: str
) -> None:
    """Whichever of them is too large."""
    full_hub.sizes[large] = 10**18
    done = streamv2v("models", "download", "taesd", "sd15", "--lcm-lora", "none")
    assert done.code == 1
    assert "The download takes" in done.err
    assert "HF_HOME" in done.err
    assert not [name for _, name, _ in full_hub.sent if name.endswith(".safetensors")]


def test_errors_are_named(
    full_hub: Hub, streamv2v: Callable[..., Any], environment: dict[str, str], tmp_path: Path
) -> None:
    unknown = streamv2v("models", "download", "someone/nothing")
    assert unknown.code == 1
    assert "no public model of that name" in unknown.err
    misspelt = streamv2v("models", "show", "sd51")
    assert "Did you mean 'sd15'?" in misspelt.err
    here = streamv2v("models", "download", str(tmp_path))
    assert "is on this machine already" in here.err
    (tmp_path / "hf").mkdir(exist_ok=True)
    environment["HF_HUB_OFFLINE"] = "1"
    offline = streamv2v("models", "download", "taesd")
    assert offline.code == 1
    assert "HF_HUB_OFFLINE forbids" in offline.err
    environment.update(HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    unreachable = streamv2v("models", "download", "sd15")
    assert unreachable.code == 1
    assert "cannot be reached" in unreachable.err


def test_files_of_a_folder(here: Callable[..., Any], tmp_path: Path, repositories: dict[str, Path]) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(repositories[LCM] / "pytorch_lora_weights.safetensors", folder / "lcm.safetensors")
    shutil.copy(repositories[TAESD] / "diffusion_pytorch_model.safetensors", folder / "tiny.safetensors")
    (folder / "broken.safetensors").write_bytes(b"x" * 100)
    (folder / "old.ckpt").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    shutil.copytree(repositories[CANNY], folder / "nets/canny")
    done = here("models", "list", folder, "--json")
    assert done.code == 0, done.err
    found = {
        Path(row["path"]).relative_to(folder).as_posix(): (row["holds"], row["option"])
        for row in json.loads(done.out)["files"]
    }
    assert "is damaged" in found.pop("broken.safetensors")[0]
    assert found == {
        "lcm.safetensors": ("LoRA", "--lora"),
        "tiny.safetensors": ("VAE", "--vae"),
        "old.ckpt": ("pickled file", ""),
        "nets/canny": ("ControlNet", "--controlnet"),
    }
    assert "does not exist" in here("models", "list", tmp_path / "nowhere").err
