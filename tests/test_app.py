"""The edge of the command line: what it imports, its exit codes and its messages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import streamv2v_cli
from streamv2v_cli import errors
from streamv2v_cli.app import COMMANDS

HEAVY = {"torch", "compel", "diffusers", "transformers", "av", "numpy", "peft", "lycoris", "huggingface_hub"}

ERRORS = [found for name in errors.__all__ if isinstance(found := getattr(errors, name), type)]
PROBE = """
import sys
from streamv2v_cli.app import main
sys.argv = ["streamv2v", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    print("exit", stop.code or 0, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def modules_after(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    _, exit_code, *modules = done.stderr.splitlines()[-1].split()
    assert exit_code == "0", done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["probe", "--help"],
        ["config", "show", "--help"],
        ["config", "list"],
        ["config", "show"],
    ],
    ids=" ".join,
)
def test_what_needs_no_model_imports_no_heavy_library(arguments):
    modules = modules_after(*arguments)
    assert "typer" in modules
    assert not modules & HEAVY


def test_importing_the_package_imports_almost_nothing():
    program = "import sys, streamv2v_cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert not set(done.stdout.split()) & (HEAVY | {"typer", "pydantic", "rich", "yaml"})


def test_every_public_name_is_there():
    assert sorted(streamv2v_cli.__all__) == streamv2v_cli.__all__
    for name in streamv2v_cli.__all__:
        assert getattr(streamv2v_cli, name) is not None
    assert {error.__name__ for error in ERRORS} <= set(streamv2v_cli.__all__)
    assert dir(streamv2v_cli) == streamv2v_cli.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streamv2v_cli.nothing


def test_version(invoke):
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"streamv2v {streamv2v_cli.__version__}\n")


def test_help_lists_every_command_and_exit_code(invoke):
    result = invoke("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert name in result.stdout
    text = " ".join(result.stdout.split())
    for code in (
        "0 done",
        "1 failed",
        "2 wrong usage",
        "3 finished, but",
        "130 interrupted",
        "141 the reader",
    ):
        assert code in text
    assert {error.exit_code for error in ERRORS} == {1, 2}


def test_every_command_and_option_is_documented(invoke):
    from typer.main import get_command

    from streamv2v_cli.app import app

    def check(command):
        assert command.help
        for param in command.params:
            assert getattr(param, "help", None), f"{command.name} {param.name}"
        for sub in getattr(command, "commands", {}).values():
            check(sub)

    check(get_command(app))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nothing"],
        ["nothing"],
        ["config", "nothing"],
        ["config", "show", "--nothing"],
        ["config", "show", "a", "b"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(invoke, arguments):
    assert invoke(*arguments).exit_code == 2


@pytest.mark.parametrize("error", ERRORS)
def test_own_errors_become_message_remedy_and_exit_code(invoke, command, error):
    def trial() -> None:
        raise error("The thing 7 is wrong.", "Use 6.")

    command(trial)
    result = invoke("trial")
    assert result.exit_code == error.exit_code
    assert result.stderr == "error: The thing 7 is wrong.\nUse 6.\n"
    assert result.stdout == ""


def test_an_error_without_remedy_is_one_line(invoke, command):
    def trial() -> None:
        raise errors.SourceError("clip.mp4 is empty.")

    command(trial)
    assert invoke("trial").stderr == "error: clip.mp4 is empty.\n"


def test_other_errors_are_one_line(invoke, command):
    def trial() -> None:
        raise ValueError("first line\nsecond line")

    command(trial)
    result = invoke("trial")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: unexpected ValueError: first line; run again with --debug to see where\n"
    )


@pytest.mark.parametrize("arguments", [["--debug", "trial"], ["trial", "--debug"]], ids=" ".join)
@pytest.mark.parametrize(
    "error", [ValueError("odd"), errors.ModelError("odd")], ids=lambda error: type(error).__name__
)
def test_debug_shows_the_traceback_before_the_message(invoke, command, arguments, error):
    def trial() -> None:
        raise error

    command(trial)
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert "in trial" in result.stderr
    assert "odd" in result.stderr.splitlines()[-1]
    assert "run again with --debug" not in result.stderr


def test_an_interruption_is_130(invoke, command):
    def trial() -> None:
        raise KeyboardInterrupt

    command(trial)
    result = invoke("trial")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_broken_pipe_is_141_and_quiet(invoke, command):
    def trial() -> None:
        raise BrokenPipeError

    command(trial)
    result = invoke("trial")
    assert (result.exit_code, result.output) == (141, "")


def test_a_command_may_choose_its_exit_code(invoke, command):
    import typer

    def trial() -> None:
        raise typer.Exit(3)

    command(trial)
    assert invoke("trial").exit_code == 3


def test_a_command_that_cannot_be_imported_leaves_the_others_alone(invoke, monkeypatch):
    monkeypatch.setitem(COMMANDS, "broken", "not_there:run")
    assert invoke("config", "list").exit_code == 0
    result = invoke("broken")
    assert result.exit_code == 1
    assert "not_there" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    # Rich, which prints tables and the help, would end the process itself, with 1.
    [(["config", "show"], 141), (["config", "list"], 141), (["--help"], 141)],
    ids=["show", "list", "help"],
)
def test_a_reader_that_goes_away_is_no_error_message(arguments, code):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "streamv2v_cli", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == code
    assert done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m streamv2v_cli config list {closed}', sys.executable],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_console_script_is_installed():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="streamv2v")
    assert script.value == "streamv2v_cli.__main__:main"


def test_an_error_in_a_process_of_its_own(console):
    done = console("config", "show", "--steps", "9")
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr == "error: diffusion.steps must be a whole number from 1 to 8, not 9 (set by --steps).\n"
    )
