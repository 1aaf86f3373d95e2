"""What `--accel` names: what is there, and what is refused."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch

from streamv2v_cli.accel import choose, choose_accel
from streamv2v_cli.errors import DeviceError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.mark.parametrize("device", [CPU, CUDA, MPS], ids=str)
def test_plain_everywhere(device: torch.device) -> None:
    assert choose_accel("none", device) == "none"


def test_auto_takes_graphs_on_an_nvidia_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", None)
    assert [choose_accel("auto", device) for device in (CPU, CUDA, MPS)] == ["none", "graphs", "none"]
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert choose_accel("auto", CUDA) == "none"


@pytest.mark.parametrize("device", [CPU, MPS], ids=str)
@pytest.mark.parametrize("name", ["graphs", "max"])
def test_graphs_need_cuda(name: str, device: torch.device) -> None:
    with pytest.raises(
        DeviceError, match=f"compute.accel is {name}, which needs a CUDA device; .* on {device}"
    ):
        choose_accel(name, device)


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_accel("graphs", CUDA) == "graphs"
    monkeypatch.setattr(choose, "has_cpp_compiler", lambda: True)
    assert choose_accel("compile", CPU) == "compile"
    monkeypatch.setattr(choose, "has_cpp_compiler", lambda: False)
    with pytest.raises(DeviceError, match=r"finds no C\+\+ compiler"):
        choose_accel("compile", CPU)
    with pytest.raises(DeviceError, match="works on a processor or a CUDA device"):
        choose_accel("compile", MPS)


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    assert not choose.has_cpp_compiler()


@pytest.mark.parametrize("name", ["compile", "max"])
def test_a_gpu_needs_triton(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def find(module: str, *_: Any) -> Any:
        assert module == "triton"
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(DeviceError, match="Triton"):
        choose_accel(name, CUDA)
