"""What `-h` shows of a command with many options: the most used ones and examples, on one screen.

`--help` shows all options in groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from streamv2v_cli.commands.options import FLAGS, default_of
from streamv2v_cli.settings.keys import keys

__all__ = ["ANY_SETTING", "PICTURE", "ShortHelp"]

PICTURE: Mapping[str, str] = {
    "--prompt": "what it should look like: a style, or words",
    "--model": "a name, folder, file or Hub id (*)",
    "--config": "a preset such as realtime or fidelity, or a file",
    "--quality": "fast, good or best, as the model recommends",
    "--steps": "denoising steps (*)",
    "--strength": "how much is restyled (*)",
    "--steady": "less flicker (*)",
}
"""The most used options of all commands that restyle."""

ANY_SETTING: Mapping[str, str] = {"--set": "any other setting; `streamv2v config show` lists them"}


@dataclass(frozen=True)
class ShortHelp:
    """The short help of a command.

    Attributes:
        usage: what follows the name of the command.
        about: one line.
        options: long flag -> what it does, in a few words; `*` stands for the default.
        examples: command lines.
    """

    usage: str
    about: str
    options: Mapping[str, str]
    examples: tuple[str, ...]

    def option(self) -> Any:
        """`-h`, which shows it and ends the command, as a Typer option."""

        def show(ctx: typer.Context, value: bool) -> None:
            if value:
                print("\n".join(self.lines(ctx.command, ctx.command_path)))
                raise typer.Exit

        return typer.Option(
            "-h",
            help="Show the most used options and examples, and exit.",
            callback=show,
            is_eager=True,
            expose_value=False,
        )

    def lines(self, command: Any, path: str) -> Iterator[str]:
        """The lines of it for a command that is called by `path`.

        Raises:
            KeyError: the command lacks an option.
        """
        params = {flag: param for param in command.params for flag in param.opts}
        rows = [(_label(params[flag]), _with_default(flag, words)) for flag, words in self.options.items()]
        width = max(len(label) for label, _ in rows)
        yield f"Usage: {path} {self.usage}"
        yield self.about
        yield ""
        yield from (f"  {label:{width}}  {words}" for label, words in rows)
        yield ""
        yield f"All options: {path} --help. Examples:"
        yield from (f"  {example}" for example in self.examples)


def _label(param: Any) -> str:
    """Such as `-o, --output FILE`."""
    short = next((f"{flag}, " for flag in param.opts if not flag.startswith("--")), " " * 4)
    long = next(flag for flag in param.opts if flag.startswith("--"))
    return f"{short}{long}" if param.is_flag else f"{short}{long} {param.metavar}"


def _with_default(flag: str, words: str) -> str:
    key = next((key for key, found in FLAGS.items() if flag in found.names), None)
    return words if key is None else words.replace("*", default_of(keys()[key]))
