"""Which number format a model runs in, and how its pictures lie in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from streamv2v_cli.accel.device import computes_in, pick_dtype, use_layout

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes torch see a processor with these features."""

    def be(**features: bool) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)

    return be


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"neon": True, "bf16": True}, torch.float32),
        ({}, torch.float32),
    ],
    ids=str,
)
def test_auto_on_a_processor(processor: Any, features: dict[str, bool], wanted: torch.dtype) -> None:
    processor(**features)
    assert pick_dtype("auto", CPU) == wanted
    assert pick_dtype("auto", CUDA) == torch.float16
    assert pick_dtype("auto", MPS) == torch.float32


def test_a_torch_that_does_not_know_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not computes_in(torch.bfloat16)
    assert pick_dtype("auto", CPU) == torch.float32


def test_a_torch_without_onednn(processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    processor(avx512_bf16=True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert pick_dtype("auto", CPU) == torch.float32


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_slow_format_is_used_and_said(processor: Any, caplog: Any, name: str) -> None:
    processor(avx512_bf16=False, avx512_fp16=False)
    assert pick_dtype(name, CPU) == getattr(torch, name)
    assert f"emulates {name}" in caplog.text
    caplog.clear()
    processor(avx512_bf16=True, avx512_fp16=True)
    pick_dtype(name, CPU)
    pick_dtype("float32", CPU)
    assert not caplog.text


@pytest.mark.parametrize(
    ("device", "dtype", "wanted"),
    [
        (CPU, torch.bfloat16, torch.channels_last),
        (CPU, torch.float16, torch.channels_last),
        (CUDA, torch.float16, torch.channels_last),
        (CPU, torch.float32, torch.contiguous_format),
        (CUDA, torch.float32, torch.contiguous_format),
        (MPS, torch.float16, torch.contiguous_format),
    ],
    ids=str,
)
def test_layout(device: torch.device, dtype: torch.dtype, wanted: torch.memory_format) -> None:
    convolution = torch.nn.Conv2d(3, 5, 3)
    use_layout(convolution, device, dtype)
    assert convolution.weight.is_contiguous(memory_format=wanted)


def test_convolutions_of_1x1_keep_the_channels_last() -> None:
    """Their kernels are the same in both layouts; a convolution goes by the strides."""
    convolution = torch.nn.Conv2d(4, 6, 1).bfloat16().requires_grad_(False)
    use_layout(convolution, CPU, torch.bfloat16)
    pictures = torch.ones(2, 4, 8, 8, dtype=torch.bfloat16)
    assert convolution(pictures).is_contiguous(memory_format=torch.channels_last)
