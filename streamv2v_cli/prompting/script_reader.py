"""Reading prompts over time from a file and checking them; `docs/prompts.md` describes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.prompting.script import Entry, PromptScript, Unit, plain
from streamv2v_cli.prompting.state import AT_ONCE, PromptState
from streamv2v_cli.settings.schema import Lora, StyleImage
from streamv2v_cli.settings.values import seconds_of
from streamv2v_cli.settings.yaml import read_document

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["read_script"]

_BLENDED = ("prompt", "negative_prompt", "strength", "mix", "mask", "style")
_CHANGES = (*_BLENDED, *AT_ONCE)
_LISTED = ("style", "loras")
_KEYS = ("time", "frame", *_CHANGES, "transition", "over")


@dataclass(frozen=True)
class _Weighted:
    """What has weights: its class, its name for people, the option that loads it, and the least weight."""

    type: type[Lora] | type[StyleImage]
    name: str
    option: str
    least: int


_STYLE = _Weighted(StyleImage, "style picture", "--style-image", 0)
_LORAS = _Weighted(Lora, "LoRA", "--lora", -10)
_TRANSITIONS = ("hold", "linear", "slerp")


def read_script(path: Path, settings: Settings) -> PromptScript:
    """Read prompts over time from a YAML or JSON file.

    Args:
        path: the file.
        settings: what holds before the first entry, and what a strength has to allow.

    Raises:
        ConfigError, UsageError: something is wrong, with the file, the entry and the value.
    """
    option = f"--prompts {path}"
    rows = read_document(path)
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{option} holds no list of prompts.", "Write one entry a change: - time: 0")
    places = [f"{option}, entry {number}" for number in range(1, len(rows) + 1)]
    unit = _unit_of(rows, places)
    entries = [_entry(row, unit, settings, where) for row, where in zip(rows, places, strict=True)]
    _check_order(entries, unit, places)
    has_prompt = bool(settings.prompt.strip()) or (
        entries[0].at == 0 and entries[0].prompt is not None and entries[0].transition == "hold"
    )
    if not has_prompt:
        raise ConfigError(
            f"{option} has no prompt for the start of the video.",
            f"Add an entry with `{unit}: 0` and a prompt but no transition, or give --prompt.",
        )
    return PromptScript(path, unit, entries, PromptState.of(settings))


def _unit_of(rows: list[Any], places: list[str]) -> Unit:
    """Whether the entries count seconds or frames; also that each is a mapping with known keys."""
    for row, where in zip(rows, places, strict=True):
        if not isinstance(row, dict):
            raise ConfigError(f"{where} is not a mapping.", "Write it as `time: 0`, `prompt: ...`.")
        for key in row:
            if key not in _KEYS:
                raise ConfigError(f"{where}: unknown key '{key}'.", f"The keys are {', '.join(_KEYS)}.")
        if ("time" in row) == ("frame" in row):
            raise ConfigError(f"{where} must have either a time or a frame.", "Write `time: 2.5`.")
    unit: Unit = "time" if "time" in rows[0] else "frame"
    for row, where in zip(rows, places, strict=True):
        if unit not in row:
            raise ConfigError(
                f"{where} does not have a {unit}, as the first entry does.",
                "Give all entries a time, or all a frame.",
            )
    return unit


def _entry(row: dict[str, Any], unit: Unit, settings: Settings, where: str) -> Entry:
    for key, value in row.items():
        if not isinstance(value, str) and not (key in _LISTED and isinstance(value, list)):
            raise ConfigError(f"{where}: {key} must be a text or a number.")
    if not row.keys() & set(_CHANGES):
        raise ConfigError(f"{where} changes nothing.", f"Give it one of {', '.join(_CHANGES)}.")
    if not row.get("prompt", "x").strip():
        raise ConfigError(f"{where}: the prompt is empty.", "Leave it out to keep the one before.")
    transition = row.get("transition", "hold")
    if transition not in _TRANSITIONS:
        raise ConfigError(f"{where}: transition '{transition}' must be one of {', '.join(_TRANSITIONS)}.")
    if (transition == "hold") == ("over" in row):
        raise ConfigError(
            f"{where}: transition {transition} {'takes no' if 'over' in row else 'needs an'} `over`.",
            "`over` says how long a change by linear or slerp takes.",
        )
    if transition != "hold" and not row.keys() & set(_BLENDED):
        raise ConfigError(
            f"{where}: the weights of LoRAs change at once.", "Leave out `transition` and `over`."
        )
    if transition == "slerp" and not row.keys() & {"prompt", "negative_prompt"}:
        kind = next(name for name in ("strength", "mix", "mask", "style") if name in row)
        raise ConfigError(f"{where}: a {kind} cannot change by slerp.", "Write `transition: linear`.")
    over = _position(row["over"], unit, f"{where}: over") if "over" in row else Fraction(0)
    if "over" in row and not over:
        raise ConfigError(f"{where}: over {row['over']} must be more than 0.")
    return Entry(
        at=_position(row[unit], unit, f"{where}: {unit}"),
        prompt=row["prompt"].strip() if "prompt" in row else None,
        negative_prompt=row["negative_prompt"].strip() if "negative_prompt" in row else None,
        strength=_strength(row["strength"], settings, where) if "strength" in row else None,
        mix=_share(row["mix"], f"{where}: mix") if "mix" in row else None,
        mask=_mask(row["mask"], settings, where) if "mask" in row else None,
        style=_weights("style", row, settings.style.images, _STYLE, where),
        loras=_weights("loras", row, settings.weights.loras, _LORAS, where),
        transition=transition,
        over=over,
    )


def _position(text: str, unit: Unit, what: str) -> Fraction:
    if unit == "time":
        return seconds_of(text, what)
    if not re.fullmatch(r"\d{1,12}", text.strip()):
        raise ConfigError(f"{what} {text} is not a whole number of frames.")
    return Fraction(int(text))


def _strength(text: str, settings: Settings, where: str) -> float:
    diffusion = settings.diffusion
    least = diffusion.steps / diffusion.grid
    try:
        strength = float(text)
    except ValueError:
        strength = 0.0
    if not 0 < strength <= 1:
        raise ConfigError(f"{where}: strength {text} must be a number from {least:g} to 1.")
    available = diffusion.model_copy(update={"strength": strength}).available_timesteps
    if available < diffusion.steps:
        raise ConfigError(
            f"{where}: strength {text} leaves {available} timesteps, too few for diffusion.steps {diffusion.steps}.",
            f"Give at least {least:g}, or fewer --steps.",
        )
    return strength


def _share(text: str, what: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"{what} {text} must be a number from 0 to 1.")
    return share


def _mask(text: str, settings: Settings, where: str) -> float:
    if settings.mask.source is None:
        raise ConfigError(f"{where}: there is no mask.", "Give one with --mask.")
    return _share(text, f"{where}: mask")


def _weights(
    key: str, row: dict[str, Any], items: Sequence[Lora | StyleImage], kind: _Weighted, where: str
) -> tuple[float, ...] | None:
    """Weights of the style pictures or LoRAs; a single one is for all of them. None if the entry has none."""
    if key not in row:
        return None
    given = row[key]
    if not items:
        raise ConfigError(f"{where}: there is no {kind.name}.", f"Give one with {kind.option}.")
    texts = given if isinstance(given, list) else [given] * len(items)
    if len(texts) != len(items):
        raise ConfigError(
            f"{where}: {key} has {len(texts)} weights, and there are {len(items)} {kind.name}s.",
            "Give one weight for each, or a single one for all.",
        )
    try:
        return tuple(kind.type(source="-", weight=float(text)).weight for text in texts)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {key} {given} must be weights from {kind.least} to 10.") from error


def _check_order(entries: list[Entry], unit: Unit, places: list[str]) -> None:
    """Entries come one after the other, and a change is complete before the next of its kind begins."""
    busy_until: dict[str, Fraction] = {}
    before: Fraction | None = None
    for entry, where in zip(entries, places, strict=True):
        at = f"{unit} {plain(entry.at)}"
        if before is not None and entry.at <= before:
            raise ConfigError(
                f"{where}: {at} is not after {unit} {plain(before)} of the entry before.",
                "Sort the entries, and put what changes together into one entry.",
            )
        before = entry.at
        for kind in (*(["prompt"] if entry.changes_prompt else []), *entry.numbers):
            until = busy_until.get(kind, entry.at)
            if until > entry.at:
                raise ConfigError(
                    f"{where}: at {at} the {kind} is still changing from before, until {plain(until)}.",
                    "Give the earlier entry a shorter `over`.",
                )
            busy_until[kind] = entry.at + entry.lasts(kind)
