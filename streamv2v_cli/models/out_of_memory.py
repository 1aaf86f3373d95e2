"""Running out of memory, said as a sentence that names the settings which need less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streamv2v_cli.accel import choose_accel
from streamv2v_cli.errors import DeviceError

if TYPE_CHECKING:
    import torch

    from streamv2v_cli.settings.schema import Settings

__all__ = [
    "explaining_lack_of_memory",
    "ran_out_of_memory",
    "too_little_memory",
    "too_little_memory_for",
    "too_little_memory_to_load",
]

_PHRASES = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
"""What CUDA, HIP, MPS, the allocator of the processor, cuBLAS and cuDNN say."""
_SMALLER = 0.75
"""Of a side: little more than half the pixels."""
_STEP = 64
_SMALLEST = 64


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether something failed for want of memory.

    Each device of PyTorch says it in a way of its own, and libraries turn it into errors such as that a file cannot
    be loaded: what an error came from counts as well.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _PHRASES):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def explaining_lack_of_memory(explained: Callable[[], DeviceError]) -> Iterator[None]:
    """Raise another error where the block fails for want of memory, whatever a library makes of that."""
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        raise explained() from error


def too_little_memory(
    settings: Settings, device: torch.device, dtype: torch.dtype, size: tuple[int, int], lookahead: int
) -> DeviceError:
    """What to say if there was not enough memory for the pictures.

    Args:
        settings: of the run.
        device, dtype: where and how the model runs.
        size: (width, height) that the model works at.
        lookahead: frames that it works on in one call.
    """
    steps = settings.diffusion.steps
    rows = f"{steps} denoising step{'s' if steps > 1 else ''}"
    return DeviceError(
        f"{_owner(device)} has too little memory for pictures of {size[0]}x{size[1]} in {rows} with a lookahead of "
        f"{lookahead}.",
        _sentence(_for_pictures(settings, device, dtype, size, lookahead)),
    )


def too_little_memory_to_load(settings: Settings, device: torch.device, dtype: torch.dtype) -> DeviceError:
    """What to say if there was not enough memory for the model itself."""
    return DeviceError(
        f"{_owner(device)} has too little memory to load the model '{settings.model}'.",
        _sentence(_for_weights(settings, device, dtype)),
    )


def too_little_memory_for(what: str, device: torch.device | str, verb: str = "load") -> DeviceError:
    """What to say if there was not enough memory to load or run something beside the model, such as a metric."""
    import torch

    device = torch.device(device)
    return DeviceError(
        f"{_owner(device)} has too little memory to {verb} {what}.",
        _sentence(["--device cpu"] if device.type != "cpu" else []),
    )


def _owner(device: torch.device) -> str:
    return "This machine" if device.type == "cpu" else f"The device '{device}'"


def _for_pictures(
    settings: Settings, device: torch.device, dtype: torch.dtype, size: tuple[int, int], lookahead: int
) -> list[str]:
    """What needs less memory, what costs least first."""
    ways = ["--lookahead 1 (the same pictures up to rounding)"] if lookahead > 1 else []
    if choose_accel(settings.compute.accel, device) in ("graphs", "max"):
        ways.append("--accel none")  # graphs have memory of their own
    ways += _half_precision(device, dtype)
    if settings.bank.kind == "queue" and settings.bank.size > 1:
        ways.append("--bank-size 1 or --bank dyme")
    smaller = max(_SMALLEST, int(min(size) * _SMALLER) // _STEP * _STEP)
    if smaller < min(size):
        ways.append(f"--size {smaller}")
    if settings.diffusion.steps > 1:
        ways.append(f"--steps {settings.diffusion.steps // 2}")
    if settings.diffusion.guidance.kind == "full":
        ways.append("--guidance self")
    return ways


def _for_weights(settings: Settings, device: torch.device, dtype: torch.dtype) -> list[str]:
    ways = _half_precision(device, dtype)
    if settings.weights.vae == "own":
        ways.append("--vae auto")
    return [*ways, "--device cpu" if device.type != "cpu" else "a smaller --model"]


def _half_precision(device: torch.device, dtype: torch.dtype) -> list[str]:
    if dtype.itemsize < 4:
        return []
    return ["--dtype bfloat16" if device.type == "cpu" else "--dtype float16"]


def _sentence(ways: list[str]) -> str:
    """Empty if there is none."""
    if not ways:
        return ""
    listed = ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])} or {ways[-1]}"
    return f"Less is needed with {listed}, or when other programs end."
