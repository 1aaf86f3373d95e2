"""What holds for every test: no network, few threads, and GPU tests only where there is a GPU."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["helpers.commands", "helpers.models", "helpers.hub", "helpers.last_run"]

_OFFLINE = Path(__file__).parent / "offline"

# Before anything imports torch or huggingface_hub, which read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_OFFLINE), os.environ.get("PYTHONPATH")]))
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# xdist's workers inherit what this file set in the process that starts them, which does not know of them yet.
if "OMP_NUM_THREADS" not in os.environ or "STREAMV2V_TEST_THREADS" in os.environ:
    _threads = str(max(1, min(8, (os.cpu_count() or 1) // _workers)))
    os.environ.update(OMP_NUM_THREADS=_threads, STREAMV2V_TEST_THREADS=_threads)


def _refuse_network() -> None:
    """Load the guard by its path: the interpreter may have a `sitecustomize` of its own."""
    spec = importlib.util.spec_from_file_location("streamv2v_tests_offline", _OFFLINE / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


_refuse_network()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `needs_cuda` without a GPU, or fail them if STREAMV2V_REQUIRE_CUDA=1."""
    if item.get_closest_marker("needs_cuda") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("STREAMV2V_REQUIRE_CUDA") == "1":
        pytest.fail("STREAMV2V_REQUIRE_CUDA=1, but torch finds no CUDA device", pytrace=False)
    pytest.skip("no CUDA device")


@pytest.fixture(autouse=True, scope="session")
def _as_on_another_processor() -> None:
    """Round otherwise if STREAMV2V_TEST_ROUNDING says so."""
    if "STREAMV2V_TEST_ROUNDING" in os.environ:
        from helpers import rounding

        rounding.disturb()


_controller: pytest.Config | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Remember what writes on the terminal; xdist's workers have none."""
    global _controller
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _controller = config


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell of a failure when it happens: a run that is stopped never gets to its summary."""
    terminal = _controller and _controller.pluginmanager.get_plugin("terminalreporter")
    if report.failed and terminal:
        terminal.ensure_newline()
        terminal.write_line(f"{report.when} of {report.nodeid} failed:\n{report.longreprtext[-4000:]}")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Commands that run within a test set the level of the package's log, which later tests look at."""
    logger = logging.getLogger("streamv2v_cli")
    level, handlers = logger.level, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
