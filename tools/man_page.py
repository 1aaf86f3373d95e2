"""The manual page streamv2v(1) from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from streamv2v_cli import __version__
from streamv2v_cli.app import EXIT_CODES, app

__all__ = ["text"]

_FILES = """
.SH FILES
.TP
.I NAME.part
What is finished of an output; it takes its name at the end.
.TP
.I streamv2v.yaml
Beside the weights of a model: the settings that it recommends.
.SH ENVIRONMENT
.TP
.B HF_HOME
Folder of the models that \\-\\-model fetches from the Hugging Face Hub.
.TP
.B HF_HUB_OFFLINE
With 1 nothing is fetched.
.SH SEE ALSO
.BR ffmpeg (1),
.BR ffprobe (1)
"""


def text() -> str:
    """The page in roff."""
    root: Any = get_command(app)
    lines = [
        f'.TH STREAMV2V 1 "" "streamv2v {__version__}" "User Commands"',
        ".SH NAME",
        f"streamv2v \\- {_plain(root.help)[0].lower()}{_plain(root.help).rstrip('.')[1:]}",
        ".SH SYNOPSIS",
        ".B streamv2v",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR]",
        *_options(root),
    ]
    for name, command in root.commands.items():
        lines += _command(command, name)
    codes = (code.split(" ", 1) for code in EXIT_CODES.removeprefix("Exit codes: ").rstrip(".").split("; "))
    lines.append(".SH EXIT STATUS")
    for code, meaning in codes:
        lines += [".TP", f".B {code}", _plain(meaning)]
    return "\n".join(lines) + _FILES


def _command(command: Any, name: str) -> Iterator[str]:
    """A section for a command, and one for each of its subcommands."""
    subcommands = getattr(command, "commands", None)
    if subcommands:
        for sub_name, sub in subcommands.items():
            yield from _command(sub, f"{name} {sub_name}")
        return
    yield f".SH {name.upper()}"
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    yield f".B streamv2v {name}"
    labels = (_label(param) if param.required else f"[{_label(param)}]" for param in arguments)
    yield " ".join([*labels, "[\\fIOPTIONS\\fR]"])
    for paragraph in command.help.split("\n\n"):
        yield ".PP"
        yield _plain(paragraph)
    yield from _options(command)


def _options(command: Any) -> Iterator[str]:
    """Arguments and options under the headings of the help."""
    heading = ""
    for param in sorted(command.params, key=_heading):
        if _heading(param) != heading:
            heading = _heading(param)
            yield f".SS {_plain(heading)}"
        yield ".TP"
        yield _label(param)
        yield _plain(param.help or "")


def _heading(param: Any) -> str:
    return getattr(param, "rich_help_panel", None) or ""


def _label(param: Any) -> str:
    """Such as `-o, --output FILE`, with names in bold and values in italics."""
    if param.param_type_name == "argument":
        return f"\\fI{_plain(param.metavar or param.name).strip('[]')}\\fR"
    names = sorted([*param.opts, *param.secondary_opts], key=lambda flag: flag.startswith("--"))
    value = "" if param.is_flag else f" \\fI{_plain(param.metavar or 'VALUE')}\\fR"
    return ", ".join(f"\\fB{_plain(flag)}\\fR" for flag in names) + value


def _plain(words: str) -> str:
    """Text on one line, without the marks of the terminal, in which nothing is a request to roff."""
    line = " ".join(words.replace("\\[", "[").split())
    escaped = line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
