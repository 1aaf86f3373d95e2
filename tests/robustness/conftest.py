from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ran import Ran
from typer.testing import CliRunner

from streamv2v_cli.app import app


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
