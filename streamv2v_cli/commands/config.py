"""`streamv2v config`: the presets, and the settings that a command would run with."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any

import typer
import yaml

from streamv2v_cli.commands.completion import complete_preset
from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.logs import shown
from streamv2v_cli.settings.keys import flatten
from streamv2v_cli.settings.resolve import preset_description, preset_names, to_yaml
from streamv2v_cli.text.terminal import printable

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List the presets and show the effective settings.")


@app.command("list")
def list_presets() -> None:
    """List the presets that --config takes by name."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "description", box=None, pad_edge=False)
    for name in preset_names():
        table.add_row(name, preset_description(name))
    Console().print(table)


@app.command("show")
@takes_settings
def show(
    request: SettingsRequest,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            help="A preset or a YAML file.",
            show_default=False,
            autocompletion=complete_preset,
        ),
    ] = None,
    origin: Annotated[
        bool, typer.Option("--origin", help="Print each key, its value and where that came from.")
    ] = False,
) -> None:
    """Print the effective settings as YAML, which --config takes back.

    Later ones win: the defaults, what the model recommends, NAME or FILE, --config, --set, the other flags.
    """
    resolved = request.with_config(name).resolve()
    if not origin:
        text = to_yaml(resolved.settings)
        print(printable(text, lines=True) if sys.stdout.isatty() else text, end="")
        return
    values = flatten(resolved.settings.model_dump(mode="json"), "settings")
    width = max(map(len, values))
    for key, value in values.items():
        print(shown(f"{key:{width}}  {_on_one_line(value)}  ({resolved.origins[key]})"))


def _on_one_line(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").rstrip()
