"""Reading settings from YAML: a strict reader that leaves the meaning of scalars to the settings models.

YAML 1.1 turns `on`, `no`, `12:30` or `1e-3` into something else than what was written. Here every scalar
stays the text that was written, and the settings models read it as what the key calls for, so that a prompt
of `123` is a text and a bank of `none` is the bank named none. Only a bare `null` or `~` is None.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from streamv2v_cli.errors import ConfigError

__all__ = ["parse_value", "read_document", "read_mapping", "unquote"]

LARGEST_FILE = 1 << 20
"""Bytes; a settings file is a few hundred, so more than this is some other file."""

_STANDARD_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)
_NULLS = ("null", "Null", "NULL", "~")


class _Reader(yaml.BaseLoader):
    """Scalars as written; duplicate keys, anchors and tags of other programs are errors."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not supported", problem_mark=self.get_mark()
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _STANDARD_TAGS:
            raise yaml.MarkedYAMLError(
                problem=f"the tag {node.tag} is not supported", problem_mark=node.start_mark
            )
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS:
            return None
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key_node.start_mark)
            if key_node.value in mapping:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key_node.value}' is there twice", problem_mark=key_node.start_mark
                )
            mapping[key_node.value] = self.construct_object(value_node, deep=True)
        return mapping


def _load(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Reader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{where}{place}: {problem}.") from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(
            f"{where} holds the character U+{error.character:04X}, which YAML does not allow."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{where} is nested too deeply.") from error


def parse_value(text: str, where: str) -> Any:
    """Read the right side of `--set key=value`: a scalar, a list `[a, b]` or a mapping `{a: 1}`.

    What opens a list or mapping must be one; everything else is taken as text, see `unquote`.

    Raises:
        ConfigError: a list or mapping is not valid YAML; the message starts with `where`.
    """
    stripped = text.strip()
    if stripped[:1] in ("[", "{"):
        return _load(stripped, where)
    return None if stripped in _NULLS else unquote(text)


def unquote(text: str) -> str:
    """The text that a YAML scalar stands for if it is wholly in quotes, else the text as it is."""
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        try:
            return str(_load(stripped, "text"))
        except ConfigError:
            return text
    return text


def _load_json(text: str, where: str) -> Any:
    """JSON with numbers as they are written: YAML reads most of it, but neither tabs nor every escape."""

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for name, value in pairs:
            if name in content:
                raise ConfigError(f"{where}: the key '{name}' is there twice.")
            content[name] = value
        return content

    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{where}, line {error.lineno}, column {error.colno}: it is not JSON: {error.msg}."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{where} is nested too deeply.") from error


def read_document(path: Path) -> Any:
    """Read a YAML file, or a JSON file by its extension; every number is the text that was written.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 text or is neither YAML nor JSON.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror or error}.") from error
    if len(data) > LARGEST_FILE:
        raise ConfigError(f"{where} is larger than {LARGEST_FILE >> 20} MiB, so it is not a settings file.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not a settings file: it is not UTF-8 text.") from error
    return _load_json(text, where) if path.suffix.lower() == ".json" else _load(text, where)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 text, is not YAML or holds something else.
    """
    content = read_document(path)
    if content is None or content == "":
        return {}
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise ConfigError(f"{path} holds {kind}.", "A settings file holds `key: value` lines.")
    return content
