"""The settings of a run: the layers of the configuration, with what models recommend and videos remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamv2v_cli.settings.resolve import Resolved
from streamv2v_cli.settings.resolve import resolve as resolve_layers

__all__ = ["resolve"]


def resolve(
    *,
    configs: Sequence[str] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, tuple[str, Any]] | None = None,
    recommend: bool = True,
) -> Resolved:
    """Resolve the layers into settings as the commands do; later entries of a layer win over earlier ones.

    Args:
        configs: names of presets, or paths of YAML files or of videos made by this program.
        sets: `key=value` texts with dotted keys; the value is a YAML scalar, list or mapping.
        flags: dotted key -> (name of the flag, value).
        recommend: take over what the model recommends where nothing else is said.

    Raises:
        ConfigError: a preset or file cannot be found or read, a key is unknown, a value is of the wrong type
            or out of range.
        ModelNotFoundError: `model` looks like a path and is not there.
    """
    return resolve_layers(
        configs=configs,
        sets=sets,
        flags=flags,
        recommend=_recommended if recommend else None,
        read_comment=_comment_of,
    )


def _recommended(model: str, quality: str, device: str) -> Mapping[str, Any]:
    from streamv2v_cli.models.recommendations import recommended_settings

    return recommended_settings(model, quality, device)


def _comment_of(name: str) -> Mapping[str, Any]:
    # Imported late: it needs PyAV, which `--help` must not wait for.
    from streamv2v_cli.media.provenance import read_comment

    read: Callable[[str], Mapping[str, Any]] = read_comment
    return read(name)
