"""Dedicated flags of the commands, generated from the settings models.

A command that works with settings asks for one parameter of type `SettingsRequest`:

    @takes_settings
    def run(source: Annotated[str, typer.Argument()], request: SettingsRequest) -> None:
        resolved = request.resolve()

On the command line that parameter becomes --config, --set and every flag of `FLAGS`, with help texts, ranges
and defaults taken from the settings models.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from streamv2v_cli.apart import files_below
from streamv2v_cli.commands.completion import complete_override, complete_preset, completer_of
from streamv2v_cli.settings.keys import Key, flatten, keys
from streamv2v_cli.settings.resolve import Resolved, preset_names
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.configure import resolve

__all__ = ["FLAGS", "Flag", "SettingsRequest", "default_of", "setting_option", "takes_settings"]


@dataclass(frozen=True)
class Flag:
    """A dedicated flag of one option.

    Attributes:
        names: the flag and its short form; for a switch `--on/--off`.
        panel: the heading that it stands under in the help.
        metavar: what the help shows for the value; by default the choices or the type.
        repeatable: whether each use adds an item to a list.
    """

    names: tuple[str, ...]
    panel: str
    metavar: str | None = None
    repeatable: bool = False


_PICTURE, _BANK, _MODEL, _ENCODING = "What it looks like", "Feature bank", "Model and machine", "Encoding"
_INPUT = "Input"

FLAGS: Mapping[str, Flag] = {
    "prompt": Flag(("--prompt", "-p"), _PICTURE, "TEXT"),
    "negative_prompt": Flag(("--negative-prompt",), _PICTURE, "TEXT"),
    "clip_skip": Flag(("--clip-skip",), _PICTURE, "LAYERS"),
    "diffusion.strength": Flag(("--strength",), _PICTURE),
    "frame.mix": Flag(("--mix",), _PICTURE),
    "frame.match_colours": Flag(("--match-colours",), _PICTURE),
    "mask.source": Flag(("--mask",), _PICTURE, "FILE|alpha"),
    "mask.invert": Flag(("--mask-invert/--no-mask-invert",), _PICTURE),
    "mask.feather": Flag(("--mask-feather",), _PICTURE, "PIXELS"),
    "quality": Flag(("--quality",), _PICTURE),
    "diffusion.steps": Flag(("--steps",), _PICTURE),
    "diffusion.guidance.kind": Flag(("--guidance",), _PICTURE),
    "diffusion.guidance.scale": Flag(("--guidance-scale",), _PICTURE),
    "seed": Flag(("--seed",), _PICTURE),
    "frame.size": Flag(("--size",), _PICTURE, "SIZE"),
    "frame.output_size": Flag(("--output-size",), _PICTURE, "SIZE"),
    "frame.upscale": Flag(("--upscale",), _PICTURE, "METHOD|FILE"),
    "frame.guide.strength": Flag(("--guide-strength",), _PICTURE),
    "control.nets": Flag(("--controlnet",), _PICTURE, "NET", repeatable=True),
    "control.video": Flag(("--controlnet-video",), _PICTURE, "FILE"),
    "style.images": Flag(("--style-image",), _PICTURE, "FILE", repeatable=True),
    "style.adapter": Flag(("--ip-adapter",), _PICTURE, "ADAPTER"),
    "bank.kind": Flag(("--bank",), _BANK),
    "bank.size": Flag(("--bank-size",), _BANK),
    "bank.interval": Flag(("--bank-interval",), _BANK),
    "bank.reset_on_cut": Flag(("--reset-on-cut/--no-reset-on-cut",), _BANK),
    "bank.fuse.alpha": Flag(("--fuse-alpha",), _BANK),
    "bank.fuse.threshold": Flag(("--fuse-threshold",), _BANK),
    "bank.motion.alpha": Flag(("--steady",), _BANK),
    "skip_similar.enabled": Flag(("--skip-similar/--no-skip-similar",), _BANK),
    "model": Flag(("--model", "-m"), _MODEL, "MODEL"),
    "weights.vae": Flag(("--vae",), _MODEL, "VAE"),
    "weights.lcm_lora": Flag(("--lcm-lora",), _MODEL, "LORA"),
    "weights.loras": Flag(("--lora",), _MODEL, "LORA", repeatable=True),
    "weights.embeddings": Flag(("--embedding",), _MODEL, "FILE[:TOKEN]", repeatable=True),
    "weights.config": Flag(("--model-config",), _MODEL, "DIR"),
    "weights.allow_pickle": Flag(("--allow-pickle/--no-allow-pickle",), _MODEL),
    "compute.device": Flag(("--device",), _MODEL, "DEVICE"),
    "compute.dtype": Flag(("--dtype",), _MODEL),
    "compute.attention": Flag(("--attention",), _MODEL),
    "compute.accel": Flag(("--accel",), _MODEL),
    "lookahead": Flag(("--lookahead",), _MODEL, "FRAMES"),
    "translator": Flag(("--translator",), _MODEL),
    "input.hdr": Flag(("--hdr",), _INPUT),
    "input.deinterlace": Flag(("--deinterlace",), _INPUT),
    "input.background": Flag(("--background",), _INPUT, "COLOUR"),
    "input.live": Flag(("--live",), _INPUT),
    "input.rtsp_transport": Flag(("--rtsp-transport",), _INPUT),
    "input.timeout": Flag(("--timeout",), _INPUT, "SECONDS"),
    "input.reconnect": Flag(("--reconnect",), _INPUT, "N"),
    "input.on_error": Flag(("--on-error",), _INPUT),
    "input.references": Flag(("--references",), _INPUT),
    "input.hwaccel": Flag(("--hwaccel",), _INPUT),
    "output.codec": Flag(("--codec",), _ENCODING, "NAME"),
    "output.crf": Flag(("--crf",), _ENCODING),
    "output.preset": Flag(("--preset",), _ENCODING, "NAME"),
    "output.pix_fmt": Flag(("--pix-fmt",), _ENCODING, "NAME"),
    "output.side_by_side": Flag(("--side-by-side/--no-side-by-side",), _ENCODING),
    "output.audio": Flag(("--audio",), _ENCODING),
    "output.subtitles": Flag(("--subtitles",), _ENCODING),
    "output.metadata": Flag(("--metadata",), _ENCODING),
    "output.format": Flag(("--format",), _ENCODING),
    "output.rate": Flag(("--rate",), _ENCODING, "FPS"),
    "output.bitrate": Flag(("--bitrate",), _ENCODING, "BITS"),
    "output.keyint": Flag(("--keyint",), _ENCODING, "FRAMES"),
    "output.encoder_opt": Flag(("--encoder-opt",), _ENCODING, "NAME=VALUE", repeatable=True),
}
"""Dotted key -> its dedicated flag. Every other key is reached through --set."""


@dataclass(frozen=True)
class SettingsRequest:
    """What the command line says about settings, not yet resolved.

    Attributes:
        configs: names of presets or files, in the order given.
        sets: `key=value` texts, in the order given.
        flags: dotted key -> (flag, value) for the flags that were given.
    """

    configs: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    flags: Mapping[str, tuple[str, Any]] = field(default_factory=dict)

    def with_config(self, name: str | None) -> SettingsRequest:
        """The same with one more preset or file, below those given by --config."""
        return replace(self, configs=(name, *self.configs)) if name else self

    def files(self, settings: Settings) -> list[str]:
        """The files that the settings come from, and those of the model that they name."""
        from streamv2v_cli.models.vae import other_half

        weights = settings.weights
        loras = [lora.source for lora in weights.loras]
        names = [
            *self.configs,
            settings.model,
            weights.vae,
            str(other_half(Path(weights.vae)) or ""),
            weights.lcm_lora,
            weights.config,
            *loras,
            *(embedding.source for embedding in weights.embeddings),
            *(net.source for net in settings.control.nets),
            settings.control.video,
            *(image.source for image in settings.style.images),
            settings.style.adapter,
            settings.style.encoder,
            settings.frame.upscale,
            settings.mask.source,
        ]
        return [file for name in filter(None, names) for file in files_below(os.path.expanduser(name))]

    def resolve(self, *, recommend: bool = True) -> Resolved:
        """Put the layers together; with `recommend` those that the model recommends as well.

        Raises:
            ConfigError: a name, key or value is wrong.
        """
        return resolve(configs=self.configs, sets=self.sets, flags=self.flags, recommend=recommend)


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the command's `SettingsRequest` parameter by --config, --set and the flags of `FLAGS`."""
    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    target = next(name for name, hint in hints.items() if hint is SettingsRequest)
    parameters = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != target
    ]
    options = _settings_parameters()

    @wraps(command)
    def wrapper(**values: Any) -> None:
        given = {name: values.pop(name) for name in options}
        command(**{target: _request(given)}, **values)

    parameters += options.values()
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del wrapper.__wrapped__
    return wrapper


def _request(given: Mapping[str, Any]) -> SettingsRequest:
    flags: dict[str, tuple[str, Any]] = {}
    for key, flag in FLAGS.items():
        value = given[_parameter_name(key)]
        if value in (None, []):
            continue
        on, _, off = flag.names[0].partition("/")
        flags[key] = (off if off and value is False else on, value)
    return SettingsRequest(tuple(given["configs"] or ()), tuple(given["sets"] or ()), flags)


def _parameter_name(key: str) -> str:
    return f"setting_{key.replace('.', '_')}"


def _settings_parameters() -> dict[str, inspect.Parameter]:
    """The generated parameters by name, in the order in which the help lists them."""
    config = typer.Option(
        "--config",
        "-c",
        metavar="NAME|FILE",
        help=f"A preset ({', '.join(preset_names())}), a YAML file, or a video made by streamv2v; repeatable, "
        "later ones win.",
        autocompletion=complete_preset,
        rich_help_panel="Settings",
    )
    override = typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any option by its dotted key, such as bank.fuse.alpha=0.5; repeatable. "
        "`streamv2v config show` lists the keys.",
        autocompletion=complete_override,
        rich_help_panel="Settings",
    )
    parameters = [
        _parameter("configs", list[str] | None, config),
        _parameter("sets", list[str] | None, override),
        *(_flag_parameter(keys()[name], flag) for name, flag in FLAGS.items()),
    ]
    return {parameter.name: parameter for parameter in parameters}


def _flag_parameter(key: Key, flag: Flag) -> inspect.Parameter:
    option = setting_option(key.name)
    kind: Any = bool | None if key.is_switch else list[str] | None if flag.repeatable else str | None
    return _parameter(_parameter_name(key.name), kind, option)


def setting_option(name: str) -> Any:
    """The flag of a setting as a Typer option, for a command that takes a few settings only."""
    key, flag = keys()[name], FLAGS[name]
    return typer.Option(
        *flag.names,
        metavar=None if key.is_switch else flag.metavar or ("NAME" if key.choices else "NUMBER"),
        help=_help(key, flag),
        show_default=False,
        autocompletion=completer_of(key),
        rich_help_panel=flag.panel,
    )


def _parameter(name: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _help(key: Key, flag: Flag) -> str:
    """Description, choices or range, and default, with brackets escaped for rich."""
    limits = f"one of {', '.join(key.choices)}" if key.choices else key.range
    notes = "; ".join(filter(None, (limits, "repeatable" if flag.repeatable else default_of(key))))
    return (key.description.rstrip(".") + (f" [{notes}]" if notes else "")).replace("[", r"\[")


def default_of(key: Key) -> str:
    """What a setting is if nothing is said, such as `default 512`; empty where that is nothing.

    Where models recommend something else, it says what the embedded one does.
    """
    default = _plain(key.default)
    recommended = _recommended().get(key.name)
    if recommended is None:
        return f"default {default}" if key.default not in ("", None) else ""
    otherwise = "" if recommended == default else f", else {default}"
    return f"model decides; {keys()['model'].default}: {recommended}{otherwise}"


@cache
def _recommended() -> Mapping[str, str]:
    """What the embedded model recommends, by dotted key."""
    from streamv2v_cli.models.recommendations import recommended_settings

    return flatten(recommended_settings(keys()["model"].default), "the embedded model")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
