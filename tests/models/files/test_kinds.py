"""Kinds of files, by what is in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.single_file import single_file_tensors
from helpers.taesd import original_decoder, original_encoder, save_original_taesd
from helpers.tiny import tiny_model, tiny_unet
from helpers.tiny_control import original_control_tensors, tiny_controlnet
from helpers.tiny_xl import XL_UNET
from safetensors.torch import load_file, save_file

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models import describe_model, load_model
from streamv2v_cli.models.adapters.controlnets import load_controlnet
from streamv2v_cli.models.facts import read_facts
from streamv2v_cli.models.files.layout import recognise
from streamv2v_cli.models.vae import load_vae

Folders = Callable[..., Path]
SettingsOf = Callable[..., Any]


def shapes(module: torch.nn.Module, prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {prefix + name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(
    ("tensors", "kind"),
    [
        ({"lora_unet_mid.hada_w1_a": (1, 1)}, "LoRA"),
        ({"unet.mid.lora_A.weight": (1, 1)}, "LoRA"),
        ({"image_proj.proj.weight": (1, 1), "ip_adapter.1.to_q_lora.down.weight": (1, 1)}, "IP-Adapter"),
        ({"control_model.zero_convs.0.0.weight": (1,), "model.diffusion_model.x": (1,)}, "ControlNet"),
        ({"controlnet_down_blocks.0.weight": (1,), "down_blocks.0.x": (1,)}, "ControlNet"),
        ({"down_blocks.0.motion_modules.0.x": (1,)}, "motion module"),
        ({"down_blocks.0.x": (1,)}, "UNet in diffusers format"),
        ({"input_blocks.0.0.weight": (320, 4, 3, 3)}, "UNet"),
        ({"text_model.encoder.layers.0.x": (1,)}, "text encoder"),
        ({"emb_params": (4, 768)}, "embedding"),
        ({"clip_l": (4, 768), "clip_g": (4, 1280)}, "embedding"),
        ({"<cat-toy>": (768,)}, "embedding"),
        ({"*": (3, 1024)}, "embedding"),
        ({"*": (3, 512)}, "unknown"),
        ({"conv_first.weight": (64, 3, 3, 3)}, "upscaler"),
        ({"model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)}, "upscaler"),
        ({"body.0.weight": (64, 3, 3, 3), "body.1.weight": (64,)}, "upscaler"),
        (shapes(original_encoder()), "TAESD encoder"),
        (shapes(original_decoder()), "TAESD decoder"),
        (shapes(original_decoder(), "decoder."), "VAE"),
        (shapes(original_decoder(frames=2), "decoder."), "VAE for videos"),
        ({}, "unknown"),
    ],
)
def test_what_a_file_holds(tensors: dict[str, tuple[int, ...]], kind: str) -> None:
    assert recognise(tensors) == kind


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("given", ["encoder", "decoder"])
def test_taesd_computes_what_its_author_publishes(tmp_path: Path, suffix: str, given: str) -> None:
    encoder, decoder = save_original_taesd(tmp_path, suffix)
    vae = load_vae(tmp_path / f"taesd_{given}{suffix}", torch.float32, "SD 1.x", allow_pickle=True)
    picture = torch.rand(1, 3, 32, 48)
    latents = encoder(picture)
    with torch.no_grad():
        torch.testing.assert_close(vae.encode(picture * 2 - 1).latents, latents, atol=1e-5, rtol=1e-5)
        shown = vae.decode(latents).sample
    torch.testing.assert_close(shown, decoder(latents) * 2 - 1, atol=1e-5, rtol=1e-5)
    assert latents.std() > 0.01


def test_taesd_in_one_file(tmp_path: Path) -> None:
    """As a whole module is saved."""
    encoder, decoder = save_original_taesd(tmp_path, ".pth")
    whole = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder}).state_dict()
    save_file(whole, tmp_path / "whole.safetensors")
    one = load_vae(tmp_path / "whole.safetensors", torch.float32, "SD 1.x").state_dict()
    two = load_vae(tmp_path / "taesd_encoder.pth", torch.float32, "SD 1.x", allow_pickle=True).state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_halves_that_do_not_belong_together(
    tmp_path: Path, tiny_folder: Folders, settings: SettingsOf
) -> None:
    save_original_taesd(tmp_path, ".safetensors")
    first, second = (tmp_path / f"taesd_{half}.safetensors" for half in ("encoder", "decoder"))
    plan = describe_model(settings(tiny_folder(), vae=str(first)))
    assert [part.path for part in plan.parts if part.role == "VAE"] == [first, second]
    shutil.copy(first, tmp_path / "mine.safetensors")
    with pytest.raises(ModelError, match="which has 'encoder' or 'decoder' in its name"):
        load_vae(tmp_path / "mine.safetensors", torch.float32, "SD 1.x")
    shutil.copy(first, second)
    with pytest.raises(ModelError, match="is not the other half"):
        load_vae(first, torch.float32, "SD 1.x")
    save_file(original_encoder(16).state_dict(), first)
    save_file(original_decoder(16).state_dict(), second)
    with pytest.raises(ModelError, match="16 latent channels, the UNet 4"):
        load_model(settings(tiny_folder(), vae=str(first)))


def in_two(weights: Path, stem: str, variant: str, change: Callable[[str], str] = str) -> None:
    """Replace safetensors by an index and two pickled files."""
    tensors = {change(name): tensor for name, tensor in load_file(weights).items()}
    weights.unlink()
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = weights.with_name(f"{stem}{variant}-0000{number}-of-00002.bin")
        torch.save({name: tensors[name] for name in part}, file)
    weights.with_name(f"{stem}.bin.index{variant}.json").write_text("{}")


def old_attention(name: str) -> str:
    """As in files of 2022."""
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        name = name.replace(f".{new}.", f".{old}.")
    return name


def test_a_folder_of_pickled_files_in_pieces_and_with_old_names(
    own_folder: Folders, settings: SettingsOf
) -> None:
    folder = own_folder(vae="kl")
    in_two(folder / "unet/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model", "")
    in_two(folder / "vae/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model", "", old_attention)
    in_two(folder / "text_encoder/model.safetensors", "pytorch_model", ".fp16", lambda x: f"text_model.{x}")
    model, wanted = load_model(settings(folder, allow_pickle=True)), tiny_model(vae="kl")
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = getattr(model, part).state_dict(), getattr(wanted, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    (folder / "unet/diffusion_pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelError, match=r"unet in .* lacks"):
        load_model(settings(folder, allow_pickle=True))


def test_a_controlnet_in_a_file(tiny_folder: Folders, tmp_path: Path) -> None:
    net, facts = tiny_controlnet(tiny_unet(), seed=5), read_facts(tiny_folder())
    save_file(original_control_tensors(net), tmp_path / "original.safetensors")
    save_file(net.state_dict(), tmp_path / "diffusers.safetensors")
    for name in ("original", "diffusers"):
        found = load_controlnet(tmp_path / f"{name}.safetensors", torch.float32, facts).state_dict()
        assert found.keys() == net.state_dict().keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in net.state_dict().items())
    save_file(tiny_controlnet(tiny_unet(**XL_UNET)).state_dict(), tmp_path / "xl.safetensors")
    with pytest.raises(ModelError) as caught:
        load_controlnet(tmp_path / "xl.safetensors", torch.float32, facts)
    assert "SD 1.x models" in caught.value.remedy


RECIPE = {
    "custom_name": None,
    "primary_model_name": "photon_v1",
    "secondary_model_name": "x",
    "tertiary_model_name": "y",
}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"modelspec.title": "Photon LCM"}, "consistency"),
        ({"modelspec.merged_from": "sd_xl_base_1.0, sdxl_lightning_4step_lora"}, "turbo"),
        (
            {"sd_merge_recipe": json.dumps({**RECIPE, "secondary_model_name": "dreamshaper_8LCM"})},
            "consistency",
        ),
        ({"sd_merge_recipe": json.dumps({**RECIPE, "custom_name": "my-Hyper-mix"})}, "turbo"),
        ({"sd_merge_recipe": json.dumps({**RECIPE, "tertiary_model_name": "dreamshaper_8LCM"})}, "diffusion"),
        ({"sd_merge_recipe": "[[["}, "diffusion"),
        ({"sd_merge_recipe": "3"}, "diffusion"),
        ({"modelspec.title": "hypernetwork lightness turbofan"}, "diffusion"),
        ({"ss_training_comment": "lcm"}, "diffusion"),
        ({}, "diffusion"),
    ],
)
def test_merges_are_known_by_what_they_say_of_themselves(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, said: dict[str, str], kind: str
) -> None:
    folder = tiny_folder(vae="kl")
    save_file(single_file_tensors(folder), tmp_path / "model.safetensors", said or None)
    plan = describe_model(settings(tmp_path / "model.safetensors", config=str(folder), lcm_lora="auto"))
    assert plan.kind == kind


def test_a_folder_says_what_it_was_made_of(own_folder: Folders, settings: SettingsOf) -> None:
    folder = own_folder()
    config = json.loads((folder / "unet/config.json").read_text())
    for name, kind in (("/lcm/photon", "diffusion"), ("someone/sdxl-lightning-4step", "turbo")):
        (folder / "unet/config.json").write_text(json.dumps({**config, "_name_or_path": name}))
        assert describe_model(settings(folder)).kind == kind
