"""The command line: `streamv2v COMMAND ...`.

A command's module is imported only when it is called or listed, and imports torch, diffusers or PyAV only
inside its function, so that `streamv2v --help` answers at once. This is also the one place where exceptions
become a message on stderr and an exit code.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import traceback
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_command, get_group

from streamv2v_cli import __version__
from streamv2v_cli.errors import StreamV2VError, first_line
from streamv2v_cli.logs import say, shown
from streamv2v_cli.text.terminal import lead_nowhere
from streamv2v_cli.transcode.interruption import noticing_interrupt

__all__ = ["app", "main"]

COMMANDS = {
    "run": "run:run",
    "batch": "batch:batch",
    "serve": "serve:serve",
    "styles": "styles:styles",
    "models": "models:app",
    "eval": "evaluate:evaluate",
    "compare": "compare:compare",
    "ablate": "ablate:ablate",
    "explain": "explain:explain",
    "study": "study:app",
    "probe": "probe:probe",
    "bench": "bench:bench",
    "config": "config:app",
    "doctor": "doctor:doctor",
}
"""Name of each command -> where in `commands/` it is: a function, or a Typer app with subcommands."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage or settings; 3 finished, but the input was damaged or "
    "lost, or some of a batch failed; 130 interrupted, 143 terminated, with what was finished saved; 141 the "
    "reader of the output closed it."
)

_DEBUG = "streamv2v.debug"


def _load(name: str, debug_option: TyperOption) -> Any:
    """Import the command `name` and build it, with --debug among the options of each of its leaves."""
    module, _, attribute = COMMANDS[name].partition(":")
    target = getattr(import_module(f"streamv2v_cli.commands.{module}"), attribute)
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(target)
        command = get_command(single)
        command.params.append(debug_option)
        return command
    group = get_group(target)
    group.name = name
    for leaf in group.commands.values():
        leaf.params.append(debug_option)
    return group


class _LazyCommands(MutableMapping[str, Any]):
    """The table `COMMANDS` as the mapping of built commands that a group holds."""

    def __init__(self, debug_option: TyperOption) -> None:
        self._debug_option = debug_option
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            if name not in COMMANDS:
                raise KeyError(name)
            self._loaded[name] = _load(name, self._debug_option)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*COMMANDS, *self._loaded)))

    def __len__(self) -> int:
        return len(COMMANDS.keys() | self._loaded.keys())


class _Root(TyperGroup):
    """The top command: loads the others when needed and turns their exceptions into exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        debug_option = next(param for param in self.params if param.name == "debug")
        self.commands = _LazyCommands(debug_option)  # type: ignore[arg-type]

    def invoke(self, ctx: Any) -> Any:
        try:
            with noticing_interrupt():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except typer.TyperException as error:
            # It repeats arguments, such as the URL of a camera.
            error.message = shown(error.message, lines=True)
            raise
        except BaseException as error:
            exit_code = _report(error, debug=bool(ctx.meta.get(_DEBUG)))
            if exit_code is None:
                raise
            raise typer.Exit(exit_code) from error


def _report(error: BaseException, *, debug: bool) -> int | None:
    """Say on stderr what `error` means to the user; the exit code, or None for what is not ours to handle."""
    match error:
        case StreamV2VError():
            first, *others = error.lines
            lines, exit_code = [f"error: {first}", *others], error.exit_code
        case KeyboardInterrupt():
            lines, exit_code = ["interrupted"], 130
        case BrokenPipeError():
            # What is still buffered must not fail a second time when the interpreter closes stdout.
            lead_nowhere(sys.stdout)
            lines, exit_code = [], 141
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            lead_nowhere(sys.stdout)
            lines = [f"error: Writing failed: {os.strerror(error.errno)}.", "Free some space and run again."]
            exit_code = 1
        case Exception():
            hint = "" if debug else "; run again with --debug to see where"
            lines = [f"error: unexpected {first_line(error)}{hint}"]
            exit_code = 1
        case _:
            return None
    if debug and lines:
        say("".join(traceback.format_exception(error)).rstrip("\n"), lines=True)
    for line in filter(None, lines):
        say(line)
    return exit_code


def _remember_debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.meta[_DEBUG] = True
    return value


def _print_version(value: bool) -> None:
    if value:
        print(f"streamv2v {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Root,
    name="streamv2v",
    no_args_is_help=True,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show the traceback of an error.",
            callback=_remember_debug,
            is_eager=True,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """Restyle videos and live streams by a text prompt, one consistent frame after another."""


def _replace_closed_streams() -> None:
    """Let stdout and stderr that the caller has closed lead nowhere.

    Python has None in their place, and the next file that is opened, such as the output, would get their number.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end


def _take_any_text() -> None:
    """Let stdout, in whatever encoding, write out what it cannot hold, as stderr does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main() -> None:
    """Console script `streamv2v`: run a command and exit with its code."""
    _replace_closed_streams()
    _take_any_text()
    try:
        try:
            app(prog_name="streamv2v")
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # the end that Rich and Click make of it
                raise end.__context__ from None
            _leave_threads_behind(end.code)
            raise
        finally:
            sys.stdout.flush()
            _flush_stderr()
    except Exception as error:
        # What `_Root.invoke` does not see: the help itself, and output that could only now be written.
        if isinstance(error, OSError) and isinstance(error.__context__, typer.TyperException):
            sys.exit(error.__context__.exit_code)  # what it would say cannot be said
        sys.exit(_report(error, debug="--debug" in sys.argv))


def _flush_stderr() -> None:
    """What cannot be said there does not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        lead_nowhere(sys.stderr)


def _leave_threads_behind(code: object) -> None:
    """End the process at once if a thread still waits inside FFmpeg, for a silent server or pipe.

    The interpreter's ordinary end would free what that thread works with, and crash.
    """
    if any(thread.name.startswith("streamv2v-") for thread in threading.enumerate()):
        sys.stdout.flush()
        _flush_stderr()
        os._exit(code if isinstance(code, int) else int(code is not None))
