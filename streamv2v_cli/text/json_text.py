"""JSON of this program, which any name or prompt may be in, and JSON of strangers."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["from_json", "to_json"]

_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def to_json(content: Any, **options: Any) -> str:
    r"""JSON that is readable, valid UTF-8 and steers no terminal.

    A byte of a name that is not UTF-8 becomes `\udcff`: `os.fsencode` of what a reader gets is the name again.

    Args:
        content: what `json.dumps` takes.
        options: of `json.dumps`.
    """
    text = json.dumps(content, ensure_ascii=False, **options)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def from_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
