"""What several tests need: clips, tiny models, servers, references, and looks at results."""

from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).parents[2]
"""The folder of the repository."""
