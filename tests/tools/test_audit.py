"""`make check` looks for known weaknesses, fails for those that nobody accepted, and never for want of a network."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import ROOT

from tools import audit

FINDING = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": "..."}
SOUND: dict[str, Any] = {"name": "numpy", "version": "2.4", "vulns": []}
WEAK: dict[str, Any] = {"name": "pillow", "version": "1.0", "vulns": [FINDING]}
UNKNOWN: dict[str, Any] = {"name": "av", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let pip-audit print something."""

    def says(out: object = "", err: str = "", *, code: int = 0) -> None:
        text = out if isinstance(out, str) else json.dumps(out)
        done = SimpleNamespace(stdout=text, stderr=err, returncode=code)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    return says


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = 0
    try:
        audit.main()
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().out


def test_a_weakness_fails(says: Any, capsys: pytest.CaptureFixture[str]) -> None:
    says({"dependencies": [SOUND, WEAK, UNKNOWN]}, code=1)
    code, out = run(capsys)
    assert code == 1
    assert out.splitlines() == [
        "pillow 1.0: PYSEC-2026-1 CVE-2026-1, fixed in 2.0",
        "pip-audit: 1 known weakness; the database knows 2 pinned versions and does not know 1",
    ]


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-1"])
def test_one_that_is_accepted_is_shown_with_its_reason(
    name: str, says: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ACCEPTED", {name: "that format is never read"})
    says({"dependencies": [SOUND, WEAK]}, code=1)
    code, out = run(capsys)
    assert code == 0
    assert "accepted: that format is never read\npip-audit: 0 known weaknesses;" in out


@pytest.mark.parametrize(
    ("out", "err", "reason"),
    [
        ("", "Traceback\nrequests.exceptions.ConnectionError: no network\n", "ConnectionError: no network"),
        ("", "python: No module named pip_audit\n", "No module named pip_audit"),
        ({"dependencies": [UNKNOWN]}, "", "this database knows none of the packages"),
        ("[]", "", "no report"),
        ("", "", "exit code 1"),
    ],
)
def test_without_a_database_it_is_skipped_and_said(
    out: object, err: str, reason: str, says: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    says(out, err, code=1)
    code, printed = run(capsys)
    assert code == 0
    assert printed.startswith("pip-audit: skipped, nothing was audited: ")
    assert reason in printed


def test_without_a_network_it_really_ends() -> None:
    """The guard around tests lets no process out."""
    command = [sys.executable, "-m", "tools.audit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pip-audit: skipped")
