"""What the shell proposes for the values of settings. Torch is not imported for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from streamv2v_cli.settings.keys import Key, keys
from streamv2v_cli.settings.picture_options import UPSCALE_METHODS
from streamv2v_cli.settings.resolve import preset_names

__all__ = ["complete_override", "complete_preset", "completer_of"]


def completer_of(key: Key) -> Callable[[str], list[str]] | None:
    """What completes the value of a flag; None if any text may stand there."""
    if key.choices:
        return lambda incomplete: _beginning(key.choices, incomplete)
    found = _VALUES.get(key.name)
    return None if found is None else lambda incomplete: _beginning(found(), incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _style_names() -> list[str]:
    from streamv2v_cli.models.styles import read_styles

    book = read_styles(keys()["model"].default)
    return [style.name for style in book.styles] if book else []


def _model_names() -> list[str]:
    from streamv2v_cli.models.catalog import CATALOG

    return list(CATALOG)


def _video_encoders() -> list[str]:
    from streamv2v_cli.bench.doctor import ENCODERS

    return ["auto", *ENCODERS]


_VALUES: Mapping[str, Callable[[], Iterable[str]]] = {
    "prompt": _style_names,
    "model": _model_names,
    "frame.size": lambda: ("native",),
    "frame.output_size": lambda: ("source", "model"),
    "frame.upscale": lambda: UPSCALE_METHODS,
    "mask.source": lambda: ("alpha",),
    "weights.vae": lambda: ("auto", "own"),
    "weights.lcm_lora": lambda: ("auto", "none"),
    "compute.device": lambda: ("auto", "cpu", "cuda", "mps"),
    "output.codec": _video_encoders,
}
"""What is proposed where any text may stand; looked up when somebody asks, and without torch."""


def complete_override(incomplete: str) -> list[str]:
    """Keys with an equals sign, or the choices of a key that is written out."""
    name, equals, value = incomplete.partition("=")
    if not equals:
        return _beginning((f"{key}=" for key in keys()), incomplete)
    complete = completer_of(keys()[name]) if name in keys() else None
    return [f"{name}={found}" for found in (complete(value) if complete else ())]


def complete_preset(incomplete: str) -> list[str]:
    """The presets that `--config` and `config show` take."""
    return _beginning(preset_names(), incomplete)
