"""RAFT, which finds motion between two pictures (Teed & Deng, ECCV 2020): torchvision's code and its weights."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from streamv2v_cli.errors import ModelError, ModelNotFoundError, StreamV2VError
from streamv2v_cli.models.hub import TIMEOUT
from streamv2v_cli.models.weights import read_tensors
from streamv2v_cli.reasons import reason_of

__all__ = ["load_raft", "obtain_raft"]

_SUFFIXES = (".pth", ".pt", ".safetensors")


def obtain_raft(weights: str | None, tell: Callable[[str], None]) -> Path:
    """The file with the weights: the one that is given, or torchvision's published one from the cache of torch.hub.

    Args:
        weights: path of a file; None for the published one, which is fetched if it is not there.
        tell: is given a line that says what is fetched, if anything is.

    Raises:
        ModelNotFoundError: it is not there, or cannot be fetched.
        ModelError: it is no file of weights, or came damaged.
        StreamV2VError: torchvision is not installed, or does not load.
    """
    if weights is None:
        url = str(_torchvision().Raft_Large_Weights.DEFAULT.url)
        path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
        if not path.is_file():
            _fetch(url, path, tell)
        return path
    path = Path(weights).expanduser()
    if not path.exists():
        raise ModelNotFoundError(
            f"The RAFT weights {weights!r} do not exist.", "Check the path given with --flow-weights."
        )
    if path.is_dir() or path.suffix.lower() not in _SUFFIXES:
        raise ModelError(
            f"The RAFT weights {weights!r} are {'a folder' if path.is_dir() else 'no weights file'}.",
            "Give a .pth, .pt or .safetensors file with --flow-weights.",
        )
    return path


def load_raft(path: Path) -> torch.nn.Module:
    """RAFT-large with these weights, on the CPU, for inference.

    Args:
        path: a state dict of `torchvision.models.optical_flow.raft_large`; of pickled files only tensors are taken.

    Raises:
        ModelError: the file is damaged or belongs to another model.
        StreamV2VError: torchvision is not installed, or does not load.
    """
    model: torch.nn.Module = _torchvision().raft_large(weights=None, progress=False)
    wanted, given = model.state_dict(), read_tensors(path, allow_pickle=True)
    wrong = [
        name
        for name in sorted(wanted.keys() | given.keys())
        if name not in wanted or name not in given or wanted[name].shape != given[name].shape
    ]
    if wrong:
        raise ModelError(
            f"{str(path)!r} does not hold the weights of torchvision's RAFT-large: {len(wrong)} of its tensors are "
            f"missing, left over or of another shape, such as {wrong[0]}.",
            "Give a state dict of raft_large with --flow-weights.",
        )
    model.load_state_dict(given)
    return model.eval()


def _torchvision() -> Any:
    """The module with `raft_large` and `Raft_Large_Weights`."""
    try:
        with warnings.catch_warnings():
            # Of its other parts, such as the reader of images.
            warnings.simplefilter("ignore")
            from torchvision.models import optical_flow
    # One that was built for another PyTorch fails in any of these ways.
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torchvision":
            raise StreamV2VError(
                "RAFT needs torchvision, which is not installed.",
                "Run: pip install 'streamv2v[raft]', or use --flow dis.",
            ) from error
        raise StreamV2VError(
            f"RAFT needs torchvision, and the one that is installed does not load beside PyTorch "
            f"{torch.__version__}: {reason_of(error)}.",
            "Install the torchvision that was built for it, or use --flow dis.",
        ) from error
    return optical_flow


def _fetch(url: str, path: Path, tell: Callable[[str], None]) -> None:
    """Download a file whose name ends in the first digits of its SHA-256; without them it is not kept."""
    from huggingface_hub import constants

    remedy = f"Download {url} where there is a network and give it with --flow-weights, or use --flow dis."
    if constants.HF_HUB_OFFLINE:
        raise ModelNotFoundError(
            "The weights of RAFT are not on this machine and HF_HUB_OFFLINE forbids fetching them.", remedy
        )
    tell(f"fetching {path.name}, the weights of RAFT, from {urlsplit(url).hostname}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _patience(TIMEOUT):
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=False)
    except RuntimeError as error:
        raise ModelError(
            f"The weights of RAFT came damaged: {reason_of(error)}.", "Try again, or use --flow dis."
        ) from error
    except Exception as error:
        raise ModelNotFoundError(
            f"The weights of RAFT are not on this machine and cannot be fetched: {reason_of(error)}.",
            remedy,
        ) from error


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let connections fail that say nothing for so long; torch.hub has no such option."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
