"""The program's entry: `streamv2v`, and `python -m streamv2v_cli`, which is the same."""

from __future__ import annotations

import os
import signal

__all__ = ["main"]


def main() -> None:
    """Run a command and exit with its code; where Ctrl-C has nothing to save, it ends the process without a word."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from streamv2v_cli.app import main as run

    run()


if __name__ == "__main__":
    main()
