"""The guards that `tests/conftest.py` puts around every test do their work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


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


@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_gpu_skips_or_fails(tmp_path, required, outcome):
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "offline").symlink_to(TESTS / "offline")
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    @staticmethod\n    def is_available():\n        return False\n"
    )
    (tmp_path / "test_one.py").write_text(
        "import pytest\n@pytest.mark.needs_cuda\ndef test_one():\n    raise RuntimeError\n"
    )
    options = ["-q", "-p", "no:cacheprovider", "-o", "markers=needs_cuda: GPU", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_one.py"],
        cwd=tmp_path,
        env=os.environ | {"STREAMV2V_REQUIRE_CUDA": required},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert outcome in done.stdout
