"""External programs that some tests need: where one is missing they skip by name, or fail where that is asked for."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["needs"]


def needs(program: str) -> str:
    """The path of a program.

    Without it the test is skipped, or fails if STREAMV2V_REQUIRE_TOOLS=1.
    """
    path = shutil.which(program)
    if path is None:
        if os.environ.get("STREAMV2V_REQUIRE_TOOLS") == "1":
            pytest.fail(f"STREAMV2V_REQUIRE_TOOLS=1, but {program} is not installed", pytrace=False)
        pytest.skip(f"{program} is not installed")
    return path
