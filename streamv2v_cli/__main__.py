"""The program's entry: `streamv2v`, and `python -m streamv2v_cli`, which is the same."""

from __future__ import annotations

import os

__all__ = ["main"]


def main() -> None:
    """Run a command and exit with its code; an interruption before it can be understood ends without a word."""
    try:
        from streamv2v_cli.app import main as run
    except KeyboardInterrupt:
        os._exit(130)
    run()


if __name__ == "__main__":
    main()
