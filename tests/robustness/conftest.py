from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.ran import Ran
from typer.testing import CliRunner

from streamv2v_cli.app import app

_MANY = 20
"""Runs with a signal that are worth a summary."""


@pytest.fixture
def restyle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run the real command in this process, with the translator that changes nothing."""
    monkeypatch.chdir(tmp_path)

    def restyle(source: str | Path, *arguments: str, output: str = "out.mkv") -> Ran:
        target = tmp_path / output
        part = Path(f"{target}.part")
        for old in (target, part):
            old.unlink(missing_ok=True)
        common = ["--translator", "passthrough", "--no-progress"]
        if output.endswith(".mkv"):
            common += ["--preset", "ultrafast", "--crf", "10"]
        done = CliRunner().invoke(app, ["run", str(source), *common, "-o", output, *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Ran(
            done.exit_code,
            done.stderr,
            target if target.is_file() else None,
            part if part.is_file() else None,
        )

    return restyle


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the signals and the cuts found, for `make faults`."""
    found = [dict(report.user_properties) for report in terminalreporter.stats.get("passed", ())]
    for properties in found:
        if properties.get("cuts", {}).get("cuts", 0) >= _MANY:
            terminalreporter.write_line(f"a camera that is lost: {properties['cuts']}")
    found = [properties for properties in found if "signal" in properties]
    if len(found) < _MANY:
        return
    for signal in sorted({properties["signal"] for properties in found}):
        runs = [properties for properties in found if properties["signal"] == signal]
        frames = sorted(properties["frames"] for properties in runs if properties["frames"])
        codes = Counter(properties["exit code"] for properties in runs)
        terminalreporter.write_line(
            f"{signal}: {len(runs)} runs; exit codes "
            + ", ".join(f"{code} ({count})" for code, count in sorted(codes.items()))
            + f"; {len(runs) - len(frames)} without a file, the others with {frames[0]} to {frames[-1]} frames, "
            f"{statistics.median(frames):g} in the median"
        )
