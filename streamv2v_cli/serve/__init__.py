"""A page in the browser that restyles camera, screen, files and drawings, and an interface for programs."""

from __future__ import annotations

import importlib.util

from streamv2v_cli.errors import StreamV2VError

__all__ = ["check_extra"]


def check_extra(option: str) -> None:
    """Raise a StreamV2VError if the packages of the extra `serve` are not installed.

    Args:
        option: the command or option that needs them.
    """
    for package in ("aiohttp", "aiortc"):
        if importlib.util.find_spec(package) is None:
            raise StreamV2VError(
                f"{option} needs {package}, which is not installed.", "Run: pip install 'streamv2v[serve]'"
            )
