"""`python -m streamv2v_cli` is the same as `streamv2v`."""

from __future__ import annotations

from .app import main

if __name__ == "__main__":
    main()
