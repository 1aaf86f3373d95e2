"""Putting the layers of the configuration together, and remembering where each value came from.

Precedence, each over the one before: the defaults, what the model recommends, `--config`, `--set`, and the
dedicated flags.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.settings.harmless import is_harmless
from streamv2v_cli.settings.keys import flatten, keys, nest, wording
from streamv2v_cli.settings.picture_options import UPSCALE_METHODS
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.settings.section import one_or_more
from streamv2v_cli.settings.values import IMAGE_EXTENSIONS
from streamv2v_cli.settings.yaml import parse_value, read_mapping, unquote

VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".nut", ".ts", ".mts", ".gif", ".apng")
"""Files that --config does not read as YAML."""

_NEVER_FROM_A_VIDEO = ("weights.allow_pickle", "input.references", "control.video", "mask.source")
"""What only the user allows: a video may come from a stranger."""
_NEVER_FROM_A_MODEL = (
    *("output.", "input.", "compute.", "control.", "mask.", "translator"),
    *("weights.allow_pickle", "weights.config"),
)
"""What has nothing to do with how a model is used at its best."""

Recommend = Callable[[str, str, str], Mapping[str, Any]]

log = logging.getLogger(__name__)

__all__ = ["Resolved", "override", "preset_description", "preset_names", "resolve", "to_yaml"]


@dataclass(frozen=True)
class Resolved:
    """The effective settings.

    Attributes:
        settings: every option's value, validated.
        origins: for every dotted key where its value came from: `default`, `model`, `preset paper`,
            `file x.yaml`, `--set`, or the name of a flag such as `--steps`.
    """

    settings: Settings
    origins: dict[str, str]


def resolve(
    *,
    configs: Sequence[str] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, tuple[str, Any]] | None = None,
    recommend: Recommend | None = None,
    read_comment: Callable[[str], Mapping[str, Any]] | None = None,
) -> Resolved:
    """Resolve the layers into settings; later entries of a layer win over earlier ones.

    Args:
        configs: names of presets, or paths of YAML files or of videos made by this program.
        sets: `key=value` texts with dotted keys; the value is a YAML scalar, list or mapping.
        flags: dotted key -> (name of the flag, value).
        recommend: gives the settings that a model recommends, by its name, `quality` and device; called once with
            what the other layers name.
        read_comment: gives what a video says of the run that made it; without it no video is taken.

    Raises:
        ConfigError: a preset or file cannot be found or read, a key is unknown, a value is of the wrong type
            or out of range.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = [*(_config_layer(name, read_comment) for name in configs), *map(_set_layer, sets)]
    layers += [(flag, flatten({key: value}, flag)) for key, (flag, value) in (flags or {}).items()]
    for origin, layer in layers:
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    if recommend:
        for key, value in _model_layer(values, recommend).items():
            if key not in values:
                values[key] = value
                origins[key] = "model"
    try:
        settings = Settings.model_validate(nest(values))
    except ValidationError as error:
        raise ConfigError.of(wording(error, origins)) from error
    return Resolved(settings, {key: origins.get(key, "default") for key in keys()})


def _config_layer(
    name: str, read_comment: Callable[[str], Mapping[str, Any]] | None
) -> tuple[str, dict[str, Any]]:
    if name in preset_names():
        return f"preset {name}", flatten(read_mapping(_preset_path(name)), f"preset {name}")
    path = Path(name)
    if not name or not path.exists():
        close = get_close_matches(name, preset_names(), n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ConfigError(
            f"--config {name}: there is neither a preset nor a file of that name.{hint}",
            f"The presets are {', '.join(preset_names())}.",
        )
    if read_comment is not None and path.suffix.lower() in (*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS):
        return f"video {name}", _video_layer(name, read_comment(name)["settings"])
    return f"file {name}", flatten(read_mapping(path), name)


def _video_layer(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a video was made with.

    Defaults of the encoding are left out, so that they still give way to what another container can hold.
    """
    defaults = flatten(Settings().model_dump(mode="json"), "defaults")
    layer = flatten(settings, name)
    options = layer.get("output.encoder_opt", ())
    if isinstance(given := one_or_more(options), list | tuple):
        encoder = layer.get("output.codec", defaults["output.codec"])
        layer["output.encoder_opt"] = [pair for pair in given if is_harmless(encoder, pair)]
        if len(layer["output.encoder_opt"]) < len(given):
            log.warning(
                "--config %s: encoder options that are not known to be harmless are not taken from a video.",
                name,
            )
    return {
        key: value
        for key, value in layer.items()
        if key not in _NEVER_FROM_A_VIDEO and not (key.startswith("output.") and defaults.get(key) == value)
    }


def _set_layer(text: str) -> tuple[str, dict[str, Any]]:
    return "--set", override(text)


def override(text: str, option: str = "--set") -> dict[str, Any]:
    """What `key=value` sets, by dotted keys; not checked yet.

    Args:
        text: the value is a YAML scalar, list or mapping.
        option: where it was given, for messages.

    Raises:
        ConfigError: it has not this form.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"{option} {text}: expected key=value.", f"For example: {option} bank.kind=queue")
    if key in keys() and keys()[key].is_text:
        return {key: unquote(value)}
    return flatten({key: parse_value(value, f"{option} {key}")}, option)


def _model_layer(values: Mapping[str, Any], recommend: Recommend) -> dict[str, Any]:
    model = values.get("model", Settings().model)
    if not isinstance(model, str) or not model:
        return {}
    quality = str(values.get("quality", "auto")).lower()
    if quality not in keys()["quality"].choices:
        return {}
    device = str(values.get("compute.device", "auto"))
    layer = flatten(recommend(model, quality, device), f"recommendations of the model {model}")
    if "model" in layer:
        raise ConfigError(f"recommendations of the model {model}: they cannot name another model.")
    for key in layer:
        is_file = key == "frame.upscale" and layer[key] not in UPSCALE_METHODS
        if is_file or key.startswith(_NEVER_FROM_A_MODEL):
            raise ConfigError(f"recommendations of the model {model}: they cannot set {key}.")
    return layer


def to_yaml(settings: Settings) -> str:
    """The effective settings as YAML with every key; `--config` takes it back and gives equal settings."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def _presets_folder() -> Path:
    """`configs/` inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _preset_path(name: str) -> Path:
    return _presets_folder() / f"{name}.yaml"


def preset_names() -> list[str]:
    """The names that `--config` takes beside file names, in alphabetical order."""
    return sorted(path.stem for path in _presets_folder().glob("*.yaml"))


def preset_description(name: str) -> str:
    """The comment on the first line of a preset's file."""
    with _preset_path(name).open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()
