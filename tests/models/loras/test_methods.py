"""Every method and every spelling of a LoRA file against the formulas, and against PEFT."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from helpers.lora_files import random_updates, save_lora
from helpers.lora_methods import METHODS, Change, Tensors, random_method
from helpers.tiny import tiny_model
from safetensors.torch import save_file

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models import load_model
from streamv2v_cli.models.loras.fuse import fuse_loras
from streamv2v_cli.models.loras.fused import FusedLoras, LoraRequest

pytestmark = pytest.mark.numerical

Folders = Callable[..., Path]
SettingsOf = Callable[..., Any]

LINEAR = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
KERNEL = "down_blocks.1.resnets.0.conv2"
POINT = "down_blocks.1.attentions.0.proj_in"
LAYERS = (LINEAR, KERNEL, POINT)
TEXT = "encoder.layers.1.mlp.fc2"


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny_model()


def fused(model: Any, path: Path, weight: float = 1.0) -> tuple[dict[str, Any], FusedLoras]:
    """Copies of the parts of a model with a LoRA."""
    modules = {"unet": deepcopy(model.unet), "text_encoder": deepcopy(model.text_encoder)}
    return modules, fuse_loras(modules, [LoraRequest(str(path), path, weight)])


def text_name(model: Any) -> str:
    return f"text_model.{TEXT}" if hasattr(model.text_encoder, "text_model") else TEXT


def stem(spelling: str, part: str, layer: str) -> str:
    """What a trainer calls a layer."""
    layer = f"text_model.{layer.removeprefix('text_model.')}" if part == "text_encoder" else layer
    if spelling == "kohya":
        return f"lora_{'unet' if part == 'unet' else 'te'}_{layer.replace('.', '_')}"
    if spelling == "lycoris":
        return f"lycoris_{layer.replace('.', '_')}"
    return f"{part}.{layer}" if spelling == "dotted" else f"base_model.model.{layer}"


def assert_weights(
    module: torch.nn.Module, before: torch.nn.Module, changes: dict[str, tuple[float, Change]]
) -> None:
    wanted = {name: value.double() for name, value in before.state_dict().items()}
    for layer, (weight, change) in changes.items():
        base = wanted[f"{layer}.weight"]
        wanted[f"{layer}.weight"] = base + weight * change(base)
    for name, value in module.state_dict().items():
        largest = max(1.0, float(wanted[name].abs().max()))
        torch.testing.assert_close(value.double(), wanted[name], atol=5e-6 * largest, rtol=0, msg=name)


@pytest.mark.parametrize("spelling", ["kohya", "lycoris", "dotted", "peft"])
@pytest.mark.parametrize("method", METHODS)
def test_weights_are_those_of_the_formula(tmp_path: Path, plain: Any, method: str, spelling: str) -> None:
    tensors: Tensors = {}
    changes: dict[str, dict[str, tuple[float, Change]]] = {"unet": {}, "text_encoder": {}}
    named = [("unet", layer, plain.unet) for layer in LAYERS]
    named.append(("text_encoder", text_name(plain), plain.text_encoder))
    for seed, (part, layer, module) in enumerate(named):
        own, change = random_method(method, module.get_parameter(f"{layer}.weight"), seed)
        tensors |= {f"{stem(spelling, part, layer)}.{name}": tensor for name, tensor in own.items()}
        changes[part][layer] = (-0.7, change)
    save_file(tensors, tmp_path / "lora.safetensors")
    modules, loras = fused(plain, tmp_path / "lora.safetensors", -0.7)
    for part, module in modules.items():
        assert_weights(module, getattr(plain, part), changes[part])
    assert "fused with weight -0.7 into 4 layers" in loras.notes[0]


def test_a_plain_lora_has_the_bits_of_its_formula(tmp_path: Path, plain: Any) -> None:
    """W + Σ weight · alpha / rank · B A in float32, in every layer."""
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    names = [name for name, layer in plain.unet.named_modules() if isinstance(layer, kinds)]
    requests, sums = [], {name: torch.zeros_like(plain.unet.get_submodule(name).weight) for name in names}
    for seed, (rank, alpha, weight) in enumerate([(4, 2.7, 0.7), (16, 5.0, -1.3), (7, 3.1, 0.33)]):
        updates = random_updates(plain.unet, names, rank=rank, alpha=alpha, seed=seed)
        path = save_lora(tmp_path / f"{seed}.safetensors", updates)
        requests.append(LoraRequest(str(path), path, weight))
        scale = weight * (float(torch.tensor(alpha)) / rank)
        for name, update in updates.items():
            product = update.up.flatten(1) @ update.down.flatten(1)
            sums[name] += (scale * product).view_as(sums[name])
    unet = deepcopy(plain.unet)
    fuse_loras({"unet": unet}, requests)
    for name in names:
        assert torch.equal(
            unet.get_submodule(name).weight, plain.unet.get_submodule(name).weight + sums[name]
        )


def test_biases_and_norms(tmp_path: Path, plain: Any) -> None:
    """As trainers write them that change more than matrices."""
    places = {
        f"{KERNEL}.bias": "diff_b",
        "conv_norm_out.weight": "w_norm",
        "conv_norm_out.bias": "b_norm",
        "mid_block.attentions.0.transformer_blocks.0.norm1.weight": "w_norm",
    }
    tensors, wanted = {}, {name: value.clone() for name, value in plain.unet.state_dict().items()}
    for name, kind in places.items():
        change = torch.randn(wanted[name].shape)
        layer = name.rpartition(".")[0]
        tensors[f"{stem('kohya', 'unet', layer)}.{kind}"] = change
        wanted[name] = wanted[name] + 0.5 * change
    save_file(tensors, tmp_path / "lora.safetensors")
    modules, _ = fused(plain, tmp_path / "lora.safetensors", 0.5)
    for name, value in modules["unet"].state_dict().items():
        torch.testing.assert_close(value, wanted[name], msg=name)


CONFIGS: dict[str, Any] = {
    "lora": peft.LoraConfig(r=4, lora_alpha=6, init_lora_weights=False),
    "rslora": peft.LoraConfig(r=4, lora_alpha=6, use_rslora=True, init_lora_weights=False),
    "dora": peft.LoraConfig(r=4, lora_alpha=6, use_dora=True, init_lora_weights=False),
    "loha": peft.LoHaConfig(r=4, alpha=6, init_weights=False),
    "loha-conv": peft.LoHaConfig(r=4, alpha=6, use_effective_conv2d=True, init_weights=False),
    "lokr": peft.LoKrConfig(r=4, alpha=6, init_weights=False),
    "lokr-both": peft.LoKrConfig(r=1, alpha=6, decompose_both=True, init_weights=False),
    "lokr-conv": peft.LoKrConfig(r=2, alpha=6, use_effective_conv2d=True, init_weights=False),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_peft_saves_is_what_peft_merges(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any, name: str
) -> None:
    config = CONFIGS[name]
    config.target_modules = list(LAYERS)
    torch.manual_seed(3)
    trained = peft.PeftModel(tiny_model().unet, config)
    trained.save_pretrained(tmp_path / "lora")
    merged = trained.merge_and_unload().state_dict()
    model = load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora")]))
    changed = 0
    for key, value in model.unet.state_dict().items():
        largest = max(1.0, float(merged[key].abs().max()))
        torch.testing.assert_close(value, merged[key], atol=5e-6 * largest, rtol=0, msg=key)
        changed += not torch.equal(value, plain.unet.state_dict()[key])
    assert changed == len(LAYERS)


@pytest.mark.parametrize("spelling", ["kohya", "dotted"])
def test_what_is_of_no_use_is_named(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any, caplog: Any, spelling: str
) -> None:
    """Embeddings in a bundle, a weight of another kind, an alpha without anything: the rest is used."""
    own, change = random_method("lora", plain.unet.get_parameter(f"{LINEAR}.weight"))
    tensors = {f"{stem(spelling, 'unet', LINEAR)}.{name}": tensor for name, tensor in own.items()}
    extra = ["bundle_emb.word.string_to_param.*", "lora_unet_conv_out.alpha", "unet.conv_in.magic"]
    save_file(tensors | {name: torch.zeros(2) for name in extra}, tmp_path / "lora.safetensors")
    model = load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora.safetensors")]))
    assert_weights(model.unet, plain.unet, {LINEAR: (1.0, change)})
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "3 of its tensors are of no known kind and were left out" in warning
    assert all(name in warning for name in extra)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "diff"])
def test_hostile_shapes_are_named(tmp_path: Path, plain: Any, method: str) -> None:
    """Each tensor in turn is too large, empty, flat, a scalar or no number; the error names the file."""
    own, _ = random_method(method, plain.unet.get_parameter(f"{KERNEL}.weight"))
    file = tmp_path / "lora.safetensors"
    for name, tensor in own.items():
        bad = {
            "large": torch.zeros(*[side + 1 for side in tensor.shape], 2),
            "empty": tensor.new_zeros(0, *tensor.shape[1:]),
            "flat": tensor.flatten()[None][:, :7].expand(3, -1).contiguous()
            if tensor.ndim
            else torch.zeros(3),
            "scalar": torch.tensor(1.0) if tensor.ndim else torch.tensor(float("inf")),
            "nan": torch.full(tensor.shape, float("nan")),
        }
        for wrong in bad.values():
            tensors = {**own, name: wrong}
            save_file({f"{stem('kohya', 'unet', KERNEL)}.{key}": x for key, x in tensors.items()}, file)
            with pytest.raises(ModelError, match=r"lora\.safetensors"):
                fused(plain, file)


def test_methods_that_are_not_supported(tmp_path: Path, plain: Any) -> None:
    for name, method in (("oft_blocks", "OFT"), ("a1.weight", "GLoRA"), ("on_input", "IA")):
        save_file({f"{stem('kohya', 'unet', LINEAR)}.{name}": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
        with pytest.raises(ModelError, match=f"was made with .*{method}") as caught:
            fused(plain, tmp_path / "x.safetensors")
        assert "LoHa" in caught.value.remedy


def test_the_library_keeps_quiet(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any, capfd: Any
) -> None:
    """It has a log of its own on stdout, where the path of the result is printed."""
    own, _ = random_method("lokr", plain.unet.get_parameter(f"{LINEAR}.weight"))
    tensors = {f"{stem('kohya', 'unet', LINEAR)}.{name}": tensor for name, tensor in own.items()}
    save_file(tensors, tmp_path / "lora.safetensors")
    load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora.safetensors")]))
    logging.getLogger("LyCORIS").warning("xyz")
    assert capfd.readouterr().out == ""
