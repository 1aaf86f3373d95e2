"""Optical flow by RAFT, the network that the paper measures with."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from torch.nn.functional import pad

from streamv2v_cli.errors import ModelError, ModelNotFoundError, StreamV2VError, reason_of
from streamv2v_cli.models.files.soundness import check_finite
from streamv2v_cli.models.files.weights import read_tensors
from streamv2v_cli.models.hub.fetch import TIMEOUT
from streamv2v_cli.models.hub.sources import not_kept
from streamv2v_cli.models.out_of_memory import explaining_lack_of_memory, too_little_memory_for

__all__ = ["RaftFlow", "load_raft", "obtain_raft"]

_log = logging.getLogger(__name__)

_SIDE, _LEAST_SIDE = 8, 128
"""Sides must be multiples of the first and at least the second: RAFT compares features at 1/8 to 1/64 of the size."""


class RaftFlow:
    """RAFT-large (Teed & Deng 2020) as torchvision has it; a `FlowEstimator` that takes RGB pictures.

    Attributes:
        weights: path of the weights as it was given, or the name of torchvision's published ones.

    Args:
        weights: path of a state dict of `torchvision.models.optical_flow.raft_large`; None for the published ones.
        device: where it runs.
        tell: is given a line if weights must be fetched.

    Raises:
        StreamV2VError: torchvision or the weights cannot be had or used, or there is too little memory.
    """

    name = "raft"
    in_colour = True

    def __init__(
        self,
        weights: str | None = None,
        device: torch.device | str = "cpu",
        tell: Callable[[str], None] = _log.info,
    ) -> None:
        path = obtain_raft(weights, tell)
        self.weights = weights or path.name
        self._device = device
        with explaining_lack_of_memory(lambda: too_little_memory_for("RAFT", device)):
            self._model = load_raft(path).to(device)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `FlowEstimator`; the pictures are (height, width, 3) uint8, RGB.

        Raises:
            DeviceError: there is too little memory.
        """
        with explaining_lack_of_memory(lambda: too_little_memory_for("RAFT", self._device, "run")):
            return self._flow(a, b)

    def _flow(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        height, width = a.shape[:2]
        left, right = _margins(width)
        top, bottom = _margins(height)
        with torch.inference_mode():
            pair = torch.from_numpy(np.stack([a, b])).to(self._device).permute(0, 3, 1, 2)
            pair = pad(pair.float() / 127.5 - 1, (left, right, top, bottom), mode="replicate")
            # Each of the predictions refines the one before it.
            flow = self._model(pair[:1], pair[1:])[-1][0]
            inside = flow[:, top : top + height, left : left + width].permute(1, 2, 0)
            found: np.ndarray = inside.contiguous().cpu().numpy()
        return found


def _margins(side: int) -> tuple[int, int]:
    """What is added before and after a side of so many pixels, as RAFT's authors pad: half on either hand."""
    added = max(_LEAST_SIDE, -(-side // _SIDE) * _SIDE) - side
    return added // 2, added - added // 2


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
            f"The RAFT weights {weights!r} are {'a folder' if path.is_dir() else 'not a weights file'}.",
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
    check_finite(given.items(), repr(str(path)))
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
    except Exception as error:
        if full := not_kept(error, "The weights of RAFT", path.parent, "TORCH_HOME"):
            raise full from error
        if not isinstance(error, RuntimeError):
            raise ModelNotFoundError(
                f"The weights of RAFT are not on this machine and cannot be fetched: {reason_of(error)}.",
                remedy,
            ) from error
        raise ModelError(
            f"The downloaded weights of RAFT are damaged: {reason_of(error)}.",
            "Try again, or use --flow dis.",
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
