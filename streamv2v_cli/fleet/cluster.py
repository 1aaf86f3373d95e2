"""Ray: a cluster on this machine that lasts as long as it is needed, or one that is there, and shares of it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from streamv2v_cli.errors import StreamV2VError, UsageError, reason_of
from streamv2v_cli.text.masking import masked

__all__ = ["LOCAL", "Share", "connected", "import_ray", "share_of"]

LOCAL = "local"
"""What stands for a cluster on this machine that begins and ends with the program."""
_STORE_BYTES = 128 << 20
"""Of the local object store: nothing but small messages and pieces of files go through it."""
_OWN_ADDRESS = "127.0.0.2"
"""Of a local cluster, which no other machine reaches. Ray takes another address in the place of 127.0.0.1."""
_CORES_A_WORKER = 4
"""Where there is no GPU and `auto` workers are asked for: more threads make one worker hardly faster."""


_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to its makers unless the user has asked for it
    "RAY_raylet_start_wait_time_s": "120",  # on a machine that is busy
}


@dataclass(frozen=True)
class Share:
    """What each worker gets of a cluster.

    Attributes:
        workers: how many there are.
        cpus, gpus: of each, which may be parts of one.
    """

    workers: int
    cpus: float
    gpus: float


def import_ray() -> Any:
    """Ray.

    Raises:
        UsageError: it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "Several workers, and --cluster, need Ray, which is not installed.",
            "Install it with: pip install 'streamv2v[fleet]'",
        ) from error
    return ray


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster; one on this machine ends with the block, with all of its processes.

    Args:
        address: `local`, or HOST:PORT or ray://HOST:PORT of a cluster.

    Raises:
        UsageError: Ray is not installed.
        StreamV2VError: the cluster cannot be reached or started.
    """
    ray = import_ray()
    logging.getLogger("ray").setLevel(logging.ERROR)
    own = address == LOCAL
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if own:
        options |= {
            "num_cpus": cores(),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            **({"_node_ip_address": _OWN_ADDRESS} if sys.platform == "linux" else {}),
        }
    guard = _start_guard() if own else None
    try:
        try:
            # RAY_ADDRESS means other programs.
            ray.init(address=LOCAL if own else address, **options)
        except Exception as error:  # Ray raises no class of its own
            raise StreamV2VError(
                f"The cluster {masked(address)} cannot be {'started' if own else 'reached'}: {reason_of(error)}.",
                "" if own else "Is it running? `ray start --head` starts one; `ray status` shows it.",
            ) from error
        # It would print on the standard output that a worker died, which is told on stderr.
        ray._private.worker._worker_logs_enabled = False
        if guard is not None:
            _entrust(guard, ray)
        yield ray
    finally:
        ray.shutdown()
        if guard is not None:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()


def share_of(ray: Any, workers: int | None, device: str) -> Share:
    """How a cluster is divided.

    Args:
        ray: connected.
        workers: how many are wanted; None for one a GPU or, where there is none, one for some cores.
        device: `compute.device` of the settings.

    Raises:
        UsageError: that is one GPU of several.
    """
    if device.startswith("cuda:"):
        raise UsageError(
            f"--device {device} names one GPU, and Ray gives each worker its own.",
            "Use --device cuda; CUDA_VISIBLE_DEVICES says which ones may be used.",
        )
    resources = ray.cluster_resources()
    cpus = resources.get("CPU", 1.0)
    gpus = resources.get("GPU", 0.0) if device == "auto" or device.startswith("cuda") else 0.0
    if workers is None:
        workers = max(1, int(gpus or cpus / _CORES_A_WORKER))
    each = cpus / workers
    return Share(workers, int(each) if each >= 1 else _part(each), _part(gpus / workers) if gpus else 0)


def _part(value: float) -> float:
    """A share that Ray can count: whole, or in ten-thousandths."""
    return int(value) if value >= 1 else int(value * 10_000) / 10_000


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_guard() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamv2v_cli.fleet.guard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def _entrust(guard: subprocess.Popen[str], ray: Any) -> None:
    """Tell the guard what belongs to the cluster of this process."""
    import psutil

    assert guard.stdin is not None
    for process in psutil.Process().children(recursive=True):
        if process.pid != guard.pid:
            guard.stdin.write(json.dumps([process.pid, process.create_time()]) + "\n")
    guard.stdin.write(json.dumps(ray._private.worker.global_worker.node.get_session_dir_path()) + "\n")
    guard.stdin.flush()
