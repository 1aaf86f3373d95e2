"""Networks that enlarge results: `--upscale FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from helpers.tiny_upscaler import hide_spandrel, install_tiny_spandrel, save_tiny_upscaler
from safetensors.torch import save_file
from torch.nn import functional as F

from streamv2v_cli.errors import ModelError, ModelNotFoundError, StreamV2VError
from streamv2v_cli.models.locate import describe_model
from streamv2v_cli.models.upscaler import load_upscaler
from streamv2v_cli.settings.schema import Settings

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_network_is_given_0_to_1_in_a_format_that_it_can_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dtype: torch.dtype
) -> None:
    install_tiny_spandrel(monkeypatch)
    enlarge = load_upscaler(str(save_tiny_upscaler(tmp_path / "up.safetensors", 0.5, 0.25)), CPU, dtype)
    picture = torch.linspace(-1.2, 1.2, 48).view(1, 3, 4, 4)
    wanted = (0.5 * picture.clamp(-1, 1)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    enlarged = enlarge(picture)
    assert enlarged.dtype == torch.float32
    torch.testing.assert_close(enlarged, wanted, atol=0.01 if dtype == torch.bfloat16 else 1e-6, rtol=0)


def test_pickled_weights_must_be_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_tiny_spandrel(monkeypatch)
    torch.save({"params_ema": {"values": torch.tensor([1.0, 0.0])}}, tmp_path / "up.pth")
    with pytest.raises(ModelError, match="allow-pickle"):
        load_upscaler(str(tmp_path / "up.pth"), CPU, torch.float32)
    assert load_upscaler(str(tmp_path / "up.pth"), CPU, torch.float32, allow_pickle=True)(
        torch.zeros(1, 3, 2, 2)
    ).shape == (1, 3, 4, 4)


def test_files_that_are_no_upscaler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    doubler = install_tiny_spandrel(monkeypatch)
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        load_upscaler(str(tmp_path / "none.pth"), CPU, torch.float32)
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ModelError, match="damaged"):
        load_upscaler(str(tmp_path / "damaged.safetensors"), CPU, torch.float32)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no upscaler"):
        load_upscaler(str(tmp_path / "other.safetensors"), CPU, torch.float32)
    path = save_tiny_upscaler(tmp_path / "up.safetensors", 1, 0)
    for name, value in {"scale": 1, "purpose": "Restoration", "input_channels": 1}.items():
        with monkeypatch.context() as changed:
            changed.setattr(doubler, name, value)
            with pytest.raises(ModelError, match="does not enlarge"):
                load_upscaler(str(path), CPU, torch.float32)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(save_tiny_upscaler(tmp_path / "up.safetensors", 1, 0))
    hide_spandrel(monkeypatch, ModuleNotFoundError("No module named 'torchvision'", name="torchvision"))
    with pytest.raises(StreamV2VError, match="needs torchvision, which is not installed") as raised:
        load_upscaler(path, CPU, torch.float32)
    assert "streamv2v[upscale]" in str(raised.value.remedy)
    hide_spandrel(monkeypatch, RuntimeError("operator torchvision::nms does not exist"))
    with pytest.raises(StreamV2VError, match="does not load beside PyTorch"):
        load_upscaler(path, CPU, torch.float32)


def test_the_plan_names_the_file(tmp_path: Path) -> None:
    path = save_tiny_upscaler(tmp_path / "up.safetensors", 1, 0)
    for name, missing in ((str(path), False), (str(tmp_path / "none.safetensors"), True)):
        settings = Settings.model_validate({"frame": {"upscale": name}})
        (part,) = (part for part in describe_model(settings).parts if part.role == "upscaler")
        assert (part.source, part.missing) == (name, missing)


def test_a_real_network_of_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Real-ESRGAN's compact architecture, random and tiny, beside the same layers written out."""
    pytest.importorskip("einops")
    if "torchvision" not in sys.modules:
        _stand_in_for_torchvision(monkeypatch)
    pytest.importorskip("spandrel")
    random = torch.Generator().manual_seed(0)
    shapes = {"body.0": (8, 3, 3, 3), "body.2": (8, 8, 3, 3), "body.4": (12, 8, 3, 3)}
    tensors = {f"{name}.weight": 0.3 * torch.randn(shape, generator=random) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": torch.rand(shape[0], generator=random) / 4 for name, shape in shapes.items()}
    tensors |= {f"body.{place}.weight": torch.full((8,), 0.2) for place in (1, 3)}
    save_file(tensors, tmp_path / "compact.safetensors")
    enlarge = load_upscaler(str(tmp_path / "compact.safetensors"), CPU, torch.float32)
    picture = torch.rand(1, 3, 9, 13, generator=random)
    values = picture
    for place in (0, 2, 4):
        values = F.conv2d(values, tensors[f"body.{place}.weight"], tensors[f"body.{place}.bias"], padding=1)
        values = F.leaky_relu(values, 0.2) if place < 4 else values
    wanted = F.pixel_shuffle(values, 2) + F.interpolate(picture, scale_factor=2, mode="nearest")
    torch.testing.assert_close(enlarge(2 * picture - 1).add(1).div(2), wanted.clamp(0, 1), atol=1e-5, rtol=0)


def _stand_in_for_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two architectures import from it what no upscaler needs, and the one that is there may not load."""
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        module: Any = ModuleType(name)
        module.normalize = module.rotate = module.InterpolationMode = None
        monkeypatch.setitem(sys.modules, name, module)
