"""For commands that run the model and encode no video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..configuration import Resolved

__all__ = ["refuse_encoding"]


def refuse_encoding(resolved: Resolved) -> None:
    """Raise a UsageError for options of the encoder that were given on the command line."""
    for key, origin in resolved.origins.items():
        if key.startswith("output.") and origin.startswith("--"):
            option = f"--set {key}" if origin == "--set" else origin
            raise UsageError(
                f"{option} is for encoders, and nothing is encoded here.", f"Leave out {option}."
            )
