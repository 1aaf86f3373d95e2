"""What trainers leave in checkpoints is passed over; what could run code never runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.leftovers import save_with_leftovers
from numpy.f2py.crackfortran import myeval

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.files.weights import read_tensors

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.ones(2, dtype=torch.float16)}


class Calls:
    """A pickle that calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
def test_leftovers_of_trainers_are_passed_over(tmp_path: Path, zipped: bool) -> None:
    before = set(sys.modules)
    file = save_with_leftovers(tmp_path / "model.ckpt", WEIGHTS, zipped=zipped)
    found = read_tensors(file, allow_pickle=True)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())
    assert not {name for name in set(sys.modules) - before if name.startswith(("pytorch_l", "omegaconf"))}
    assert not [item for item in torch.serialization.get_safe_globals() if isinstance(item, tuple)]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["inside", "beside"])
def test_a_function_of_numpy_that_runs_code_is_not_called(tmp_path: Path, zipped: bool, place: str) -> None:
    """It evaluates its argument; in its place stands a class that does nothing."""
    marker = tmp_path / "was_here"
    payload = Calls(myeval, f"open({str(marker)!r}, 'w').close() or 1")
    content = {
        "state_dict": {**WEIGHTS, **({"x": payload} if place == "inside" else {})},
        "callbacks": [payload],
    }
    file = tmp_path / "model.ckpt"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    assert read_tensors(file, allow_pickle=True).keys() == WEIGHTS.keys()
    assert not marker.exists()
    torch.load(file, weights_only=False)  # as it would go otherwise
    assert marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "name"),
    [(exec, "exec"), (os.system, "system"), (getattr, "getattr"), (__import__, "__import__")],
)
def test_other_functions_make_it_a_file_that_is_refused(
    tmp_path: Path, zipped: bool, function: Any, name: str
) -> None:
    marker = tmp_path / "was_here"
    argument = f"touch {marker}" if function is os.system else f"open({str(marker)!r}, 'w')"
    file = tmp_path / "model.pth"
    torch.save({**WEIGHTS, "x": Calls(function, argument)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ModelError, match=rf"holds more than tensors \(.*{name}\), so reading it could run code"
    ):
        read_tensors(file, allow_pickle=True)
    assert not marker.exists()


def test_a_stand_in_cannot_be_changed(tmp_path: Path) -> None:
    """Pickle code by hand: an attribute for the class that is given in the place of NumPy's."""
    pickled = b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb."
    file = tmp_path / "model.pth"
    torch.save({}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    start = whole.rindex(b"\x80\x02}q\x00.")
    file.write_bytes(whole[:start] + pickled + whole[start + 6 :])
    with pytest.raises(ModelError, match=r"damaged|holds more"):
        read_tensors(file, allow_pickle=True)
