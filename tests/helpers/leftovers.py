"""Checkpoints as trainers leave them: callbacks of Lightning, numbers of NumPy, configurations beside the weights."""

from __future__ import annotations

import argparse
import pathlib
import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

CALLBACK = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
TABLE = "pytorch_lightning.utilities.parsing.AttributeDict"
CONFIG = "omegaconf.dictconfig.DictConfig"


def _class(full: str, *bases: type, **members: Any) -> Any:
    module, _, name = full.rpartition(".")
    return type(name, bases, {"__module__": module, **members})


def save_with_leftovers(path: Path, tensors: dict[str, torch.Tensor], *, zipped: bool = True) -> Path:
    """Write what Lightning writes, in the new form of `torch.save` or the old one; its classes are not installed."""
    config = _class(
        CONFIG, __reduce_ex__=lambda self, _: (type(self), (), {"_content": defaultdict(dict), "type": dict})
    )
    classes = {CALLBACK: _class(CALLBACK), TABLE: _class(TABLE, dict), CONFIG: config}
    content = {
        "state_dict": tensors,
        "epoch": 3,
        "callbacks": {classes[CALLBACK]: {"best_model_score": np.float64(0.25)}},
        "hyper_parameters": classes[TABLE](
            model=classes[CONFIG](), options=argparse.Namespace(lr=1e-4), root=pathlib.PurePosixPath("/data")
        ),
        "loops": {"seen": np.zeros((2, 3)), "state": np.random.RandomState(0).get_state()},
    }
    with pytest.MonkeyPatch.context() as patch:
        for full, cls in classes.items():
            parts = full.split(".")[:-1]
            for length in range(1, len(parts) + 1):
                name = ".".join(parts[:length])
                if name not in sys.modules:
                    patch.setitem(sys.modules, name, types.ModuleType(name))
            patch.setattr(sys.modules[".".join(parts)], cls.__name__, cls, raising=False)
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
