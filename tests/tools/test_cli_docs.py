"""docs/cli.md is what the program says of itself, and leaves out no command and no option."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from streamv2v_cli.app import COMMANDS, app
from tools import make_cli_docs, man_page


def leaves(command, name):
    """Every command with its full name."""
    yield name, command
    for sub in getattr(command, "commands", {}).values():
        yield from leaves(sub, f"{name} {sub.name}")


def test_it_is_up_to_date():
    assert make_cli_docs.DOCUMENT.read_text(encoding="utf-8") == make_cli_docs.text(), "run make docs"
    assert make_cli_docs.MAN_PAGE.read_text(encoding="utf-8") == man_page.text(), "run make docs"


def test_the_manual_page_describes_every_option_of_every_command():
    sections = dict(
        re.findall(r"^\.SH ([^\n]+)\n(.*?)(?=^\.SH |\Z)", man_page.text(), re.MULTILINE | re.DOTALL)
    )
    for name, command in leaves(get_command(app), ""):
        if getattr(command, "commands", None):
            continue
        labels = re.findall(r"^\.TP\n(.+)\n(?=[^.])", sections[name.strip().upper()], re.MULTILINE)
        flags = {flag.replace("\\-", "-") for label in labels for flag in re.findall(r"\\fB(.+?)\\fR", label)}
        options = [param for param in command.params if param.param_type_name == "option"]
        assert flags == {flag for param in options for flag in (*param.opts, *param.secondary_opts)}


def test_text_of_the_manual_page_is_no_request_to_roff():
    requests = {line.split()[0] for line in man_page.text().splitlines() if line.startswith((".", "'"))}
    assert requests == {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".I", ".BR"}
    escapes = set(re.findall(r"\\(?:f[BIR]|\(..|.)", man_page.text()))
    assert escapes <= {"\\fB", "\\fI", "\\fR", "\\-", "\\(aq", "\\(ga", "\\&", "\\e"}


def test_it_lists_every_command_and_option():
    sections = {}
    for section in make_cli_docs.DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        sections[section.splitlines()[0]] = section
    assert {f"streamv2v {name}" for name in COMMANDS} < sections.keys()
    for name, command in leaves(get_command(app), "streamv2v"):
        rows = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", sections[name], re.MULTILINE))
        for param in command.params:
            for flag in (*param.opts, *param.secondary_opts) if param.param_type_name == "option" else ():
                (meaning,) = [text for label, text in rows.items() if flag in label.split()]
                assert len(meaning) > 5


def test_a_new_command_makes_it_stale(command, monkeypatch):
    def trial() -> None:
        """Do something new."""

    command(trial)
    assert "## streamv2v trial\n\nDo something new." in make_cli_docs.text()
    monkeypatch.setattr(make_cli_docs.sys, "argv", ["make_cli_docs", "--check"])
    with pytest.raises(SystemExit, match="stale"):
        make_cli_docs.main()
