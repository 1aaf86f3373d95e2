"""`-h` of a command with many options fits on one screen of 80 columns and 24 lines, and is right."""

from __future__ import annotations

import shlex

import pytest
from typer.main import get_command

from streamv2v_cli.app import app

COMMANDS = ("run", "batch", "serve")


@pytest.fixture(params=COMMANDS)
def shown(request: pytest.FixtureRequest, invoke) -> tuple[str, list[str]]:
    """The name of a command, and the lines of its short help."""
    result = invoke(request.param, "-h")
    assert (result.exit_code, result.stderr) == (0, "")
    return request.param, result.stdout.splitlines()


def test_it_fits_on_a_screen_and_ends_with_three_examples(shown) -> None:
    name, lines = shown
    assert len(lines) < 24  # one is left for the prompt of the shell
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"Usage: streamv2v {name} ")
    assert lines[-4] == f"All options: streamv2v {name} --help. Examples:"
    assert all("streamv2v " in line for line in lines[-3:])


def test_its_examples_are_understood(shown) -> None:
    name, lines = shown
    command = get_command(app).commands[name]
    for line in lines[-3:]:
        (own,) = (part for part in line.split("|") if part.split()[0] == "streamv2v")
        _, called, *arguments = shlex.split(own)
        assert called == name
        with command.make_context(name, arguments) as context:
            assert context.params


def test_values_and_defaults_come_from_the_settings(invoke) -> None:
    lines = invoke("run", "-h").stdout.splitlines()
    assert any(
        line.split() == "--steps NUMBER denoising steps (model decides; mini: 1, else 4)".split()
        for line in lines
    )
    assert any(line.endswith("source, model or WIDTHxHEIGHT (default source)") for line in lines)
    assert any(line.startswith("  -y, --overwrite  ") for line in lines)


def test_the_long_help_has_all_options_in_groups(invoke) -> None:
    text = invoke("run", "--help").stdout
    for heading in (
        "Input",
        "What it looks like",
        "Segments",
        "Feature bank",
        "Model and machine",
        "Encoding",
    ):
        assert f"─ {heading} ─" in text
    assert "--hdr" in text


def test_a_command_with_few_options_shows_all_of_them(invoke) -> None:
    assert invoke("doctor", "-h").stdout == invoke("doctor", "--help").stdout
