from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_unet
from helpers.tiny_control import make_tiny_controlnet, tiny_controlnet
from helpers.tiny_xl import XL_UNET, make_tiny_xl_pipeline

from streamv2v_cli.errors import ConfigError, ModelError, ModelNotFoundError
from streamv2v_cli.models import describe_model, load_model
from streamv2v_cli.settings.schema import Settings

Folders = Callable[..., Path]


@pytest.fixture
def with_control(settings: Any) -> Callable[..., Settings]:
    def make(model: Any, *controls: str, **weights: Any) -> Settings:
        base = settings(model, **weights).model_dump()
        return Settings.model_validate({**base, "control": {"nets": controls}})

    return make


def test_folder_gives_the_saved_weights(tiny_folder: Folders, with_control: Any, tmp_path: Path) -> None:
    net = make_tiny_controlnet(tmp_path / "my-canny", tiny_unet(), seed=5)
    model = load_model(with_control(tiny_folder(), f"{net}:0.6", f"{net}:tile"))
    first, second = model.controls
    state, wanted = first.module.state_dict(), tiny_controlnet(tiny_unet(), seed=5).state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], wanted[name]) for name in state)
    assert not first.module.training
    assert not any(x.requires_grad for x in first.module.parameters())
    assert (first.preprocessor, first.options.weight) == ("canny", 0.6)
    assert (second.preprocessor, second.options.weight) == ("tile", 1.0)
    assert sum("ControlNet" in note for note in model.notes) == 2
    compute = Settings.model_validate({"compute": {"device": "cpu", "dtype": "bfloat16"}}).compute
    half = load_model(with_control(tiny_folder(), str(net)).model_copy(update={"compute": compute}))
    assert {x.dtype for x in half.controls[0].module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("model", "name", "wanted"),
    [
        ("sd15", "canny", "lllyasviel/control_v11p_sd15_canny"),
        ("sd-turbo", "canny", "thibaud/controlnet-sd21-canny-diffusers"),
        ("sdxl", "canny", "diffusers/controlnet-canny-sdxl-1.0"),
        ("sdxl-turbo", "tile", "xinsir/controlnet-tile-sdxl-1.0"),
        ("sd15", "someone/net:tile", "someone/net"),
    ],
)
def test_names_belong_to_a_family(with_control: Any, model: str, name: str, wanted: str) -> None:
    part = describe_model(with_control(model, name)).parts[-1]
    assert (part.role, part.source, part.path) == ("ControlNet", wanted, None)
    assert "fetched" in part.remark


def test_a_name_without_a_net_for_the_family(with_control: Any) -> None:
    part = describe_model(with_control("sdxl", "luma")).parts[-1]
    assert part.missing
    assert "SDXL" in part.remark


def test_a_net_from_the_cache(
    tiny_folder: Folders, with_control: Any, cache_on_hub: Any, tmp_path: Path
) -> None:
    folder = make_tiny_controlnet(tmp_path / "net", tiny_unet())
    snapshot = cache_on_hub("lllyasviel/control_v11p_sd15_canny", folder)
    chosen = with_control(tiny_folder(), "canny")
    assert describe_model(chosen).parts[-1].path == snapshot
    assert len(load_model(chosen).controls) == 1
    with pytest.raises(ModelNotFoundError, match="hf download lllyasviel/control_v11f1e_sd15_tile"):
        load_model(with_control(tiny_folder(), "tile"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("control_sd15_hed", "softedge"), ("Brightness-net", "luma"), ("tile.v2", "tile"), ("depth", None)],
)
def test_the_name_tells_what_makes_the_pictures(
    tiny_folder: Folders, with_control: Any, tmp_path: Path, name: str, wanted: str | None
) -> None:
    net = make_tiny_controlnet(tmp_path / name, tiny_unet())
    if wanted is None:
        with pytest.raises(ConfigError, match="does not tell"):
            load_model(with_control(tiny_folder(), str(net)))
        return
    assert load_model(with_control(tiny_folder(), str(net))).controls[0].preprocessor == wanted


def test_what_does_not_fit_is_refused(tiny_folder: Folders, with_control: Any, tmp_path: Path) -> None:
    xl = make_tiny_controlnet(tmp_path / "xl-canny", tiny_unet(**XL_UNET))
    with pytest.raises(ModelError, match="made for another family"):
        load_model(with_control(tiny_folder(), str(xl)))
    folder = make_tiny_xl_pipeline(tmp_path / "pipeline")
    assert len(load_model(with_control(folder, str(xl))).controls) == 1
    with pytest.raises(ModelError, match="holds a UNet in diffusers format, not a ControlNet"):
        load_model(with_control(tiny_folder(), f"{tiny_folder() / 'unet'}:canny"))
    net = make_tiny_controlnet(tmp_path / "bgr-canny", tiny_unet())
    config = json.loads((net / "config.json").read_text())
    (net / "config.json").write_text(json.dumps({**config, "controlnet_conditioning_channel_order": "bgr"}))
    with pytest.raises(ModelError, match="another order than RGB"):
        load_model(with_control(tiny_folder(), str(net)))
    (tmp_path / "canny.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is damaged"):
        load_model(with_control(tiny_folder(), str(tmp_path / "canny.safetensors")))
