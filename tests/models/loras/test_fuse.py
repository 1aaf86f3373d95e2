from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.lora_files import Update, random_updates, save_lora
from helpers.tiny import tiny_model, tiny_pipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from streamv2v_cli.errors import ModelError, ModelNotFoundError
from streamv2v_cli.models import load_model

pytestmark = pytest.mark.numerical

Folders = Callable[..., Path]
SettingsOf = Callable[..., Any]

ATTENTION = [
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
]
OTHERS = [
    "conv_in",
    "down_blocks.1.resnets.0.conv2",
    "down_blocks.1.attentions.0.proj_in",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "time_embedding.linear_1",
]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc2"]


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny_model()


def text_names(text_encoder: torch.nn.Module) -> list[str]:
    """Layer names as this version of transformers has them."""
    prefix = "text_model." if hasattr(text_encoder, "text_model") else ""
    return [prefix + name for name in TEXT]


def fused_by_hand(
    module: torch.nn.Module, updates: list[tuple[float, dict[str, Update]]]
) -> dict[str, torch.Tensor]:
    """W + Σ weight · alpha / rank · up · down, in float64, for every weight of the module."""
    weights = {name: value.double() for name, value in module.state_dict().items()}
    for weight, named in updates:
        for name, update in named.items():
            old = weights[f"{name}.weight"]
            weights[f"{name}.weight"] = old + weight * update.delta.view_as(old)
    return weights


def assert_close(module: torch.nn.Module, wanted: dict[str, torch.Tensor]) -> None:
    found = module.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        # Updates may cancel, so that rounding is a share of the largest weight and not of each.
        largest = max(1.0, float(wanted[name].abs().max()))
        torch.testing.assert_close(value.double(), wanted[name], atol=5e-6 * largest, rtol=0, msg=name)


@pytest.mark.parametrize("spelling", ["kohya", "diffusers", "diffusers-old", "peft"])
def test_fused_weights_are_those_of_the_formula(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any, spelling: Any
) -> None:
    names = ATTENTION if spelling == "diffusers-old" else ATTENTION + OTHERS
    alpha = 4.0 if spelling == "diffusers-old" else 2.0
    unet = random_updates(plain.unet, names, alpha=alpha)
    text = random_updates(plain.text_encoder, text_names(plain.text_encoder), alpha=4.0, seed=1)
    if spelling == "peft":
        text = {}
    path = save_lora(tmp_path / ("lora" if spelling == "peft" else "lora.safetensors"), unet, text, spelling)
    model = load_model(settings(tiny_folder(), loras=[f"{path}:0.7"]))
    assert_close(model.unet, fused_by_hand(plain.unet, [(0.7, unet)]))
    assert_close(model.text_encoder, fused_by_hand(plain.text_encoder, [(0.7, text)]))
    assert any("0.7" in note and str(path) in note for note in model.notes)


@pytest.mark.parametrize("spelling", ["kohya", "diffusers"])
def test_agrees_with_diffusers_own_fusion(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any, spelling: Any
) -> None:
    pytest.importorskip("peft")
    unet = random_updates(plain.unet, ATTENTION + OTHERS[1:4])
    path = save_lora(tmp_path / "lora.safetensors", unet, None, spelling)
    pipeline = tiny_pipeline()
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name)
    pipeline.fuse_lora(lora_scale=0.5)
    pipeline.unload_lora_weights()
    wanted = {name: value.double() for name, value in pipeline.unet.state_dict().items()}
    assert_close(load_model(settings(tiny_folder(), loras=[f"{path}:0.5"])).unet, wanted)


def test_several_in_any_order(tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any) -> None:
    named = [random_updates(plain.unet, ATTENTION + OTHERS[i : i + 2], seed=i) for i in range(3)]
    weights = [0.5, -1.25, 2.0]
    paths = [save_lora(tmp_path / f"{index}.safetensors", updates) for index, updates in enumerate(named)]
    loras = [f"{path}:{weight}" for path, weight in zip(paths, weights, strict=True)]
    wanted = fused_by_hand(plain.unet, list(zip(weights, named, strict=True)))
    states = []
    for order in (loras, loras[::-1], [loras[1], loras[2], loras[0]]):
        model = load_model(settings(tiny_folder(), loras=order))
        assert_close(model.unet, wanted)
        states.append(model.unet.state_dict())
    assert all(torch.equal(states[0][name], state[name]) for state in states[1:] for name in state)


def test_the_model_stays_plain_modules(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
) -> None:
    path = save_lora(tmp_path / "lora.safetensors", random_updates(plain.unet, ATTENTION))
    unet = load_model(settings(tiny_folder(), loras=[str(path)])).unet
    assert [type(layer) for layer in unet.modules()] == [type(layer) for layer in plain.unet.modules()]
    assert not hasattr(unet, "peft_config")


def test_weight_zero_changes_no_bit(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
) -> None:
    path = save_lora(tmp_path / "lora.safetensors", random_updates(plain.unet, ATTENTION))
    state = load_model(settings(tiny_folder(), loras=[f"{path}:0"])).unet.state_dict()
    assert all(torch.equal(state[name], value) for name, value in plain.unet.state_dict().items())


def test_half_format_rounds_the_sum_once(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
) -> None:
    updates = random_updates(plain.unet, ATTENTION)
    path = save_lora(tmp_path / "lora.safetensors", updates)
    half = load_model(settings(tiny_folder(), loras=[str(path)], dtype="float16")).unet
    whole = load_model(settings(tiny_folder(), loras=[str(path)])).unet
    name = f"{ATTENTION[0]}.weight"
    assert torch.equal(half.get_parameter(name), whole.get_parameter(name).half())


def test_folder_with_one_file_and_with_several(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
) -> None:
    updates = random_updates(plain.unet, ATTENTION)
    (tmp_path / "lora").mkdir()
    save_lora(tmp_path / "lora/style.safetensors", updates)
    model = load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora")]))
    assert_close(model.unet, fused_by_hand(plain.unet, [(1.0, updates)]))
    save_lora(tmp_path / "lora/other.safetensors", random_updates(plain.unet, OTHERS))
    with pytest.raises(ModelError, match=r"several .*other.*style") as caught:
        load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora")]))
    assert "--lora PATH" in caught.value.remedy
    save_lora(tmp_path / "lora/pytorch_lora_weights.safetensors", updates)
    model = load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora")]))
    assert_close(model.unet, fused_by_hand(plain.unet, [(1.0, updates)]))


def test_peft_alpha_patterns_and_rank_stabilised_scale(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
) -> None:
    updates = random_updates(plain.unet, ATTENTION[:2], alpha=6.0)
    folder = save_lora(tmp_path / "lora", updates, spelling="peft")
    config = {"lora_alpha": 6.0, "alpha_pattern": {"attn2.to_k": 1.0}, "use_rslora": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    # Alpha over the square root of the rank (4): twice what alpha over rank gives.
    for update, alpha in zip(updates.values(), (6.0, 1.0), strict=True):
        update.alpha = 2 * alpha
    model = load_model(settings(tiny_folder(), loras=[str(folder)]))
    assert_close(model.unet, fused_by_hand(plain.unet, [(1.0, updates)]))


def test_other_architecture_and_other_shape(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
) -> None:
    nowhere = {f"other_blocks.{i}": Update(torch.zeros(2, 8), torch.zeros(8, 2), 1.0) for i in range(2)}
    path = save_lora(tmp_path / "nowhere.safetensors", nowhere)
    with pytest.raises(ModelError, match="fits no layer"):
        load_model(settings(tiny_folder(), loras=[str(path)]))
    wide = random_updates(tiny_model(cross_attention_dim=24).unet, [ATTENTION[1]])
    path = save_lora(tmp_path / "wide.safetensors", wide)
    with pytest.raises(ModelError, match=r"attn2_to_k is 32x24x1x1, the layer is 32x16x1x1"):
        load_model(settings(tiny_folder(), loras=[str(path)]))


def test_partly_fitting_lora_says_so(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any, caplog: Any
) -> None:
    updates = random_updates(plain.unet, ATTENTION)
    extra = {"other_blocks.0": Update(torch.zeros(2, 8), torch.zeros(8, 2), 1.0)}
    path = save_lora(tmp_path / "lora.safetensors", {**updates, **extra})
    model = load_model(settings(tiny_folder(), loras=[str(path)]))
    assert_close(model.unet, fused_by_hand(plain.unet, [(1.0, updates)]))
    assert any("1 of its layers" in note for note in model.notes)
    assert any(
        "1 of its layers" in record.message for record in caplog.records if record.levelname == "WARNING"
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lora_unet_mid_block_attentions_0_proj_in.hada_w1_a", "lacks the hada_w1_b"),
        ("lora_unet_mid_block_attentions_0_proj_in.lokr_w1", "lacks the lokr_w2"),
        ("lora_unet_mid_block_attentions_0_proj_in.dora_scale", "holds no LoRA"),
        ("lora_unet_mid_block_attentions_0_proj_in.oft_blocks", "made with OFT"),
        ("transformer.single_blocks.0.lora_A.weight", "another family"),
        ("model.diffusion_model.out.2.weight", "holds no LoRA"),
        ("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", "lacks the down"),
    ],
)
def test_what_is_no_plain_lora_is_refused(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, key: str, message: str
) -> None:
    save_file({key: torch.zeros(4, 4)}, tmp_path / "lora.safetensors")
    with pytest.raises(ModelError, match=message) as caught:
        load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora.safetensors")]))
    assert caught.value.remedy


def test_damaged_and_absent_lora(tiny_folder: Folders, settings: SettingsOf, tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(b"junk" * 10)
    with pytest.raises(ModelError, match="damaged"):
        load_model(settings(tiny_folder(), loras=[str(tmp_path / "lora.safetensors")]))
    with pytest.raises(ModelNotFoundError, match="does not exist") as caught:
        load_model(settings(tiny_folder(), loras=["styles/absent.safetensors:0.5"]))
    assert "--lora" in caught.value.remedy


class TestLcmLora:
    """An SD 1.x-wide tiny UNet (prompts of 768) with a stand-in for the LCM-LoRA in the Hub's cache."""

    HUB_ID = "latent-consistency/lcm-lora-sdv1-5"

    @pytest.fixture
    def wide_folder(self, own_folder: Folders) -> Path:
        folder = own_folder(cross_attention_dim=768)
        path = folder / "text_encoder/config.json"
        torch.manual_seed(0)
        wide = CLIPTextConfig(**{**json.loads(path.read_text()), "hidden_size": 768})
        CLIPTextModel(wide).save_pretrained(folder / "text_encoder")
        return folder

    @pytest.fixture
    def lora(self, wide_folder: Path, tmp_path: Path, cache_on_hub: Any) -> dict[str, Update]:
        unet = tiny_model(cross_attention_dim=768).unet
        updates = random_updates(unet, ATTENTION + OTHERS, seed=9)
        (tmp_path / "lcm").mkdir()
        save_lora(tmp_path / "lcm/pytorch_lora_weights.safetensors", updates)
        cache_on_hub(self.HUB_ID, tmp_path / "lcm")
        return updates

    def test_auto_applies_it_to_a_diffusion_model(
        self, wide_folder: Path, settings: SettingsOf, lora: Any, caplog: Any
    ) -> None:
        caplog.set_level("INFO")
        model = load_model(settings(wide_folder, lcm_lora="auto"))
        before = load_model(settings(wide_folder)).unet
        assert_close(model.unet, fused_by_hand(before, [(1.0, lora)]))
        assert any(self.HUB_ID in note for note in model.notes)
        assert self.HUB_ID in caplog.text

    @pytest.mark.parametrize("scheduler", ["lcm", "euler-trailing"])
    def test_auto_leaves_distilled_models_alone(
        self, tiny_folder: Folders, settings: SettingsOf, scheduler: str
    ) -> None:
        model = load_model(settings(tiny_folder(scheduler=scheduler), lcm_lora="auto"))
        assert not any("LCM-LoRA" in note for note in model.notes)

    def test_none_never_and_a_path_always(
        self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, plain: Any
    ) -> None:
        never = load_model(settings(tiny_folder(), lcm_lora="none"))
        assert_close(never.unet, fused_by_hand(plain.unet, []))
        assert any("no LCM-LoRA" in note for note in never.notes)
        updates = random_updates(plain.unet, ATTENTION)
        path = save_lora(tmp_path / "lcm.safetensors", updates)
        always = load_model(settings(tiny_folder(scheduler="lcm"), lcm_lora=str(path)))
        assert_close(always.unet, fused_by_hand(plain.unet, [(1.0, updates)]))

    def test_with_a_style_both_are_added(
        self, wide_folder: Path, settings: SettingsOf, lora: Any, tmp_path: Path
    ) -> None:
        before = load_model(settings(wide_folder)).unet
        style = random_updates(before, ATTENTION, seed=4)
        path = save_lora(tmp_path / "style.safetensors", style)
        model = load_model(settings(wide_folder, lcm_lora="auto", loras=[f"{path}:0.5"]))
        assert_close(model.unet, fused_by_hand(before, [(1.0, lora), (0.5, style)]))

    def test_not_to_be_had(self, wide_folder: Path, settings: SettingsOf) -> None:
        with pytest.raises(ModelNotFoundError, match=self.HUB_ID) as caught:
            load_model(settings(wide_folder, lcm_lora="auto"))
        for part in (f"hf download {self.HUB_ID}", "--lcm-lora PATH", "--lcm-lora none"):
            assert part in caught.value.remedy

    def test_none_is_known_for_this_architecture(
        self, tiny_folder: Folders, settings: SettingsOf, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = load_model(settings(tiny_folder(), lcm_lora="auto"))
        assert "no LCM-LoRA is known" in caplog.text
        assert "no LCM-LoRA applied: few steps may look unfinished" in model.notes


def test_lora_files_of_this_test_are_what_trainers_write(tmp_path: Path, plain: Any) -> None:
    """Guards the helper: the key spellings, written out."""
    updates = random_updates(plain.unet, ATTENTION[:1])
    keys = {
        "kohya": "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight",
        "diffusers": "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "diffusers-old": f"unet.{ATTENTION[0].removesuffix('.to_q')}.processor.to_q_lora.down.weight",
    }
    for spelling, key in keys.items():
        assert key in load_file(save_lora(tmp_path / f"{spelling}.safetensors", updates, None, spelling))  # type: ignore[arg-type]
