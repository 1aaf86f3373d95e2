"""Ends the processes of a local Ray that outlive the program which started it, as Ray's own agents do for a minute.

It is a process of its own: `python -m streamv2v_cli.fleet.guard`. On its standard input come lines of JSON: a process
number with the time when that process began, or the folder of Ray's logs. At the end of the input, which comes
however the program ends, what is left of them is removed.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress

import psutil

__all__ = ["main"]


def main() -> None:
    """Wait for the end of the standard input."""
    processes: list[tuple[int, float]] = []
    folders: list[str] = []
    for line in sys.stdin:
        content = json.loads(line)
        if isinstance(content, str):
            folders.append(content)
        else:
            processes.append((content[0], content[1]))
    for number, began in processes:
        with suppress(psutil.Error):
            process = psutil.Process(number)
            if process.create_time() == began:
                process.kill()
                process.wait(5)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
