"""Looking over this machine: what works, what does not, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from streamv2v_cli import __version__
from streamv2v_cli.errors import MediaError, StreamV2VError, UsageError
from streamv2v_cli.reports.text import bytes_text

__all__ = ["Finding", "examine"]

ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", "mpeg4")
HARDWARE_ENCODERS = (
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_vaapi", "hevc_vaapi"),
    *("h264_amf", "hevc_amf", "h264_videotoolbox", "hevc_videotoolbox"),
)
PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "compel",
    "safetensors",
    "huggingface_hub",
    "av",
    "numpy",
)
TORCH_BUILDS = "https://download.pytorch.org/whl"
CUDA_BUILD = "cu130"
"""The build that PyPI has for Linux; https://pytorch.org/get-started/locally/ lists those for older drivers."""
LITTLE_ROOM = 8 << 30
"""Bytes; a Stable Diffusion 1.5 model with its text encoder takes about four GiB."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: such as `torch`.
        state: `ok`; `note` for what is missing but not needed; `problem` for what will make runs fail.
        text: what was found.
        remedy: what to do about it; empty if there is nothing to do.
    """

    topic: str
    state: Literal["ok", "note", "problem"]
    text: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after the other; a check that fails by itself is a problem."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("torch", _torch),
        ("device", _devices),
        ("attention", _attention),
        ("serve", _serve),
        ("ffmpeg", _ffmpeg),
        ("encoder", _encoders),
        ("decoder", _decoders),
        ("model", _models),
        ("cache", _cache),
    )
    for topic, check in checks:
        try:
            yield from check()
        except StreamV2VError as error:
            yield Finding(topic, "problem", error.message, error.remedy)
        except Exception as error:
            remedy = "Reinstall streamv2v in a new virtual environment."
            yield Finding(topic, "problem", f"{type(error).__name__}: {error}", remedy)


def _python() -> Iterator[Finding]:
    text = f"streamv2v {__version__}, Python {platform.python_version()} on {platform.platform()}"
    yield Finding("python", "ok", text)


def _packages() -> Iterator[Finding]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("packages", "problem", f"{name} is not installed", f"pip install {name}")
    yield Finding("packages", "ok", ", ".join(found))


def _torch() -> Iterator[Finding]:
    """Which build of PyTorch is installed, and how to get another."""
    import torch

    built_for = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip, "XPU": torch.version.xpu}
    build = next((f"{name} {number}" for name, number in built_for.items() if number), "the CPU")
    text = f"PyTorch {torch.__version__.partition('+')[0]}, built for {build}"
    if sys.platform == "darwin":  # there is one build for Macs
        yield Finding("torch", "ok", text)
        return
    other, name = ("NVIDIA GPUs", CUDA_BUILD) if build == "the CPU" else ("CPUs, which is smaller", "cpu")
    remedy = (
        f"For the build for {other}: pip install --force-reinstall torch --index-url {TORCH_BUILDS}/{name}"
    )
    yield Finding("torch", "ok", text, remedy)


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("device", "ok", f"cpu: {torch.get_num_threads()} threads of {os.cpu_count()} processors")
    if torch.backends.mps.is_available():
        yield Finding("device", "ok", "mps: the GPU of this Mac")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        yield _try_gpu(index)
    if not torch.cuda.is_available() and (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        if torch.version.cuda is None:
            remedy = "Install a build of PyTorch for NVIDIA GPUs, see `torch` above."
        else:
            remedy = f"This PyTorch needs a driver for CUDA {torch.version.cuda}; see what nvidia-smi says."
        text = f"there seems to be an NVIDIA GPU, but PyTorch {torch.__version__} cannot use it"
        yield Finding("device", "problem", text, remedy)


def _try_gpu(index: int) -> Finding:
    import torch

    try:
        facts = torch.cuda.get_device_properties(index)
        side = torch.ones(64, 64, device=f"cuda:{index}", dtype=torch.float16)
        if float((side @ side)[0, 0]) != 64:
            raise RuntimeError("it computes wrong results")
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        remedy = "Install the build of PyTorch for this GPU and driver, or use --device cpu."
        return Finding("device", "problem", f"cuda:{index} cannot be used: {reason}", remedy)
    memory = bytes_text(facts.total_memory)
    return Finding("device", "ok", f"cuda:{index}: {facts.name}, {memory}, sm_{facts.major}{facts.minor}")


def _attention() -> Iterator[Finding]:
    yield Finding("attention", "ok", "sdpa: part of PyTorch")
    try:
        from xformers.ops import memory_efficient_attention  # noqa: F401
    except ImportError as error:
        remedy = "Only where --attention xformers is wanted: pip install 'streamv2v[xformers]'"
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load: {error}"
        yield Finding("attention", "note", f"xformers {reason}", remedy)
    else:
        yield Finding("attention", "ok", f"xformers {version('xformers')}")


def _serve() -> Iterator[Finding]:
    for package in ("aiohttp", "aiortc"):
        try:
            yield Finding("serve", "ok", f"{package} {version(package)}")
        except PackageNotFoundError:
            remedy = "Only where streamv2v serve is wanted: pip install 'streamv2v[serve]'"
            yield Finding("serve", "note", f"{package} is not installed", remedy)


def _ffmpeg() -> Iterator[Finding]:
    import av

    libraries = ", ".join(
        f"{name} {'.'.join(map(str, number))}" for name, number in sorted(av.library_versions.items())
    )
    yield Finding("ffmpeg", "ok", f"FFmpeg {av.ffmpeg_version_info} in PyAV {av.__version__}: {libraries}")


def _encoders() -> Iterator[Finding]:
    for name in ENCODERS:
        refusal = _refusal(name)
        if refusal is None:
            yield Finding("encoder", "ok", f"{name} opens")
        elif name == "libx264":
            remedy = "Install PyAV from PyPI (pip install av), or choose another one with --codec."
            yield Finding("encoder", "problem", f"{name}, the default, does not open: {refusal}", remedy)
        else:
            yield Finding("encoder", "note", f"{name} does not open: {refusal}")
    for name in HARDWARE_ENCODERS:
        refusal = _refusal(name)
        if refusal is None:
            yield Finding("encoder", "ok", f"{name} opens: hardware")
        elif "no video encoder" not in refusal:
            yield Finding("encoder", "note", f"{name} does not open here: {refusal}")


def _decoders() -> Iterator[Finding]:
    from streamv2v_cli.media.source.decoding import devices, refusal

    known = devices()
    if not known:
        yield Finding(
            "decoder", "note", "this FFmpeg has no hardware decoders: --hwaccel auto decodes in software"
        )
    for name in known:
        if reason := refusal(name):
            yield Finding("decoder", "note", f"{name} does not open here: {reason}")
        else:
            yield Finding("decoder", "ok", f"{name} opens: hardware for --hwaccel")


def _refusal(name: str) -> str | None:
    """Why an encoder cannot be used for a small picture, or None if it can."""
    from fractions import Fraction

    from streamv2v_cli.media.picture.colour import Colour
    from streamv2v_cli.media.sink.containers import CONTAINERS
    from streamv2v_cli.media.sink.encoder import Picture
    from streamv2v_cli.media.sink.plan_encoder import plan_encoder
    from streamv2v_cli.settings.schema import Output

    picture = Picture(256, 256, Fraction(1, 25), Fraction(25), Fraction(1), Colour(1, 1, 1, 1))
    output = Output(codec=name, crf=None, preset=None)
    try:
        plan_encoder(output, CONTAINERS[".mkv"], picture, {"output.codec"})
    except (MediaError, UsageError) as error:
        return error.message.rpartition("does not open: ")[2].rstrip(".")
    return None


def _models() -> Iterator[Finding]:
    from streamv2v_cli.models.locate import describe_model
    from streamv2v_cli.settings.schema import Settings

    plan = describe_model(Settings())
    missing = next((part for part in plan.parts if part.path is None), None)
    if missing is None:
        yield Finding("model", "ok", f"{plan.name}, the default, is on this machine")
    else:
        text = f"{plan.name}, the default: {missing.role} {missing.source}: {missing.remark}"
        yield Finding("model", "problem", text, "Reinstall streamv2v, or name another with --model.")


def _cache() -> Iterator[Finding]:
    from huggingface_hub import constants

    from streamv2v_cli.models.hub.fetch import free_in_cache

    folder = Path(constants.HF_HUB_CACHE)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    models = sorted(
        path.name.removeprefix("models--").replace("--", "/") for path in folder.glob("models--*")
    )
    free = free_in_cache()
    text = f"{folder}: {', '.join(models) or 'no models'}; {bytes_text(free)} free"
    if not os.access(there, os.W_OK):
        yield Finding("cache", "note", f"{text}; it cannot be written to", "Set HF_HOME to another folder.")
    elif free < LITTLE_ROOM:
        yield Finding("cache", "note", text, "Free some space before fetching a model, or set HF_HOME.")
    else:
        yield Finding("cache", "ok", text)
    if constants.HF_HUB_OFFLINE:
        yield Finding("cache", "note", "HF_HUB_OFFLINE is set: no model is fetched", "Unset it to fetch.")
