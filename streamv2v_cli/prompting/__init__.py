"""Prompts over time: from a script (`--prompts`) or from a file that changes (`--prompt-file`)."""

from .choose import open_prompts, with_prompts
from .translator import PromptedTranslator

__all__ = ["PromptedTranslator", "open_prompts", "with_prompts"]
