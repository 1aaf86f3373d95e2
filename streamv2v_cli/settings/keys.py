"""The settings models seen as a table of dotted keys, and the words for what each key takes."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.settings.schema import Section, Settings

__all__ = ["Key", "flatten", "keys", "nearest", "nest", "sections", "values_of", "wording"]


@dataclass(frozen=True)
class Key:
    """One option: its dotted name, its field in the settings models and its default."""

    name: str
    field: FieldInfo
    default: Any

    @property
    def description(self) -> str:
        """What the option means, one or two sentences."""
        return self.field.description or ""

    @property
    def expected(self) -> str:
        """What may be given, in plain words with the range, such as `a whole number from 1 to 8`."""
        return _expected(self.field.annotation, self.field.metadata)

    @property
    def range(self) -> str:
        """The bounds of a number alone, such as `from 1 to 8`; empty if there are none."""
        nested = [m for part in get_args(self.field.annotation) for m in _metadata_of(part)]
        return _range([*self.field.metadata, *nested]).strip()

    @property
    def choices(self) -> tuple[str, ...]:
        """The names to choose from; empty if it is not such an option."""
        annotation = self.field.annotation
        return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()

    @property
    def is_text(self) -> bool:
        """Whether it takes any text, so that brackets and the like in it mean nothing."""
        return self.field.annotation is str

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.field.annotation is bool


def _section_of(field: FieldInfo) -> type[Section] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _walk(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, Any]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        yield f"{prefix}{name}", field, value
        if _section_of(field):
            yield from _walk(value, f"{prefix}{name}.")


@cache
def keys() -> Mapping[str, Key]:
    """Every option by its dotted key, in the order of the settings models."""
    return {
        name: Key(name, field, default)
        for name, field, default in _walk(Settings())
        if not _section_of(field)
    }


@cache
def sections() -> tuple[str, ...]:
    """The dotted names of the groups of options."""
    return tuple(name for name, field, _ in _walk(Settings()) if _section_of(field))


def values_of(settings: Settings) -> dict[str, Any]:
    """Every option's value by its dotted key."""
    return {name: value for name, field, value in _walk(settings) if not _section_of(field)}


_LONGEST_KEY = 100
"""Letters of an unknown key that are compared and shown."""


def nearest(name: str) -> str:
    """The dotted key that looks most like `name`, by the whole of it or by its last part."""
    name = name[:_LONGEST_KEY]
    last = name.rpartition(".")[2]

    def likeness(candidate: str) -> float:
        whole = SequenceMatcher(None, name, candidate).ratio()
        return max(whole, 0.95 * SequenceMatcher(None, last, candidate.rpartition(".")[2]).ratio())

    return max(keys(), key=likeness)


def flatten(mapping: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Turn a nested mapping, whose keys may themselves be dotted, into dotted keys and values.

    Raises:
        ConfigError: a key is unknown or is there twice, or a group of options has a lone value.
    """
    flat: dict[str, Any] = {}
    for name, value in _dotted(mapping, where, ""):
        if name in flat:
            raise ConfigError(f"{where}: the key '{name}' is there twice.")
        flat[name] = value
    return flat


def _dotted(mapping: Mapping[str, Any], where: str, prefix: str) -> Iterator[tuple[str, Any]]:
    for part, value in mapping.items():
        name = f"{prefix}{part}"
        if name in sections():
            if isinstance(value, Mapping):
                yield from _dotted(value, where, f"{name}.")
            elif value not in (None, ""):
                members = [key for key in keys() if key.startswith(f"{name}.")]
                raise ConfigError(
                    f"{where}: '{name}' is a group of options and cannot be {shown(value)}.",
                    f"Its options are {', '.join(members)}.",
                )
        elif name in keys():
            yield name, value
        else:
            raise ConfigError(
                f"{where}: unknown key '{name[:_LONGEST_KEY]}'; the nearest is '{nearest(name)}'.",
                "`streamv2v config show` lists every key.",
            )


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys and values into the nested mapping that the settings models take."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        group = nested
        for part in path:
            group = group.setdefault(part, {})
        group[last] = value
    return nested


def wording(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """Say in plain words what the settings models refused: the key, what it takes, the value, its origin.

    Each problem is a sentence of its own.
    """
    lines: dict[str, None] = {}
    for problem in error.errors(include_url=False):
        name, rest = _split_location(problem["loc"])
        own_words = str(problem.get("ctx", {}).get("error", ""))
        if not name:
            lines[f"{own_words or problem['msg']}."] = None
            continue
        field_name, expected = _locate(name, rest)
        origin = origins.get(name, "default")
        source = "" if origin == "default" else f" (set by {origin})"
        rule = own_words or f"must be {expected}"
        lines.setdefault(f"{field_name} {rule}, not {shown(problem['input'])}{source}.")
        # A union reports one problem for each of its members; the words above name them all already.
    return list(lines)


def _split_location(location: Iterable[int | str]) -> tuple[str, tuple[int | str, ...]]:
    """Split pydantic's location into a dotted key and what lies below that key."""
    parts = tuple(location)
    for end in range(1, len(parts) + 1):
        name = ".".join(map(str, parts[:end]))
        if name in keys():
            return name, parts[end:]
    return "", parts


def _locate(name: str, rest: tuple[int | str, ...]) -> tuple[str, str]:
    """The name and the expectation of a value at or inside the key `name`, such as a LoRA's weight."""
    key = keys()[name]
    for item in get_args(key.field.annotation):
        if isinstance(item, type) and issubclass(item, Section) and rest and isinstance(rest[0], int):
            place = f"{name}[{rest[0]}]"
            inner = item.model_fields.get(str(rest[1])) if len(rest) > 1 else None
            if inner:
                return f"{place}.{rest[1]}", _expected(inner.annotation, inner.metadata)
            if len(rest) > 1:
                return f"{place}.{rest[1]}", f"one of {', '.join(item.model_fields)}"
            return place, "a text or a mapping with " + " and ".join(item.model_fields)
    return name, key.expected


def shown(value: Any) -> str:
    """A value as it reads in a message: numbers bare, text quoted, shortened if long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            text = f"'{value}'"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _expected(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _expected(get_args(annotation)[0], _metadata_of(annotation))
    if origin is Literal:
        choices = get_args(annotation)
        return str(choices[0]) if len(choices) == 1 else f"one of {', '.join(map(str, choices))}"
    if origin in (Union, types.UnionType):
        return " or ".join(_expected(member, metadata) for member in get_args(annotation))
    if origin is tuple:
        return "a list"
    if annotation is type(None):
        return "none"
    if annotation is bool:
        return "true or false"
    if annotation is int:
        return f"a whole number{_range(metadata)}"
    if annotation is float:
        return f"a number{_range(metadata)}"
    return "a text that is not empty" if any(getattr(m, "min_length", 0) for m in metadata) else "a text"


def _metadata_of(annotation: Any) -> list[Any]:
    """The bounds and validators that an `Annotated` type carries."""
    extra = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return [m for item in extra for m in (item.metadata if isinstance(item, FieldInfo) else [item])]


def _range(metadata: Iterable[Any]) -> str:
    words = {"ge": "of at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = {name: getattr(item, name) for name in words for item in metadata if hasattr(item, name)}
    if bounds.keys() == {"ge", "le"}:
        return f" from {bounds['ge']} to {bounds['le']}"
    return "".join(
        f"{' and' if position else ''} {words[name]} {bound}"
        for position, (name, bound) in enumerate(bounds.items())
    )
