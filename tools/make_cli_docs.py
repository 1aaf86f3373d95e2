"""Write docs/cli.md from the command line itself: `python -m tools.make_cli_docs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from streamv2v_cli.app import EXIT_CODES, app

__all__ = ["DOCUMENT", "main", "text"]

DOCUMENT = Path(__file__).parent.parent / "docs" / "cli.md"
BAR = "\\|"
"""A bar that does not end a cell of a table."""
_HEAD = """# Commands

`make docs` writes this page from the program's own help; `streamv2v COMMAND --help` shows the same. Completion for
the shell in use is installed by `streamv2v --install-completion`.
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
    """Write the page; with --check only say whether it is up to date."""
    if sys.argv[1:] == ["--check"]:
        sys.exit(
            0 if DOCUMENT.read_text(encoding="utf-8") == text() else f"{DOCUMENT} is stale: run make docs"
        )
    DOCUMENT.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
