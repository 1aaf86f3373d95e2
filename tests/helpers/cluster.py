"""A cluster of Ray with two nodes on this machine, whose workers can be slowed down, made to fail, and killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers import ROOT

__all__ = ["TwoNodes", "hooked_environment", "processes_of", "two_nodes"]

_HOOK = """
import os, runpy, time
from pathlib import Path
runpy.run_path({offline!r})
from streamv2v_cli.transcode.passthrough import PassthroughTranslator
push = PassthroughTranslator.push
def changed(self, frame):
    folder = Path({folder!r})
    (folder / f"worker{{os.getpid()}}").touch()
    if (folder / "slow").exists():
        time.sleep(0.05)
    if (folder / "fail").exists() and frame.pts == int((folder / "fail").read_text()):
        raise RuntimeError("no luck")
    return push(self, frame)
PassthroughTranslator.push = changed
"""
_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20, "node_ip_address": "127.0.0.2"}


class TwoNodes:
    """The cluster.

    Attributes:
        folder: files named `slow` and `fail` in it change what the workers do; they leave `workerPID` there.
        address: for --cluster.
    """

    def __init__(self, folder: Path, cluster: Any) -> None:
        self.folder, self._cluster = folder, cluster
        self.address: str = cluster.address
        self._second: Any = None
        self.add_node()

    def add_node(self) -> None:
        """Start the second node."""
        self._second = self._cluster.add_node(**_NODE)
        self._cluster.wait_for_nodes()

    def kill_node(self) -> None:
        """End the second node at once."""
        self._cluster.remove_node(self._second, allow_graceful=False)

    @property
    def workers(self) -> list[int]:
        """The processes that have restyled something."""
        return [int(path.name.removeprefix("worker")) for path in self.folder.glob("worker*")]

    def calm(self) -> None:
        """Change nothing from now on."""
        for path in self.folder.iterdir():
            path.unlink()


def hooked_environment(folder: Path) -> dict[str, str]:
    """The environment for commands and nodes whose workers look into `folder`."""
    hooks = folder.parent / f"{folder.name}-hooks"
    hooks.mkdir()
    offline = str(ROOT / "tests" / "offline" / "sitecustomize.py")
    (hooks / "sitecustomize.py").write_text(_HOOK.format(offline=offline, folder=str(folder)))
    paths = [str(hooks), str(ROOT)]
    return {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


@contextmanager
def two_nodes(folder: Path) -> Iterator[TwoNodes]:
    """Start the cluster, and end it."""
    folder.mkdir(exist_ok=True)
    before = dict(os.environ)
    os.environ.update(hooked_environment(folder))
    try:
        from ray import cluster_utils

        make_cluster: Any = cluster_utils.Cluster

        cluster = make_cluster(
            initialize_head=True, head_node_args={**_NODE, "include_dashboard": False}, shutdown_at_exit=True
        )
        try:
            yield TwoNodes(folder, cluster)
        finally:
            cluster.shutdown()
    finally:
        os.environ.clear()
        os.environ.update(before)


def processes_of(session: str) -> list[str]:
    """Command lines of the processes of Ray, and of what guards them, that know the session or have none in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (path / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if session in environment:
            found.append(line)
    return found
