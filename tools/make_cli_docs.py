"""Write docs/cli.md and docs/streamv2v.1 from the command line itself: `python -m tools.make_cli_docs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from streamv2v_cli.app import EXIT_CODES, app
from tools import man_page

__all__ = ["DOCUMENT", "MAN_PAGE", "main", "text"]

DOCUMENT = Path(__file__).parent.parent / "docs" / "cli.md"
MAN_PAGE = DOCUMENT.with_name("streamv2v.1")
BAR = "\\|"
"""A bar that does not end a cell of a table."""
_HEAD = """# Commands

`make docs` writes this page from the program's own help. `streamv2v COMMAND --help` shows the same; `-h` of `run`,
`batch` and `serve` shows the most used options only. `man streamv2v` has all of it, where `man` looks into the
environment ([install.md](install.md)). `streamv2v --install-completion` installs completion for the shell in use.
"""


def text() -> str:
    """The whole page."""
    root = get_command(app)
    parts = [_HEAD, *_sections(root, "streamv2v")]
    exit_codes = EXIT_CODES.removeprefix("Exit codes: ").rstrip(".").split("; ")
    parts.append("## Exit codes\n\n" + "\n".join(f"* {meaning}" for meaning in exit_codes) + "\n")
    return "\n".join(parts)


def _sections(command: Any, name: str) -> Iterator[str]:
    yield _section(command, name)
    for sub in (getattr(command, "commands", None) or {}).values():
        yield from _sections(sub, f"{name} {sub.name}")


def _section(command: Any, name: str) -> str:
    """Usage, help, and a table of the parameters under each heading of the help."""
    lines = [f"## {name}", "", *_plain(command.help or "").splitlines(), ""]
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = " ".join(_argument(param) for param in arguments)
    if getattr(command, "commands", None):
        usage = "COMMAND ..."
    lines += ["```text", f"{name} [OPTIONS] {usage}".rstrip(), "```", ""]
    panels: dict[str, list[str]] = {}
    for param in command.params:
        label = _argument(param) if param in arguments else _option(param)
        title = getattr(param, "rich_help_panel", None) or ("Arguments" if param in arguments else "Options")
        panels.setdefault(title, []).append(f"| `{label.replace('|', BAR)}` | {_plain(param.help or '')} |")
    for title, rows in panels.items():
        lines += [f"**{title}**", "", "| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _argument(param: Any) -> str:
    name = (param.metavar or param.name.upper()).strip("[]")
    return name if param.required else f"[{name}]"


def _option(param: Any) -> str:
    """Such as `--output -o FILE` or `--overwrite -y / --no-clobber -n`."""
    label = " ".join(param.opts)
    if param.secondary_opts:
        label += f" / {' '.join(param.secondary_opts)}"
    value = param.metavar or ("" if param.is_flag else "VALUE")
    return f"{label} {value}".strip()


def _plain(help_text: str) -> str:
    """Help without the marks of the terminal, in which a bar would end a table's cell."""
    return help_text.replace("\\[", "[").replace("|", BAR).replace("*", "\\*").strip()


def main() -> None:
    """Write both pages; with --check only say whether they are up to date."""
    pages = {DOCUMENT: text(), MAN_PAGE: man_page.text()}
    for path, content in pages.items():
        if sys.argv[1:] != ["--check"]:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            sys.exit(f"{path} is stale: run make docs")


if __name__ == "__main__":
    main()
