"""Pickled checkpoints read as plain data: what trainers have left beside the weights is passed over and never run.

PyTorch's `weights_only` refuses whatever is no tensor or plain value. Official checkpoints hold such things:
callbacks of Lightning, numbers of NumPy, configurations of OmegaConf. Each of those names is given an empty class
instead of the real one, which is not even imported. A file with any other name in it is refused.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.files.layout import damaged

__all__ = ["read_pickle"]

_LEFTOVERS = (
    *("pytorch_lightning.", "lightning.", "lightning_fabric.", "lightning_utilities."),
    *("numpy.", "omegaconf.", "argparse.", "pathlib.", "typing.", "datetime."),
)
"""Modules of trainers and of what they note down."""
_PLAIN = ("bool", "dict", "float", "frozenset", "int", "list", "object", "str", "tuple", "type")
"""Types that configurations name without meaning a value."""
_TABLES = ("collections.defaultdict", ".AttributeDict")
"""Ends of the names of tables that are more than a `dict`."""
_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""What Python 2 called them, as pickles still do."""
_PICKLES_OF_THE_OLD_FORM = 5
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")


class _PassedOver:
    """In the place of a class or function of a trainer: takes anything, keeps nothing, does nothing."""

    def __new__(cls, *_: object) -> _PassedOver:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _Table:
    """In the place of a subclass of `dict`: a table that the unpickler fills."""

    def __new__(cls, *_: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def read_pickle(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU, with nothing but tensors and plain values in it.

    Raises:
        ModelError: it is damaged, or names anything that neither makes tensors nor is known to be left by trainers.
    """
    import torch

    known: list[Any] = [(stand_in, name) for name in set(_globals_in(path)) if (stand_in := _stand_in(name))]
    try:
        with torch.serialization.safe_globals(known):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "Unsupported" in str(error):
            refused = _REFUSED.search(str(error))
            what = f"more than tensors ({refused[1]})" if refused else "more than tensors"
            raise ModelError(
                f"{str(path)!r} holds {what}, so reading it could run code; it was not loaded.",
                "Convert it to .safetensors where you trust it, or get the .safetensors version.",
            ) from error
        raise damaged(path, error) from error
    except Exception as error:  # whatever the unpickler makes of damaged bytes
        from streamv2v_cli.models.out_of_memory import ran_out_of_memory

        if ran_out_of_memory(error):
            raise
        raise damaged(path, error) from error


def _stand_in(name: str) -> type | None:
    """What is made in the place of a global; None for one that PyTorch knows or that is refused."""
    if name.endswith(_TABLES):
        return _Table
    module, _, plain = name.rpartition(".")
    if name.startswith(_LEFTOVERS) or (module == "builtins" and plain in _PLAIN):
        return _PassedOver
    return _PassedOver if name == "copyreg._reconstructor" else None


def _globals_in(path: Path) -> Iterator[str]:
    """The names that a checkpoint would import, found without reading it; those before a damaged place."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                for _ in range(_PICKLES_OF_THE_OLD_FORM):
                    yield from _globals_of(file)
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl"):
                    with archive.open(name) as file:
                        yield from _globals_of(file)
    except Exception:  # whatever damaged bytes lead to: loading it says what is wrong
        return


def _globals_of(file: IO[bytes]) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield f"{_MODULES.get(module, module)}.{name}"
