from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny import tiny_model


@pytest.fixture(scope="session")
def small_model() -> Any:
    """Two levels, so that tracing takes a second and not ten; in float64, where rounding turns no match."""
    return tiny_model(
        dtype=torch.float64,
        block_out_channels=(16, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
