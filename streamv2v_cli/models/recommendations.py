"""What a model's maker recommends: `streamv2v.yaml` beside its weights.

Imports neither torch nor diffusers, and never touches the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from streamv2v_cli.errors import ConfigError, ModelError
from streamv2v_cli.models.choices import find_model
from streamv2v_cli.models.files.soundness import damaged_if_it_fails
from streamv2v_cli.models.gpu import finds_gpu
from streamv2v_cli.settings.keys import flatten, keys
from streamv2v_cli.settings.picture_options import UPSCALE_METHODS
from streamv2v_cli.settings.schema import Frames, Settings
from streamv2v_cli.settings.yaml import read_mapping

__all__ = [
    "QUALITIES",
    "RECOMMENDATIONS",
    "qualities",
    "quality_settings",
    "recommended_settings",
    "style_settings",
    "useful_ranges",
    "without_effect",
    "work_of_quality",
]

RECOMMENDATIONS = "streamv2v.yaml"
USEFUL, STYLES, QUALITY, UNSEEN = "useful", "styles", "quality", "without_effect"
_NO_SETTINGS = (USEFUL, STYLES, QUALITY, UNSEEN)
QUALITIES = ("fast", "good", "best")
_SCALE = {"fast": 0.75, "good": 1.0, "best": 1.5}
"""Of the size that a model works at in general."""
STYLE_KEYS = ("upscale", "guide", "grid", "palette")


def recommended_settings(model: str, quality: str = "auto", device: str = "cpu") -> dict[str, Any]:
    """The settings that a model's maker recommends: `streamv2v.yaml` beside its weights, if that is here.

    Every scalar is the text that was written, as in all files of settings.

    Args:
        model: its name, path or Hub id.
        quality: `fast`, `good` or `best`, which is under `quality` in the file, or where that says nothing follows
            from the size and steps in general. `auto` is `good` on a GPU if the file has it, else what it says in
            general.
        device: where the model is to run, as `--device` takes it.

    Raises:
        ModelError: the file is there but is no YAML mapping, or a quality is no mapping of settings.
    """
    general = _general(model)
    if quality == "auto" and "good" in qualities(model) and finds_gpu(device):
        quality = "good"
    if quality == "auto":
        return general
    return flatten(general, f"recommendations of the model {model}") | quality_settings(model, quality)


def quality_settings(model: str, quality: str) -> dict[str, Any]:
    """What `fast`, `good` or `best` alone sets, by dotted key.

    Raises:
        ModelError: as of `recommended_settings`.
    """
    own = qualities(model).get(quality)
    return own or _usual(quality, flatten(_general(model), f"recommendations of the model {model}"))


def qualities(model: str) -> dict[str, dict[str, Any]]:
    """The settings that a model recommends for `fast`, `good` and `best`, by dotted key; empty if it does not.

    Raises:
        ModelError: the file cannot be read, or these are no mappings of settings.
    """
    where = f"`{QUALITY}` in the {RECOMMENDATIONS} of the model {model}"
    given = _advice(model).get(QUALITY) or {}
    if not isinstance(given, dict) or not given.keys() <= set(QUALITIES):
        raise ModelError(f"{where} must give settings for {', '.join(QUALITIES)}.")
    try:
        return {name: flatten(row, where) for name, row in given.items()}
    except ConfigError as error:
        raise ModelError(error.message, error.remedy) from error
    except AttributeError:
        raise ModelError(f"{where} must give a mapping of settings for each.") from None


def _general(model: str) -> dict[str, Any]:
    """The settings that are recommended whatever the style and quality."""
    return {key: value for key, value in _advice(model).items() if key not in _NO_SETTINGS}


def _usual(quality: str, general: Mapping[str, Any]) -> dict[str, Any]:
    """What `quality` means for a model that does not say it."""
    defaults = Settings()
    size = str(general.get("frame.size", defaults.frame.size))
    usual: dict[str, Any] = {}
    if size.isdigit():
        usual["frame.size"] = max(64, round(_SCALE[quality] * int(size) / 64) * 64)
    if quality != "fast":
        return usual
    steps = str(general.get("diffusion.steps", defaults.diffusion.steps))
    if steps.isdigit():
        usual["diffusion.steps"] = max(1, int(steps) // 2)
    return usual | {"frame.upscale": "bicubic"}


def work_of_quality(model: str, quality: str) -> tuple[int, int] | None:
    """The short side in pixels that a model works at for a quality, and its steps; None where that is no number.

    Raises:
        ModelError: what it recommends cannot be read.
    """
    where = f"recommendations of the model {model}"
    values = flatten(recommended_settings(model, quality), where)
    defaults = Settings()
    size = str(values.get("frame.size", defaults.frame.size))
    steps = str(values.get("diffusion.steps", defaults.diffusion.steps))
    return (int(size), int(steps)) if size.isdigit() and steps.isdigit() else None


def useful_ranges(model: str) -> dict[str, tuple[float, float]]:
    """Least and greatest value of options between which a model is of use, by dotted key.

    They are under `useful` in the same file.

    Raises:
        ModelError: the file cannot be read, an option is unknown or holds no number, or a range is no pair of numbers
            in ascending order.
    """
    where = f"`{USEFUL}` in the {RECOMMENDATIONS} of the model {model}"
    given = _advice(model).get(USEFUL) or {}
    try:
        ranges = {key: tuple(map(float, pair)) for key, pair in flatten(given, where).items()}
    except ConfigError as error:
        raise ModelError(error.message, error.remedy) from error
    except (TypeError, ValueError, AttributeError):
        raise ModelError(f"{where} must give [least, greatest] for each option.") from None
    if any(len(pair) != 2 or not pair[0] <= pair[1] for pair in ranges.values()):
        raise ModelError(f"{where} must give [least, greatest] for each option.")
    for key in ranges:
        if keys()[key].is_switch or not isinstance(keys()[key].default, int | float):
            raise ModelError(f"{where} gives a range for '{key}', which is not a number.")
    return {key: (pair[0], pair[1]) for key, pair in ranges.items()}


def without_effect(model: str) -> dict[str, str]:
    """Options that change nothing that is seen with a model, by dotted key, and why, as the end of a sentence.

    They are under `without_effect` in the same file.

    Raises:
        ModelError: the file cannot be read, an option is unknown, or a reason is no text.
    """
    where = f"`{UNSEEN}` in the {RECOMMENDATIONS} of the model {model}"
    try:
        reasons = flatten(_advice(model).get(UNSEEN) or {}, where)
    except ConfigError as error:
        raise ModelError(error.message, error.remedy) from error
    except AttributeError:
        reasons = {"": None}
    if not all(isinstance(reason, str) for reason in reasons.values()):
        raise ModelError(f"{where} must give a reason for each option.")
    return reasons


def style_settings(model: str) -> dict[str, Frames]:
    """How results of a style are enlarged at their best, by its name: `frame` with what differs from the defaults.

    They are under `styles` in the same file, with the keys of `frame` in `STYLE_KEYS`.

    Raises:
        ModelError: the file cannot be read, a style is no mapping of these keys, or a value is wrong.
    """
    where = f"`{STYLES}` in the {RECOMMENDATIONS} of the model {model}"
    given = _advice(model).get(STYLES) or {}
    if not isinstance(given, dict) or not all(isinstance(row, dict) for row in given.values()):
        raise ModelError(f"{where} must give a mapping for each style.")
    for style, row in given.items():
        for key, value in row.items():
            if key not in STYLE_KEYS or (key == "upscale" and value not in UPSCALE_METHODS):
                raise ModelError(f"{where} cannot set {key} to {value!r} for '{style}'.")
    try:
        return {style: Frames.model_validate(row) for style, row in given.items()}
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise ModelError(f"{where}: {place}: {problem['msg']}, not {problem['input']!r}.") from error


def _advice(model: str) -> dict[str, Any]:
    """What `streamv2v.yaml` says; empty if there is none."""
    try:
        source, _ = find_model(model)
    except ModelError:
        return {}
    if source.path is None:
        return {}
    path = (source.path.parent if source.kind == "file" else source.path) / RECOMMENDATIONS
    if not path.is_file():
        return {}
    try:
        with damaged_if_it_fails(f"'{path}'"):
            return read_mapping(path)
    except ConfigError as error:
        raise ModelError(error.message, error.remedy or "Correct or remove it.") from error
