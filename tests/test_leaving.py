"""The end of the process while a thread waits for data that never come."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timing

PROGRAM = """
import atexit, sys, threading, types
from streamv2v_cli import app

def trial() -> None:
    \"\"\"Leave a thread that outlives the interpreter's own end.\"\"\"
    threading.Thread(target=threading.Event().wait, name="streamv2v-trial", daemon=True).start()
    print("finished")
    raise SystemExit({code})

atexit.register(print, "the interpreter was taken apart")
module = types.ModuleType("streamv2v_cli.commands.trial")
module.trial = trial
sys.modules[module.__name__] = module
app.COMMANDS["trial"] = "trial:trial"
sys.argv = ["streamv2v", "trial"]
app.main()
"""


def test_a_thread_that_waits_is_left_behind():
    for code in (0, 130):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(code=code)],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, "finished\n", "")
