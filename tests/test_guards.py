"""The guards that `tests/conftest.py` puts around every test do their work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

TESTS = ROOT / "tests"


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.org", 443), ("8.8.8.8", 53)])
def test_the_network_is_refused(address):
    with socket.socket() as connection:
        with pytest.raises(ConnectionRefusedError, match="tests may not reach the network"):
            connection.connect(address)
        with pytest.raises(ConnectionRefusedError, match="tests may not reach the network"):
            connection.connect_ex(address)


def test_names_are_not_looked_up():
    with pytest.raises(ConnectionRefusedError, match="tests may not reach the network"):
        socket.create_connection(("example.org", 80), timeout=1)


def test_loopback_is_allowed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()


def test_processes_started_by_tests_are_guarded_too():
    program = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert "tests may not reach the network" in done.stderr


def run_pytest(folder: Path, test: str, *options: str, cache: bool = False, **variables: str) -> str:
    """What pytest prints of one module with the conftest of these tests, and its exit code at the end."""
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    for name in ("offline", "helpers"):
        if not (folder / name).exists():
            (folder / name).symlink_to(TESTS / name)
    (folder / "test_one.py").write_text(test)
    always = ["-q", "-o", "markers=needs_cuda: GPU\ntiming: clock", "--rootdir", str(folder)]
    always += [] if cache else ["-p", "no:cacheprovider"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *always, *options, "test_one.py"],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_gpu_skips_or_fails(tmp_path, required, outcome):
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    @staticmethod\n    def is_available():\n        return False\n"
    )
    test = "import pytest\n@pytest.mark.needs_cuda\ndef test_one():\n    raise RuntimeError\n"
    assert outcome in run_pytest(tmp_path, test, STREAMV2V_REQUIRE_CUDA=required)


@pytest.mark.timing
def test_a_test_that_hangs_without_hearing_signals_ends(tmp_path):
    """As if a library never came back: the interpreter is held, so that no handler of a signal runs."""
    test = "import ctypes\ndef test_one():\n    ctypes.PyDLL(None).sleep(250)\ndef test_two():\n    pass\n"
    limit = ("-o", "faulthandler_timeout=2", "-o", "faulthandler_exit_on_timeout=true")
    printed = run_pytest(tmp_path, test, "-n", "1", *limit)
    assert "1 failed, 1 passed" in printed
    assert "crashed while running 'test_one.py::test_one'" in printed


def test_a_failure_is_told_at_once(tmp_path):
    test = "def test_one():\n    assert 1 == 2\ndef test_two():\n    pass\n"
    printed = run_pytest(tmp_path, test, "-n", "1")
    assert "assert 1 == 2" in printed[: printed.index("100%")]


TWO = """
import pathlib, pytest
@pytest.mark.timing
def test_clock():
    assert pathlib.Path("quiet").exists()
def test_sum():
    assert pathlib.Path("right").exists()
"""


def again(folder: Path, *options: str) -> str:
    return run_pytest(folder, (folder / "test_one.py").read_text(), "--again", *options, cache=True)


def test_only_tests_of_time_get_a_second_try(tmp_path):
    assert "2 failed" in run_pytest(tmp_path, TWO, "-n", "1", cache=True)
    (tmp_path / "quiet").touch()
    (tmp_path / "right").touch()
    assert "no second try: not marked as timing, or no test at all: test_one.py::test_sum" in again(tmp_path)
    assert again(tmp_path).endswith("exit code 4")

    (tmp_path / "quiet").unlink()
    assert "1 failed, 1 passed" in run_pytest(tmp_path, TWO, "-n", "1", cache=True)
    assert again(tmp_path).endswith("exit code 1")
    (tmp_path / "quiet").touch()
    printed = again(tmp_path)
    assert "1 passed, 1 deselected" in printed
    assert printed.endswith("exit code 0")
    assert again(tmp_path).endswith("exit code 5")  # nothing failed, and nothing is run


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_cannot_be_collected_gets_no_second_try(tmp_path, workers):
    printed = run_pytest(tmp_path, "import no_such_module\n", "-n", workers, cache=True)
    assert not printed.endswith("exit code 0")
    (tmp_path / "test_one.py").write_text(TWO)
    (tmp_path / "quiet").touch()
    assert "no second try" in again(tmp_path)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "raise KeyboardInterrupt"])
def test_a_run_that_did_not_end_gets_no_second_try(tmp_path, end):
    """What failed before is not all that is wrong: the rest was not run."""
    first = "import os, pytest\n@pytest.mark.timing\ndef test_clock():\n    assert 0\n"
    test = f"{first}def test_end():\n    {end}\ndef test_sum():\n    assert 0\n"
    run_pytest(tmp_path, test, cache=True)
    assert "no second try: the last run did not come to its end" in again(tmp_path)


def test_a_worker_that_dies_costs_its_test_the_second_try(tmp_path):
    test = "import os\ndef test_end():\n    os._exit(3)\ndef test_sum():\n    pass\n"
    assert "1 failed, 1 passed" in run_pytest(tmp_path, test, "-n", "1", cache=True)
    assert "not marked as timing" in again(tmp_path)


def test_without_a_last_run_there_is_no_second_try(tmp_path):
    (tmp_path / "test_one.py").write_text(TWO)
    assert again(tmp_path).endswith("exit code 4")


def test_a_run_of_no_tests_fails(tmp_path):
    for workers in ("0", "1"):
        assert run_pytest(tmp_path, TWO, "-m", "needs_cuda", "-n", workers).endswith("exit code 5")


def test_rounding_is_a_function_of_what_is_computed(tmp_path):
    """Another batch size comes out otherwise by some last bits, and the same computation gives the same bits."""
    (tmp_path / "rounding.py").symlink_to(TESTS / "rounding.py")
    test = """
import torch
from torch.nn import functional as F
def test_one():
    for dtype, step in ((torch.float32, 1e-6), (torch.float64, 2e-15)):
        x, w = torch.arange(32, dtype=dtype).view(4, 8), torch.eye(8, dtype=dtype)
        once, again, alone = F.linear(x, w), F.linear(x, w), F.linear(x[:1], w)
        assert torch.equal(once, again)
        assert 0 < (once[:1] - alone).abs().max() < 100 * step
        assert 0 < (once - x).abs().max() < 200 * step
"""
    assert "1 passed" in run_pytest(tmp_path, test, STREAMV2V_TEST_ROUNDING="1e-6")
    assert "1 failed" in run_pytest(tmp_path, test)
