"""What all groups of options have in common."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

__all__ = [
    "Section",
    "none_by_name",
    "one_or_more",
    "source_and_weight",
]


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class Section(BaseModel):
    """A group of options: immutable, and strict about unknown keys; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        """Refuse what is in no text: neither a tokenizer nor a file system takes it."""
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and _NO_TEXT.search(text):
                raise ValueError("must be valid Unicode text without NUL")
        return value


def none_by_name(value: Any) -> Any:
    """Let `none` and an empty value say that an optional value is not there."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "none", "null") else value


def one_or_more(value: Any) -> Any:
    """Let a lone item stand for a list of one, and `none` or an empty value for an empty list."""
    if isinstance(value, str):
        return () if none_by_name(value) is None else (value,)
    return (value,) if isinstance(value, dict) else value


def source_and_weight(value: Any) -> Any:
    """Let `SOURCE:WEIGHT` or `SOURCE` stand for a source with its weight."""
    if not isinstance(value, str):
        return value
    head, colon, tail = value.rpartition(":")
    try:
        return {"source": head, "weight": float(tail)} if colon and head else {"source": value}
    except ValueError:
        return {"source": value}
