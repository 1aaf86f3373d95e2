from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.lora_files import random_updates, save_lora
from helpers.single_file import save_single_file
from helpers.tiny import tiny_model, tiny_vae

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models import describe_model, recommended_settings
from streamv2v_cli.models.catalog import CATALOG
from streamv2v_cli.models.locate import ModelPlan, PlannedPart
from streamv2v_cli.models.recommendations import useful_ranges
from streamv2v_cli.settings.schema import Settings

Folders = Callable[..., Path]
SettingsOf = Callable[..., Any]
LCM_LORA = "latent-consistency/lcm-lora-sdv1-5"


def roles(plan: ModelPlan) -> dict[str, PlannedPart]:
    return {part.role: part for part in plan.parts}


class TestRecommendations:
    def test_beside_a_folder_a_file_and_in_the_cache(
        self, own_folder: Folders, cache_on_hub: Any, tmp_path: Path
    ) -> None:
        folder = own_folder()
        (folder / "streamv2v.yaml").write_text("bank: {interval: 2}\ndiffusion: {strength: 0.5}\n")
        (folder / "model.safetensors").touch()
        wanted = {"bank": {"interval": "2"}, "diffusion": {"strength": "0.5"}}
        assert recommended_settings(str(folder)) == wanted
        assert recommended_settings(str(folder / "model.safetensors")) == wanted
        cache_on_hub("someone/tiny", folder)
        assert recommended_settings("someone/tiny") == wanted

    @pytest.mark.parametrize(
        "model", ["someone/absent", "./absent", "absent.safetensors", "sd15", "no name at all"]
    )
    def test_nothing_for_what_is_not_here(self, model: str) -> None:
        assert recommended_settings(model) == {}

    @pytest.mark.parametrize(
        "content", ["- a list", "a: [", "just text", "seed: 1\nseed: 2", "seed: !!python/none"]
    )
    def test_broken(self, own_folder: Folders, content: str) -> None:
        folder = own_folder()
        (folder / "streamv2v.yaml").write_text(content)
        with pytest.raises(ModelError, match=r"streamv2v\.yaml"):
            recommended_settings(str(folder))

    def test_useful_ranges_are_no_settings(self, own_folder: Folders) -> None:
        folder = own_folder()
        (folder / "streamv2v.yaml").write_text("seed: 1\nuseful: {diffusion: {strength: [0.3, 0.5]}}\n")
        assert recommended_settings(str(folder)) == {"seed": "1"}
        assert useful_ranges(str(folder)) == {"diffusion.strength": (0.3, 0.5)}
        assert useful_ranges("sd15") == {}

    @pytest.mark.parametrize(
        "useful",
        ["[0.3, 0.5]", "{seed: 3}", "{seed: [1]}", "{seed: [2, 1]}", "{sead: [1, 2]}", "{seed: [a, b]}"],
    )
    def test_useful_ranges_that_are_none(self, own_folder: Folders, useful: str) -> None:
        folder = own_folder()
        (folder / "streamv2v.yaml").write_text(f"useful: {useful}\n")
        with pytest.raises(ModelError, match=r"`useful` in the streamv2v\.yaml"):
            useful_ranges(str(folder))

    @pytest.mark.parametrize(
        ("key", "words"),
        [
            ("diffusion.strenth", "unknown key 'diffusion.strenth'"),
            ("nothing", "unknown key 'nothing'"),
            ("model", "a range for 'model', which is not a number"),
            ("bank.kind", "a range for 'bank.kind', which is not a number"),
            ("bank.stratified", "a range for 'bank.stratified', which is not a number"),
            ("output.bitrate", "a range for 'output.bitrate', which is not a number"),
            ("bank.attention.layers", "a range for 'bank.attention.layers', which is not a number"),
        ],
    )
    def test_a_useful_range_of_what_is_no_number(self, own_folder: Folders, key: str, words: str) -> None:
        folder = own_folder()
        (folder / "streamv2v.yaml").write_text(f"useful: {{{key}: [1, 2]}}\n")
        with pytest.raises(ModelError, match=r"`useful` in the streamv2v\.yaml") as error:
            useful_ranges(str(folder))
        assert words in error.value.message

    def test_empty(self, own_folder: Folders) -> None:
        folder = own_folder()
        (folder / "streamv2v.yaml").write_text("# nothing\n")
        assert recommended_settings(str(folder)) == {}


class TestPlan:
    def test_folder_with_its_own_vae(self, tiny_folder: Folders, settings: SettingsOf) -> None:
        folder = tiny_folder(scheduler="lcm")
        plan = describe_model(settings(folder))
        assert (plan.kind, plan.complete) == ("consistency", True)
        assert {role: part.path for role, part in roles(plan).items()} == {"model": folder, "VAE": folder}

    def test_sd15_that_is_not_here(self) -> None:
        plan = describe_model(Settings(model="sd15"))
        assert (plan.kind, plan.complete) == ("diffusion", False)
        found = roles(plan)
        assert found["model"].source == "stable-diffusion-v1-5/stable-diffusion-v1-5"
        assert found["VAE"].source == "madebyollin/taesd"
        assert found["LCM-LoRA"].source == LCM_LORA
        assert all(part.path is None and "fetched" in part.remark for part in plan.parts)

    def test_turbo_and_consistency_models_take_no_lcm_lora(self) -> None:
        for name in ("sd-turbo", "lcm-dreamshaper"):
            plan = describe_model(Settings(model=name))
            assert plan.kind == CATALOG[name].kind
            assert "LCM-LoRA" not in roles(plan)

    def test_unknown_hub_model(self) -> None:
        plan = describe_model(Settings(model="someone/absent"))
        assert plan.kind is None
        assert "unless" in roles(plan)["LCM-LoRA"].remark
        none = describe_model(
            Settings.model_validate({"model": "someone/absent", "weights": {"lcm_lora": "none"}})
        )
        assert "LCM-LoRA" not in roles(none)

    def test_lcm_lora_that_was_asked_for_is_always_listed(self) -> None:
        weights = {"lcm_lora": "someone/lcm"}
        plan = describe_model(Settings.model_validate({"model": "sd-turbo", "weights": weights}))
        assert roles(plan)["LCM-LoRA"].source == "someone/lcm"

    def test_cached_parts_are_found(
        self, tiny_folder: Folders, cache_on_hub: Any, settings: SettingsOf, tmp_path: Path
    ) -> None:
        model = cache_on_hub("someone/tiny", tiny_folder(vae="kl"))
        tiny_vae().save_pretrained(tmp_path / "taesd")
        vae = cache_on_hub("madebyollin/taesd", tmp_path / "taesd")
        (tmp_path / "lora").mkdir()
        save_lora(tmp_path / "lora/style.safetensors", random_updates(tiny_model().unet, ["conv_in"]))
        lora = cache_on_hub("someone/style", tmp_path / "lora")
        plan = describe_model(settings("someone/tiny", vae="auto", loras=["someone/style:0.5"]))
        paths = {role: part.path for role, part in roles(plan).items()}
        assert paths == {"model": model, "VAE": vae, "LoRA": lora / "style.safetensors"}
        assert plan.complete
        assert "weight 0.5" in roles(plan)["LoRA"].remark

    def test_download_that_broke_off(
        self, own_folder: Folders, cache_on_hub: Any, settings: SettingsOf
    ) -> None:
        folder = own_folder()
        (folder / "unet/config.json").unlink()
        cache_on_hub("someone/tiny", folder)
        part = roles(describe_model(settings("someone/tiny")))["model"]
        assert part.path is None
        assert "fetched" in part.remark

    def test_single_file(self, tiny_folder: Folders, settings: SettingsOf, tmp_path: Path) -> None:
        folder = tiny_folder(vae="kl")
        file = save_single_file(folder, tmp_path / "model.safetensors")
        plan = describe_model(settings(file, config=str(folder)))
        assert (plan.kind, roles(plan)["model"].path) == ("diffusion", file)
        refused = describe_model(settings(file))
        assert roles(refused)["model"].path is None
        assert "--model-config" in roles(refused)["model"].remark

    def test_what_cannot_be_had_is_a_remark(self, tiny_folder: Folders, settings: SettingsOf) -> None:
        plan = describe_model(settings("./absent"))
        assert not plan.complete
        assert "does not exist" in plan.parts[0].remark
        absent = "absent.safetensors"
        parts = describe_model(settings(tiny_folder(), vae="./absent", lcm_lora=absent, loras=[absent]))
        found = roles(parts)
        for role, flag in (("VAE", "--vae"), ("LoRA", "--lora"), ("LCM-LoRA", "--lcm-lora")):
            assert "does not exist" in found[role].remark
            assert f"with {flag}." in found[role].remark
        assert not parts.complete


def test_a_folder_that_only_shares_a_name_does_not_hide_the_catalog(
    tiny_folder: Folders, settings: SettingsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sd15").mkdir()
    assert roles(describe_model(Settings(model="sd15")))["model"].source.startswith("stable-diffusion-v1-5/")
    (tmp_path / "sd-turbo").symlink_to(tiny_folder())
    assert roles(describe_model(settings("sd-turbo")))["model"].path == Path("sd-turbo")
