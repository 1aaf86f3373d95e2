from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.single_file import save_single_file, single_file_tensors
from helpers.tiny import make_tiny_pipeline, tiny_model, tiny_scheduler, tiny_vae
from safetensors.torch import load_file, save_file

from streamv2v_cli.errors import ConfigError, DeviceError, ModelError, ModelNotFoundError
from streamv2v_cli.models import describe_model, load_model
from streamv2v_cli.models.files.layout import recognise
from streamv2v_cli.settings.schema import Settings

Folders = Callable[..., Path]
SettingsOf = Callable[..., Any]


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("vae", ["tiny", "kl"])
def test_folder_gives_the_saved_weights(tiny_folder: Folders, settings: SettingsOf, vae: Any) -> None:
    model = load_model(settings(tiny_folder(vae=vae)))
    reference = tiny_model(vae=vae)
    for part in ("unet", "vae", "text_encoder"):
        module = getattr(model, part)
        assert_same_weights(module, getattr(reference, part))
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
    assert model.vae_factor == 8
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.tokenizer("a photo of a cat").input_ids == reference.tokenizer("a photo of a cat").input_ids
    assert model.notes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_formats_work_on_the_cpu(tiny_folder: Folders, settings: SettingsOf, dtype: str) -> None:
    model = load_model(settings(tiny_folder(), dtype=dtype))
    wanted = getattr(torch, dtype)
    assert model.dtype == wanted
    for module in (model.unet, model.vae, model.text_encoder):
        assert {parameter.dtype for parameter in module.parameters()} == {wanted}
    latent = model.vae.encode(torch.zeros(1, 3, 64, 64, dtype=wanted)).latents
    prompt = model.text_encoder(torch.zeros(1, 77, dtype=torch.long))[0]
    assert model.unet(latent, 399, prompt).sample.isfinite().all()


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_single_file_gives_the_same_weights(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, suffix: str
) -> None:
    folder = tiny_folder(vae="kl", layers_per_block=2)
    file = save_single_file(folder, tmp_path / f"model{suffix}")
    model = load_model(settings(file, config=str(folder), allow_pickle=suffix == ".ckpt"))
    reference = load_model(settings(folder))
    for part in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(model, part), getattr(reference, part))
    assert model.tokenizer("a cat").input_ids == reference.tokenizer("a cat").input_ids
    assert model.scheduler.config.prediction_type == "epsilon"


def test_single_file_with_open_clip_text_encoder(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
) -> None:
    folder = tiny_folder(vae="kl", scheduler="euler-trailing")
    file = save_single_file(folder, tmp_path / "turbo.safetensors", text="open_clip")
    model = load_model(settings(file, config=str(folder)))
    assert_same_weights(model.text_encoder, load_model(settings(folder)).text_encoder)
    assert model.kind == "turbo"


def test_single_file_of_a_guidance_distilled_model(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
) -> None:
    """The extra weight of such a UNet is found although the configs are those of its base."""
    distilled = tiny_folder(vae="kl", time_cond_proj_dim=32)
    file = save_single_file(distilled, tmp_path / "lcm.safetensors")
    model = load_model(settings(file, config=str(tiny_folder(vae="kl"))))
    assert model.kind == "consistency"
    assert_same_weights(model.unet, load_model(settings(distilled)).unet)


def test_single_file_of_real_sd15_names_and_shapes() -> None:
    """The shipped configs give the published numbers of tensors and weights of SD 1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from streamv2v_cli.models.catalog import SD15_LAYOUT
    from streamv2v_cli.models.facts import read_facts

    facts = read_facts(SD15_LAYOUT)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(facts.unet)
        vae = AutoencoderKL.from_config(facts.vae)
        text_encoder = CLIPTextModel(CLIPTextConfig.from_dict(dict(facts.text_encoder)))
    assert (len(unet.state_dict()), sum(p.numel() for p in unet.parameters())) == (686, 859_520_964)
    assert (len(vae.state_dict()), sum(p.numel() for p in vae.parameters())) == (248, 83_653_863)
    assert (len(text_encoder.state_dict()), sum(p.numel() for p in text_encoder.parameters())) == (
        196,
        123_060_480,
    )
    tokenizer = CLIPTokenizer.from_pretrained(SD15_LAYOUT / "tokenizer", local_files_only=True)
    assert len(tokenizer) == 49408
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("Pencil Sketch, 4k").input_ids == [49406, 11200, 5269, 267, 275, 330, 49407]
    padded = tokenizer("a cat", padding="max_length").input_ids
    assert len(padded) == 77
    assert padded[-1] == 49407


def test_file_without_configs_takes_the_sd15_layout(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
) -> None:
    """A file with SD 1.x's prompts but other sizes is held against the shipped configs, and fails there."""
    tensors = single_file_tensors(tiny_folder(vae="kl", cross_attention_dim=768))
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="8x3x3x3, not 128x3x3x3") as caught:
        load_model(settings(tmp_path / "model.safetensors"))
    assert "--model-config" in caught.value.remedy


def test_other_layouts_are_named(tiny_folder: Folders, settings: SettingsOf, tmp_path: Path) -> None:
    file = save_single_file(tiny_folder(vae="kl"), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="SD-like") as caught:
        load_model(settings(file))
    assert "--model-config" in caught.value.remedy
    key = "model.diffusion_model."
    prompt = key + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    sd = {key + "input_blocks.0.0.weight": (320, 4, 3, 3)}
    assert recognise({**sd, prompt: (320, 768)}) == "SD 1.x"
    assert recognise({**sd, prompt: (320, 1024)}) == "SD 2.x"
    assert recognise({key + "input_blocks.0.0.weight": (320, 9, 3, 3)}).startswith("SD inpainting")
    assert recognise({**sd, key + "label_emb.0.0.weight": (1280, 2816)}) == "SDXL"
    assert recognise({**sd, key + "label_emb.0.0.weight": (1280, 2560)}) == "SDXL refiner"
    assert recognise({key + "joint_blocks.0.x_block.attn.qkv.weight": (1, 1)}) == "SD 3"
    assert recognise({"lora_unet_mid_block.lora_up.weight": (1, 1)}) == "LoRA"
    assert recognise({"decoder.conv_in.weight": (1, 1)}) == "VAE"
    assert recognise({"anything": (1,)}) == "unknown"


@pytest.mark.parametrize(
    ("key", "named", "remedy"),
    [
        ("lora_unet_mid.lora_up.weight", "LoRA", "--lora"),
        ("first_stage_model.encoder.conv_in.weight", "VAE", "--vae"),
        ("down_blocks.0.resnets.0.conv1.weight", "diffusers", "folder"),
        ("something.weight", "nothing that is known", "SD 1.x"),
    ],
)
def test_unsuitable_file_is_refused(
    settings: SettingsOf, tmp_path: Path, key: str, named: str, remedy: str
) -> None:
    save_file({key: torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=named) as caught:
        load_model(settings(tmp_path / "model.safetensors"))
    assert remedy in caught.value.remedy


def test_incomplete_single_file(tiny_folder: Folders, settings: SettingsOf, tmp_path: Path) -> None:
    tensors = single_file_tensors(tiny_folder(vae="kl"))
    config = str(tiny_folder(vae="kl"))
    whole = dict(tensors)
    del tensors["model.diffusion_model.out.2.weight"]
    save_file(tensors, tmp_path / "unet.safetensors")
    with pytest.raises(ModelError, match=r"lacks conv_out\.weight"):
        load_model(settings(tmp_path / "unet.safetensors", config=config))
    for prefix, missing in (("cond_stage_model.", "text encoder"), ("first_stage_model.", "VAE of its own")):
        save_file({k: v for k, v in whole.items() if not k.startswith(prefix)}, tmp_path / "part.safetensors")
        with pytest.raises(ModelError, match=missing):
            load_model(settings(tmp_path / "part.safetensors", config=config))


def test_damaged_files(own_folder: Folders, settings: SettingsOf, tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.ckpt"):
        (tmp_path / name).write_bytes(b"not weights at all" * 20)
        with pytest.raises(ModelError, match="damaged"):
            load_model(settings(tmp_path / name, allow_pickle=True))
    folder = own_folder()
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="unet"):
        load_model(settings(folder))


class Malicious:
    """What a pickle can do: anything, at the moment that it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code was run')",)


def test_pickled_code_is_not_run_even_where_pickles_are_allowed(settings: SettingsOf, tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "callbacks": Malicious()}, tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match="could run code") as caught:
        load_model(settings(tmp_path / "model.ckpt", allow_pickle=True))
    assert ".safetensors" in caught.value.remedy


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".PTH"])
@pytest.mark.parametrize("role", ["model", "vae", "lcm_lora", "loras"])
def test_pickled_files_are_not_opened_unless_allowed(
    tiny_folder: Folders,
    settings: SettingsOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    suffix: str,
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(b"not to be read")
    wanted = settings(file) if role == "model" else settings(tiny_folder(), **{role: str(file)})
    with pytest.raises(ModelError, match="pickled") as caught:
        load_model(wanted)
    assert "--allow-pickle" in caught.value.remedy
    missing = [part for part in describe_model(wanted).parts if part.missing]
    assert len(missing) == 1
    assert "--allow-pickle" in missing[0].remark


def test_folder_with_only_pickles(own_folder: Folders, settings: SettingsOf) -> None:
    folder = own_folder()
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ModelError, match="only pickled weights") as caught:
        load_model(settings(folder))
    assert "safetensors" in caught.value.remedy


def test_folder_with_half_variant(own_folder: Folders, settings: SettingsOf) -> None:
    folder = own_folder()
    for weights in folder.glob("*/*.safetensors"):
        save_file(
            {k: v.half() for k, v in load_file(weights).items()},
            weights.with_suffix(".fp16.safetensors"),
            {"format": "pt"},
        )
        weights.unlink()
    model = load_model(settings(folder))
    assert model.dtype == torch.float32
    assert torch.equal(model.unet.conv_in.weight, tiny_model().unet.conv_in.weight.half().float())


def test_weights_that_do_not_match_the_config(own_folder: Folders, settings: SettingsOf) -> None:
    folder = own_folder()
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if k != "conv_out.weight"}, weights)
    with pytest.raises(ModelError, match=r"lacks conv_out\.weight"):
        load_model(settings(folder))
    save_file({**tensors, "extra.weight": torch.zeros(1)}, weights)
    with pytest.raises(ModelError, match=r"too much: extra\.weight"):
        load_model(settings(folder))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("unet/config.json", {"addition_embed_type": "text_image"}, "addition_embed_type"),
        ("unet/config.json", {"in_channels": 9}, "inpainting"),
        ("unet/config.json", {"cross_attention_dim": 32}, "text encoder"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "'sample'"),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "'flow'"),
        (
            "model_index.json",
            {"text_encoder_2": ["transformers", "T5EncoderModel"]},
            "a T5EncoderModel as its",
        ),
        ("model_index.json", {"transformer": ["diffusers", "SD3Transformer2DModel"]}, "not supported"),
        ("model_index.json", {"requires_aesthetics_score": True}, "refiner"),
        ("scheduler/scheduler_config.json", {"_class_name": "EDMEulerScheduler"}, "'edm'"),
        ("model_index.json", {"unet": ["diffusers", "UNet3DConditionModel"]}, "UNet3DConditionModel"),
    ],
)
def test_other_families_are_refused(
    own_folder: Folders, settings: SettingsOf, file: str, change: dict[str, Any], message: str
) -> None:
    folder = own_folder()
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=message) as caught:
        load_model(settings(folder))
    assert caught.value.remedy


def test_scheduler_keeps_betas_and_prediction(tiny_folder: Folders, settings: SettingsOf) -> None:
    for name in ("pndm", "lcm", "euler-trailing"):
        for prediction in ("epsilon", "v_prediction"):
            scheduler = load_model(
                settings(tiny_folder(scheduler=name, prediction_type=prediction))
            ).scheduler
            assert type(scheduler).__name__ == "LCMScheduler"
            assert torch.equal(scheduler.alphas_cumprod, tiny_scheduler(name).alphas_cumprod)
            assert scheduler.config.prediction_type == prediction
            assert scheduler.config.original_inference_steps == 50
    scheduler.set_timesteps(50)
    assert scheduler.timesteps[[30, 35, 40, 45]].tolist() == [399, 299, 199, 99]


def test_kinds(tiny_folder: Folders, settings: SettingsOf) -> None:
    assert load_model(settings(tiny_folder(scheduler="pndm"))).kind == "diffusion"
    assert load_model(settings(tiny_folder(scheduler="lcm"))).kind == "consistency"
    assert load_model(settings(tiny_folder(scheduler="euler-trailing"))).kind == "turbo"
    assert load_model(settings(tiny_folder(time_cond_proj_dim=16))).kind == "consistency"


def test_loading_says_nothing_of_its_own(
    tiny_folder: Folders, settings: SettingsOf, capfd: Any, recwarn: Any
) -> None:
    load_model(settings(tiny_folder()))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_devices_that_are_not_there(tiny_folder: Folders, settings: SettingsOf, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match=device) as caught:
            load_model(settings(tiny_folder(), device=device))
        assert "--device" in caught.value.remedy
    assert load_model(settings(tiny_folder(), device="auto")).device.type == "cpu"


def test_configs_for_a_folder_are_refused(tiny_folder: Folders, settings: SettingsOf) -> None:
    with pytest.raises(ConfigError, match="has its own configs"):
        load_model(settings(tiny_folder(), config=str(tiny_folder())))


def test_absent_config_folder(tiny_folder: Folders, settings: SettingsOf, tmp_path: Path) -> None:
    file = save_single_file(tiny_folder(vae="kl"), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="does not exist"):
        load_model(settings(file, config=str(tmp_path / "nowhere")))


class TestVae:
    def test_auto_keeps_a_tiny_one(self, tiny_folder: Folders, settings: SettingsOf) -> None:
        assert type(load_model(settings(tiny_folder(), vae="auto")).vae).__name__ == "AutoencoderTiny"

    def test_auto_takes_the_tiny_one_for_sd_latents(
        self, tiny_folder: Folders, settings: SettingsOf, cache_on_hub: Any, tmp_path: Path
    ) -> None:
        tiny_vae(seed=5).save_pretrained(tmp_path / "taesd")
        cache_on_hub("madebyollin/taesd", tmp_path / "taesd")
        model = load_model(settings(tiny_folder(vae="kl"), vae="auto"))
        assert_same_weights(model.vae, tiny_vae(seed=5))
        assert any("madebyollin/taesd" in note for note in model.notes)

    def test_auto_without_it_names_the_remedies(self, tiny_folder: Folders, settings: SettingsOf) -> None:
        with pytest.raises(ModelNotFoundError, match="madebyollin/taesd") as caught:
            load_model(settings(tiny_folder(vae="kl"), vae="auto"))
        assert "hf download madebyollin/taesd" in caught.value.remedy
        assert "--vae own" in caught.value.remedy

    def test_auto_for_latents_of_nobody_knows_where(self, own_folder: Folders, settings: SettingsOf) -> None:
        folder = own_folder(vae="kl")
        path = folder / "vae/config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "scaling_factor": 0.5}))
        with pytest.raises(ModelError, match="No tiny VAE") as caught:
            load_model(settings(folder, vae="auto"))
        assert "--vae own" in caught.value.remedy

    @pytest.mark.parametrize("kind", ["tiny", "kl"])
    def test_another_one_as_folder_and_file(
        self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, kind: Any
    ) -> None:
        tiny_vae(kind, seed=5).save_pretrained(tmp_path / "vae")
        for path in (tmp_path / "vae", tmp_path / "vae/diffusion_pytorch_model.safetensors"):
            model = load_model(settings(tiny_folder(), vae=str(path)))
            assert_same_weights(model.vae, tiny_vae(kind, seed=5))

    def test_single_file_in_the_original_layout(
        self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
    ) -> None:
        folder = tiny_folder(vae="kl", seed=7)
        tensors = single_file_tensors(folder)
        (tmp_path / "config.json").write_bytes((folder / "vae/config.json").read_bytes())
        kept = {k: v for k, v in tensors.items() if k.startswith("first_stage_model.")}
        bare = {k.removeprefix("first_stage_model."): v for k, v in kept.items()}
        for number, content in enumerate((kept, bare)):
            save_file({**content, "loss.logvar": torch.zeros(1)}, tmp_path / f"{number}.safetensors")
            model = load_model(settings(tiny_folder(), vae=str(tmp_path / f"{number}.safetensors")))
            assert_same_weights(model.vae, load_model(settings(folder)).vae)

    def test_file_of_the_shape_of_taesd_needs_no_config(
        self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
    ) -> None:
        from diffusers import AutoencoderTiny

        taesd = AutoencoderTiny()
        save_file(taesd.state_dict(), tmp_path / "taesd.safetensors")
        assert_same_weights(
            load_model(settings(tiny_folder(), vae=str(tmp_path / "taesd.safetensors"))).vae, taesd
        )

    def test_file_of_unknown_shape_asks_for_its_config(
        self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
    ) -> None:
        save_file(tiny_vae().state_dict(), tmp_path / "odd.safetensors")
        with pytest.raises(ModelError, match="does not fit") as caught:
            load_model(settings(tiny_folder(), vae=str(tmp_path / "odd.safetensors")))
        assert "config.json" in caught.value.remedy

    def test_other_latents_and_no_vae_at_all(
        self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path
    ) -> None:
        tiny_vae(latent_channels=16).save_pretrained(tmp_path / "vae")
        with pytest.raises(ModelError, match="16 latent channels, the UNet 4"):
            load_model(settings(tiny_folder(), vae=str(tmp_path / "vae")))
        with pytest.raises(ModelError, match="holds a text encoder, not a VAE"):
            load_model(settings(tiny_folder(), vae=str(tiny_folder() / "text_encoder")))


def test_package_names_import_lazily() -> None:
    code = (
        "import sys, streamv2v_cli.models as models\n"
        "from streamv2v_cli.models.locate import describe_model\n"
        "from streamv2v_cli.models.recommendations import recommended_settings\n"
        "from streamv2v_cli.settings.schema import Settings\n"
        "recommended_settings('mini'); describe_model(Settings(model='sd15'))\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'av', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert all(hasattr(models, name) for name in models.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_embedded_model_loads_as_it_is_shipped() -> None:
    """With nothing but the defaults: no LoRA, no other VAE, nothing fetched."""
    model = load_model(Settings.model_validate({"compute": {"device": "cpu"}}))
    assert model.name == "mini"
    assert model.kind in ("consistency", "turbo")
    assert type(model.vae).__name__ == "AutoencoderTiny"
    assert sum(parameter.numel() for parameter in model.unet.parameters()) < 50e6


def test_make_tiny_pipeline_is_repeatable(tmp_path: Path) -> None:
    one, two = (make_tiny_pipeline(tmp_path / name, seed=3) for name in "ab")
    for file in ("unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_a_model_in_half_precision_has_its_channels_last(tiny_folder: Any, settings: Any) -> None:
    plain = load_model(settings(tiny_folder(), dtype="float32"))
    half = load_model(settings(tiny_folder(), dtype="bfloat16"))
    for model, wanted in ((plain, torch.contiguous_format), (half, torch.channels_last)):
        for module in (model.unet, model.vae):
            kernels = [p for p in module.parameters() if p.dim() == 4 and min(p.shape) > 1]
            assert kernels
            assert all(kernel.is_contiguous(memory_format=wanted) for kernel in kernels)
