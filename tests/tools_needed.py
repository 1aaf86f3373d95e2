"""Programs beside Python that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str) -> str:
    """The path of a program; without it the test is skipped, or fails if STREAMV2V_REQUIRE_TOOLS=1."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("STREAMV2V_REQUIRE_TOOLS") == "1":
            pytest.fail(f"STREAMV2V_REQUIRE_TOOLS=1, but {program} is not installed", pytrace=False)
        pytest.skip(f"{program} is not installed")
    return path
