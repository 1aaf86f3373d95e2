"""What a CUDA graph does, on the CPU: the operations of a tick on the tensors that they met when it was captured.

And compiled ticks without a compiler, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

Call = tuple[Any, tuple[Any, ...], dict[str, Any], list[torch.Tensor]]


class _Capture(TorchDispatchMode):
    """Writes down all operations, and undoes what they did to tensors that were there before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self._own: set[int] = set()
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info and argument.alias_info.is_write and isinstance(value, torch.Tensor):
                self._keep(value.untyped_storage())
        out = func(*args, **kwargs)
        given = {
            x.untyped_storage().data_ptr()
            for x in tree_flatten((args, kwargs))[0]
            if isinstance(x, torch.Tensor)
        }
        made = [x for x in tree_flatten(out)[0] if isinstance(x, torch.Tensor)]
        made = [x for x in made if x.untyped_storage().data_ptr() not in given]
        self._own |= {x.untyped_storage().data_ptr() for x in made}
        self.calls.append((func, args, kwargs, made))
        return out

    def _keep(self, storage: torch.UntypedStorage) -> None:
        if storage.data_ptr() not in self._own:
            self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))

    def undo(self) -> None:
        for storage, before in self._before.values():
            storage.copy_(before)


class FakeRecording:
    def __init__(self, calls: list[Call], output: torch.Tensor) -> None:
        self.calls = calls
        self.output = output

    @torch.no_grad()
    def replay(self) -> torch.Tensor:
        for func, args, kwargs, made in self.calls:
            out = func(*args, **kwargs)
            found = [x for x in tree_flatten(out)[0] if isinstance(x, torch.Tensor)]
            for old, new in zip(made, found, strict=bool(made)):
                old.copy_(new)
        return self.output


class FakeRecorder:
    """Captures and replays like `CudaRecorder`.

    Attributes:
        recordings: all of them.
    """

    def __init__(self) -> None:
        self.recordings: list[FakeRecording] = []

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        return work()

    def record(self, work: Callable[[], torch.Tensor]) -> FakeRecording:
        capture = _Capture()
        with torch.no_grad(), capture:
            output = work()
        capture.undo()
        self.recordings.append(FakeRecording(capture.calls, output))
        return self.recordings[-1]


def compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--accel compile` run the ticks that it would compile as they are written, and count them as compiled."""
    from streamv2v_cli.accel import CompiledRunner
    from streamv2v_cli.diffusion import engine, translator

    def make(name: str, work: Callable[[], torch.Tensor], device: torch.device, *, optional: bool) -> Any:
        assert (name, optional) == ("compile", False)
        runner = CompiledRunner(work)
        runner.compiled = work
        return runner

    monkeypatch.setattr(engine, "make_runner", make)
    monkeypatch.setattr(translator, "choose_accel", lambda name, device: name)
