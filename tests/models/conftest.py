from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamv2v_cli.settings.schema import Settings


@pytest.fixture(autouse=True)
def _no_network(refused_network: None) -> None:
    """No test here may reach the network or the user's own cache."""


@pytest.fixture
def own_folder(tiny_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a tiny pipeline that a test may change."""

    def copy(**options: Any) -> Path:
        return shutil.copytree(tiny_folder(**options), tmp_path / "model")

    return copy


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Settings for a model on the CPU, with its own VAE and without LCM-LoRA unless said otherwise."""

    def make(model: Path | str, *, device: str = "cpu", dtype: str = "float32", **weights: Any) -> Settings:
        return Settings.model_validate(
            {
                "model": str(model),
                "compute": {"device": device, "dtype": dtype},
                "weights": {"vae": "own", "lcm_lora": "none", **weights},
            }
        )

    return make
