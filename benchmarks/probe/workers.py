"""Measurements that do not depend on each other, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

__all__ = ["each"]


def each(processes: int, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """What a task returns for all its arguments, in their order.

    Args:
        processes: at work at once; with more than one, each has a part of the threads.
        task: a function of a module.
        arguments: of each call.
    """
    if processes == 1:
        yield from (task(*call) for call in arguments)
        return
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, torch.set_num_threads, (threads,)) as pool:
        yield from pool.map(task, *zip(*arguments, strict=True))
