"""What happens to a test whose program is missing."""

from __future__ import annotations

import pytest
from helpers import tools_needed


def test_a_program_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMV2V_REQUIRE_TOOLS", "1")
    assert tools_needed.needs("sh").endswith("/sh")


@pytest.mark.parametrize("required", ["0", "1"])
def test_a_missing_program_skips_or_fails(required: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMV2V_REQUIRE_TOOLS", required)
    monkeypatch.setattr(tools_needed, "_has_rtsp_server", lambda: False)
    outcome = pytest.fail.Exception if required == "1" else pytest.skip.Exception
    with pytest.raises(outcome, match="no-such-program is not installed"):
        tools_needed.needs("no-such-program")
    with pytest.raises(outcome, match="RTSP server is not installed"):
        tools_needed.needs_rtsp_server()
