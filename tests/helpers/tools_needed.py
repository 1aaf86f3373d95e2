"""Programs that are not part of the development environment: without them a test skips.

Where they must be there it fails: `.ci/run` installs them and sets STREAMV2V_REQUIRE_TOOLS=1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from typing import NoReturn

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's packages of GStreamer are for this one."""


def needs(program: str) -> str:
    """The path of a program."""
    return shutil.which(program) or _missing(f"{program} is not installed")


def needs_rtsp_server() -> str:
    """The Python that can run an RTSP server of GStreamer."""
    return SYSTEM_PYTHON if _has_rtsp_server() else _missing("GStreamer's RTSP server is not installed")


@cache
def _has_rtsp_server() -> bool:
    program = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
        "Gst.init(None); assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')"
    )
    try:
        return not subprocess.run([SYSTEM_PYTHON, "-c", program], capture_output=True, check=False).returncode
    except OSError:
        return False


def _missing(what: str) -> NoReturn:
    if os.environ.get("STREAMV2V_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{what}, and STREAMV2V_REQUIRE_TOOLS=1", pytrace=False)
    pytest.skip(what)
