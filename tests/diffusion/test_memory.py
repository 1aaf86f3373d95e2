"""Running out of memory: one sentence with the settings that need less, and a translator that goes on afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_clip import make_tiny_clip
from safetensors.torch import save_file

from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.errors import DeviceError
from streamv2v_cli.metrics.clip import ClipScore
from streamv2v_cli.models.load import load_model
from streamv2v_cli.models.out_of_memory import ran_out_of_memory, too_little_memory, too_little_memory_to_load
from streamv2v_cli.settings.schema import Settings

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
CUDA_SAYS = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 4 GiB"
)
CPU_SAYS = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)"
)


def caused_by(error: Exception, cause: Exception) -> Exception:
    """As if a library had caught one and raised the other."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (CUDA_SAYS, True),
        (CPU_SAYS, True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.9 GB, max allowed: 9.0 GB)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("Expected all tensors to be on the same device"), False),
        (ValueError("out of memory"), False),
        (MemoryError(), True),
        (caused_by(OSError("Unable to load weights from checkpoint file"), MemoryError()), True),
        (caused_by(OSError("Unable to load weights from checkpoint file"), CPU_SAYS), True),
        (caused_by(OSError("Unable to load weights from checkpoint file"), ValueError("bad header")), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_device_says_it_otherwise(error: Exception, wanted: bool) -> None:
    assert ran_out_of_memory(error) is wanted


def test_what_the_allocator_really_says() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert ran_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("changes", "device", "dtype", "lookahead", "ways"),
    [
        (
            {},
            CUDA,
            torch.float16,
            4,
            "--lookahead 1 (the same pictures up to rounding), --accel none, --size 384 or --steps 2",
        ),
        (
            {"compute": {"accel": "none"}},
            CUDA,
            torch.float32,
            1,
            "with --dtype float16, --size 384 or --steps 2",
        ),
        ({}, CPU, torch.float32, 1, "--dtype bfloat16, --size 384 or --steps 2"),
        (
            {"bank": {"kind": "queue", "size": 4}, "diffusion": {"steps": 1}},
            CUDA,
            torch.float16,
            1,
            "--accel none, --bank-size 1 or --bank dyme or --size 384",
        ),
        (
            {"diffusion": {"steps": 1, "guidance": {"kind": "full"}}},
            CPU,
            torch.bfloat16,
            1,
            "--guidance self",
        ),
    ],
)
def test_only_what_helps_is_named(
    changes: dict[str, Any], device: torch.device, dtype: torch.dtype, lookahead: int, ways: str
) -> None:
    settings = Settings.model_validate(changes)
    said = too_little_memory(settings, device, dtype, (912, 512), lookahead)
    assert "912x512" in said.message
    assert said.remedy.startswith("Less is needed with ")
    assert f"{ways}, or when other programs end." in said.remedy
    assert ("cuda:0" in said.message) == (device == CUDA)


def test_what_is_as_small_as_can_be_has_no_advice() -> None:
    settings = Settings.model_validate({"diffusion": {"steps": 1}, "compute": {"accel": "none"}})
    assert too_little_memory(settings, CUDA, torch.float16, (64, 64), 1).remedy == ""


class Full:
    """A UNet's forward that finds no memory at its n-th call."""

    def __init__(self, forward: Callable[..., Any], at: int, error: Exception) -> None:
        self.forward, self.left, self.error = forward, at, error

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.forward(*arguments, **options)


@pytest.mark.parametrize("error", [CUDA_SAYS, CPU_SAYS], ids=["cuda", "cpu"])
def test_the_translator_says_so_and_can_be_used_again(
    error: Exception, model: Any, settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = Translator(model, settings(lookahead=1))
    clip = frames(6)
    wanted = [out.pixels.copy() for frame in clip for out in translator.push(frame)]
    wanted += [out.pixels for out in translator.flush()]
    translator.reset()
    monkeypatch.setattr(model.unet, "forward", Full(model.unet.forward, 3, error))
    with pytest.raises(
        DeviceError, match="too little memory for pictures of 64x64 in 4 denoising steps"
    ) as caught:
        list(map(translator.push, clip))
    assert "--steps 2" in caught.value.remedy
    assert caught.value.exit_code == 1
    translator.reset()
    again = [out.pixels for frame in clip for out in translator.push(frame)]
    again += [out.pixels for out in translator.flush()]
    assert all((one == other).all() for one, other in zip(wanted, again, strict=True))
    translator.close()


def test_another_error_stays_what_it_is(
    model: Any, settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = Translator(model, settings(lookahead=1))
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(model.unet, "forward", Full(model.unet.forward, 1, broken))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        translator.push(frames(1)[0])
    translator.close()


def test_too_little_while_the_buffers_are_made(
    model: Any, settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after it, as in a batch, is not lost."""
    translator, clip = Translator(model, settings(lookahead=1)), frames(3)
    with monkeypatch.context() as patch:
        patch.setattr("streamv2v_cli.diffusion.translator.Engine", Full(lambda *_: None, 1, CUDA_SAYS))
        with pytest.raises(DeviceError, match="pictures of 64x64"):
            translator.push(clip[0])
    translator.reset()
    assert len([out for frame in clip for out in translator.push(frame)] + translator.flush()) == 3
    translator.close()


@pytest.mark.parametrize("error", [MemoryError("Cannot allocate memory (os error 12)"), CPU_SAYS])
@pytest.mark.parametrize(
    "reader", ["safetensors.torch.load_file", "diffusers.models.modeling_utils.load_state_dict", "torch.load"]
)
def test_a_file_that_does_not_fit_into_memory_is_not_called_damaged(
    error: Exception, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VAE in one file and a pickled one, and the parts of a folder."""
    changes: dict[str, Any] = {}
    if reader == "safetensors.torch.load_file":
        save_file({"encoder.layers.0.weight": torch.zeros(1)}, tmp_path / "vae.safetensors")
        changes = {"weights": {"vae": str(tmp_path / "vae.safetensors")}}
    elif reader == "torch.load":
        torch.save({"encoder.layers.0.weight": torch.zeros(1)}, tmp_path / "vae.pt")
        changes = {"weights": {"vae": str(tmp_path / "vae.pt"), "allow_pickle": True}}

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(reader, refuse)
    with pytest.raises(DeviceError, match="too little memory to load the model 'mini'"):
        load_model(Settings.model_validate({"compute": {"device": "cpu", "dtype": "float32"}, **changes}))


def test_a_metric_that_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MemoryError

    make_tiny_clip(tmp_path)
    monkeypatch.setattr("transformers.CLIPModel.from_pretrained", refuse)
    with pytest.raises(DeviceError, match="too little memory to load the CLIP model"):
        ClipScore(tmp_path)


def test_too_little_for_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any, **__: Any) -> None:
        raise CUDA_SAYS

    monkeypatch.setattr("streamv2v_cli.models.load.build", build)
    with pytest.raises(DeviceError, match="too little memory to load the model 'mini'") as caught:
        load_model(Settings.model_validate({"compute": {"device": "cpu", "dtype": "float32"}}))
    assert "--dtype bfloat16 or a smaller --model" in caught.value.remedy
    assert "--device cpu" in too_little_memory_to_load(Settings(), CUDA, torch.float16).remedy
