"""Prompts over time: from a script (`--prompts`) or from a file that changes (`--prompt-file`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting.prompted_translator import PromptedTranslator

if TYPE_CHECKING:
    from streamv2v_cli.prompting.state import Prompts
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.settings.schema import Settings

__all__ = ["PromptedTranslator", "check_prompt", "no_prompt", "open_prompts", "with_prompts"]


def check_prompt(settings: Settings, command: str = "") -> None:
    """Raise a UsageError if a model would be given no prompt; `command` is what the remedy begins with."""
    if settings.translator == "diffusion" and not settings.prompt.strip():
        raise no_prompt(command)


def no_prompt(command: str = "") -> UsageError:
    """The error for a prompt that is missing."""
    example = f'{command} --prompt "oil painting"'.lstrip()
    return UsageError("No prompt was given.", f"Describe what the video should look like: {example}")


def open_prompts(script: str | None, file: str | None, resolved: Resolved) -> Prompts | None:
    """What --prompts or --prompt-file names; None if neither was given.

    Raises:
        UsageError, ConfigError: both were given, or one of them is wrong.
    """
    if script is not None and file is not None:
        raise UsageError("Both --prompts and --prompt-file give the prompt.", "Give one.")
    if script is not None:
        from streamv2v_cli.prompting.script_reader import read_script

        return read_script(Path(script), resolved.settings)
    if file is None:
        return None
    if resolved.origins["prompt"].startswith("--"):
        raise UsageError(
            f"Both {resolved.origins['prompt']} and --prompt-file give the prompt.",
            "Give one; --prompts FILE can begin with another prompt.",
        )
    from streamv2v_cli.prompting.watched_file import PromptFile

    return PromptFile(Path(file), resolved.settings)


def with_prompts(resolved: Resolved, prompts: Prompts | None) -> Resolved:
    """The settings with the first of the prompts, which is what a run is named after."""
    if prompts is None:
        return resolved
    return replace(resolved, settings=prompts.first.applied_to(resolved.settings))
