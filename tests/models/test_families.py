"""The families beside SD 1.x: SDXL in every form, SD 2.x as a single file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.lora_files import random_updates, save_lora
from helpers.single_file import save_single_file, single_file_tensors, unet_key
from helpers.tiny import make_tiny_pipeline, tiny_vae
from helpers.tiny_xl import make_tiny_xl_pipeline, tiny_xl_model
from safetensors.torch import load_file, save_file

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models import describe_model, load_model
from streamv2v_cli.models.catalog import LAYOUTS
from streamv2v_cli.models.facts import read_facts
from streamv2v_cli.models.files.checkpoint import FileCheckpoint, load_tokenizer
from streamv2v_cli.models.loras.original_names import original_name
from streamv2v_cli.settings.schema import Settings

SettingsOf = Callable[..., Any]
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an AutoencoderKL; not to be changed by tests."""
    return make_tiny_xl_pipeline(tmp_path_factory.mktemp("pipeline"), vae="kl", layers_per_block=2)


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_folder_gives_the_saved_weights(xl_folder: Path, settings: SettingsOf) -> None:
    model, reference = load_model(settings(xl_folder)), tiny_xl_model(vae="kl", layers_per_block=2)
    for part in PARTS:
        assert_same_weights(getattr(model, part), getattr(reference, part))
        assert not getattr(model, part).training
    assert model.kind == "diffusion"
    assert model.zero_negative
    assert model.tokenizer_2 is not None
    ids = model.tokenizer_2("a cat", padding="max_length").input_ids
    assert ids == reference.tokenizer_2("a cat", padding="max_length").input_ids
    assert ids != model.tokenizer("a cat", padding="max_length").input_ids


def test_single_file_gives_the_same_weights(xl_folder: Path, settings: SettingsOf, tmp_path: Path) -> None:
    file = save_single_file(xl_folder, tmp_path / "model.safetensors", "xl")
    model, reference = load_model(settings(file, config=str(xl_folder))), load_model(settings(xl_folder))
    for part in PARTS:
        assert_same_weights(getattr(model, part), getattr(reference, part))
    tensors = load_file(file)
    save_file({k: v for k, v in tensors.items() if "embedders.1" not in k}, file)
    with pytest.raises(ModelError, match="no second text encoder"):
        load_model(settings(file, config=str(xl_folder)))


@pytest.mark.parametrize(
    ("family", "unet", "text", "text_2"),
    [
        ("SD 2.x", (686, 865_910_724), (372, 340_387_840), None),
        ("SDXL", (1680, 2_567_463_684), (196, 123_060_480), (517, 694_659_840)),
    ],
)
def test_shipped_configs_give_the_published_numbers(family: str, unet: Any, text: Any, text_2: Any) -> None:
    """Tensors and weights, as they are published."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    facts = read_facts(LAYOUTS[family])
    with torch.device("meta"):
        modules: dict[Any, torch.nn.Module] = {
            unet: UNet2DConditionModel.from_config(facts.unet),
            (248, 83_653_863): AutoencoderKL.from_config(facts.vae),
            text: CLIPTextModel(CLIPTextConfig.from_dict(dict(facts.text_encoder))),
        }
        if facts.text_encoder_2:
            config = CLIPTextConfig.from_dict(dict(facts.text_encoder_2))
            modules[text_2] = CLIPTextModelWithProjection(config)
    for wanted, module in modules.items():
        assert (len(module.state_dict()), sum(p.numel() for p in module.parameters())) == wanted
    assert facts.vae is not None
    assert facts.vae["scaling_factor"] == (0.13025 if family == "SDXL" else 0.18215)


@pytest.mark.parametrize("family", ["SD 2.x", "SDXL"])
def test_shipped_configs_fit_the_original_names(family: str) -> None:
    """Every weight of the UNet has one name in the original layout, and diffusers' converter leads back to it."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(read_facts(LAYOUTS[family]).unet)
    attention_up = ["Attn" in block for block in unet.config.up_block_types]
    state = unet.state_dict()
    original = {
        "model.diffusion_model." + unet_key(name, unet.config.layers_per_block, attention_up): value
        for name, value in state.items()
    }
    assert len(original) == len(state)
    found = convert_ldm_unet_checkpoint(original, dict(unet.config))
    assert {name: value.shape for name, value in found.items()} == {k: v.shape for k, v in state.items()}
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            ours = original_name(name, [unet.config.layers_per_block] * len(attention_up), attention_up)
            assert "model.diffusion_model." + ours + ".weight" in original, name
            assert ours + ".weight" == unet_key(name + ".weight", unet.config.layers_per_block, attention_up)


def test_tokenizers_of_the_shipped_configs() -> None:
    """OpenCLIP fills up with token 0, CLIP with its end token."""
    for family, part, filling in (
        ("SD 2.x", "tokenizer", 0),
        ("SDXL", "tokenizer", 49407),
        ("SDXL", "tokenizer_2", 0),
    ):
        ids = load_tokenizer(LAYOUTS[family], part)("a cat", padding="max_length").input_ids
        assert ids == [49406, 320, 2368, 49407, *[filling] * 73]


@pytest.mark.parametrize("text", ["open_clip", "sgm"])
@pytest.mark.parametrize(("spread", "prediction"), [(0.03, "epsilon"), (0.2, "v_prediction")])
def test_sd2_file_needs_no_config(tmp_path: Path, text: Any, spread: float, prediction: str) -> None:
    """The layout is found by the width of the prompts; what is predicted, by a weight."""
    options: dict[str, Any] = {"cross_attention_dim": 1024, "layers_per_block": 2}
    folder = make_tiny_pipeline(tmp_path / "folder", vae="kl", **options)
    tensors = single_file_tensors(folder, text)
    key = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    tensors[key] = torch.linspace(-1, 1, len(tensors[key])) * spread * 3**0.5
    save_file(tensors, tmp_path / "sd_turbo.safetensors")
    shipped = FileCheckpoint(tmp_path / "sd_turbo.safetensors", None)
    assert shipped.config == LAYOUTS["SD 2.x"]
    assert shipped.facts.prediction_type == prediction
    plan = describe_model(Settings(model=str(tmp_path / "sd_turbo.safetensors")))
    assert plan.kind == "turbo"


def test_sd2_file_in_the_names_of_the_newer_code(
    tiny_folder: Any, settings: SettingsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In which SD-Turbo is published; without --model-config."""
    folder = tiny_folder(vae="kl", scheduler="euler-trailing")
    monkeypatch.setitem(LAYOUTS, "SD-like, prompt width 16", folder)
    file = save_single_file(folder, tmp_path / "sd_turbo.safetensors", "sgm")
    model, reference = load_model(settings(file)), load_model(settings(folder))
    for part in PARTS[:3]:
        assert_same_weights(getattr(model, part), getattr(reference, part))


def test_xl_file_that_predicts_the_velocity(tmp_path: Path, xl_folder: Path) -> None:
    tensors = single_file_tensors(xl_folder, "xl")
    for mark, prediction in (({}, "epsilon"), ({"v_pred": torch.zeros(0)}, "v_prediction")):
        save_file({**tensors, **mark}, tmp_path / "model.safetensors")
        checkpoint = FileCheckpoint(tmp_path / "model.safetensors", None)
        assert checkpoint.config == LAYOUTS["SDXL"]
        assert checkpoint.facts.prediction_type == prediction


def test_the_refiner_is_refused(tmp_path: Path, settings: SettingsOf) -> None:
    key = "model.diffusion_model."
    save_file(
        {
            key + "input_blocks.0.0.weight": torch.zeros(1, 4, 3, 3),
            key + "label_emb.0.0.weight": torch.zeros(1, 2560),
        },
        tmp_path / "refiner.safetensors",
    )
    with pytest.raises(ModelError, match="SDXL refiner"):
        load_model(settings(tmp_path / "refiner.safetensors"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sd_xl_turbo_1.0_fp16", "turbo"),
        ("juggernautXL_v9Rdphoto2Lightning", "turbo"),
        ("realvisxlV50_v50HyperBakedvae", "turbo"),
        ("dreamshaper_8LCM", "consistency"),
        ("hyperrealisticXL", "diffusion"),
        ("model", "diffusion"),
    ],
)
def test_merges_are_known_by_their_names(
    xl_folder: Path, settings: SettingsOf, tmp_path: Path, name: str, kind: str
) -> None:
    """Such a one gets no LCM-LoRA on top."""
    save_file(single_file_tensors(xl_folder, "xl"), tmp_path / f"{name}.safetensors")
    found = describe_model(settings(tmp_path / f"{name}.safetensors", config=str(xl_folder), lcm_lora="auto"))
    assert found.kind == kind


def test_what_belongs_to_sdxl(cache_on_hub: Any, tmp_path: Path) -> None:
    """Its own tiny VAE and LCM-LoRA, also before anything is fetched."""
    plan = describe_model(Settings(model="sdxl"))
    assert [part.source for part in plan.parts] == [
        "stabilityai/stable-diffusion-xl-base-1.0",
        "madebyollin/taesdxl",
        "latent-consistency/lcm-lora-sdxl",
    ]
    turbo = describe_model(Settings(model="sdxl-turbo"))
    assert turbo.kind == "turbo"
    assert [part.source for part in turbo.parts] == ["stabilityai/sdxl-turbo", "madebyollin/taesdxl"]


def test_model_from_the_cache_with_the_tiny_vae(
    xl_folder: Path, settings: SettingsOf, cache_on_hub: Any, tmp_path: Path
) -> None:
    tiny_vae(seed=5).save_pretrained(tmp_path / "taesdxl")
    cache_on_hub("madebyollin/taesdxl", tmp_path / "taesdxl")
    snapshot = cache_on_hub("stabilityai/sdxl-turbo", xl_folder)
    model = load_model(settings("sdxl-turbo", vae="auto"))
    assert_same_weights(model.vae, tiny_vae(seed=5))
    assert model.kind == "turbo"
    shutil.rmtree(snapshot / "text_encoder_2")
    with pytest.raises(ModelError, match="is not on this machine"):
        load_model(settings("sdxl-turbo", vae="auto"))


@pytest.mark.parametrize(
    ("dtype", "upcast", "wanted"),
    [
        ("float16", True, torch.float32),
        ("float16", False, torch.float16),
        ("bfloat16", True, torch.bfloat16),
    ],
)
def test_the_vae_that_overflows_in_float16_runs_in_float32(
    xl_folder: Path, settings: SettingsOf, tmp_path: Path, dtype: str, upcast: bool, wanted: torch.dtype
) -> None:
    folder = shutil.copytree(xl_folder, tmp_path / "model")
    path = folder / "vae/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "force_upcast": upcast}))
    model = load_model(settings(folder, dtype=dtype))
    assert model.vae.dtype == wanted
    assert model.unet.dtype == getattr(torch, dtype)
    assert any("float32" in note for note in model.notes) == (wanted == torch.float32)


def test_a_vae_file_takes_the_scale_of_the_family(
    xl_folder: Path, settings: SettingsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LAYOUTS, "SDXL", xl_folder)
    file = tmp_path / "sdxl_vae.safetensors"
    shutil.copy(xl_folder / "vae/diffusion_pytorch_model.safetensors", file)
    assert load_model(settings(xl_folder, vae=str(file))).vae.config.scaling_factor == 0.13025


@pytest.mark.parametrize("names", ["diffusers", "original"])
def test_lora_of_sdxl(xl_folder: Path, settings: SettingsOf, tmp_path: Path, names: str) -> None:
    """In the names of diffusers, and in those of the original code, where kohya's scripts train SDXL."""
    plain = tiny_xl_model(vae="kl", layers_per_block=2)
    layers = [
        name for name, x in plain.unet.named_modules() if isinstance(x, torch.nn.Linear | torch.nn.Conv2d)
    ]
    updates = random_updates(plain.unet, layers)
    config = plain.unet.config
    attention_up = ["Attn" in block for block in config.up_block_types]

    def spelt(name: str) -> str:
        if names == "diffusers":
            return name
        return unet_key(name + ".weight", config.layers_per_block, attention_up).removesuffix(".weight")

    file = save_lora(tmp_path / "lora.safetensors", {spelt(k): v for k, v in updates.items()})
    second = "encoder.layers.1.self_attn.q_proj"
    text = random_updates(plain.text_encoder_2, [f"text_model.{second}"], seed=1)
    key = f"lora_te2_text_model_{second.replace('.', '_')}"
    update = text[f"text_model.{second}"]
    extra = {
        f"{key}.lora_down.weight": update.down,
        f"{key}.lora_up.weight": update.up,
        f"{key}.alpha": torch.tensor(update.alpha),
    }
    save_file({**load_file(file), **extra}, file)
    model = load_model(settings(xl_folder, loras=[f"{file}:0.5"]))
    assert any(f"into {len(layers) + 1} layers" in note for note in model.notes)
    for module, wanted, before in (
        (model.unet, updates, plain.unet),
        (model.text_encoder_2, text, plain.text_encoder_2),
    ):
        for name, change in wanted.items():
            expected = before.get_submodule(name).weight.double().flatten(1) + 0.5 * change.delta
            found = module.get_submodule(name).weight.double().flatten(1)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0, msg=name)


def test_lora_of_sdxl_for_sd15(tiny_folder: Any, settings: SettingsOf, tmp_path: Path) -> None:
    key = "lora_te2_text_model_encoder_layers_0_mlp_fc1"
    save_file(
        {f"{key}.lora_down.weight": torch.zeros(4, 16), f"{key}.lora_up.weight": torch.zeros(32, 4)},
        tmp_path / "lora.safetensors",
    )
    with pytest.raises(ModelError, match="another family"):
        load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora.safetensors")]))
