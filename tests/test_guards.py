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


def run_pytest(folder: Path, test: str, *options: str, **variables: str) -> str:
    """What pytest prints of one test with the conftest of these tests."""
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    for name in ("offline", "helpers"):
        (folder / name).symlink_to(TESTS / name)
    (folder / "test_one.py").write_text(test)
    always = ["-q", "-p", "no:cacheprovider", "-o", "markers=needs_cuda: GPU", "--rootdir", str(folder)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *always, *options, "test_one.py"],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_gpu_skips_or_fails(tmp_path, required, outcome):
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    @staticmethod\n    def is_available():\n        return False\n"
    )
    test = "import pytest\n@pytest.mark.needs_cuda\ndef test_one():\n    raise RuntimeError\n"
    assert outcome in run_pytest(tmp_path, test, STREAMV2V_REQUIRE_CUDA=required)


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
