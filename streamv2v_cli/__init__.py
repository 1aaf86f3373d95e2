"""Restyle videos and live streams with a stream-batched diffusion model and a feature bank.

The names in `__all__` are the public surface. They are imported when they are first used, so that
`import streamv2v_cli` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.translator import Translator
    from streamv2v_cli.errors import (
        ConfigError,
        DeviceError,
        MediaError,
        ModelError,
        ModelNotFoundError,
        SinkError,
        SourceError,
        StreamV2VError,
        UsageError,
    )
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.models.load import Model, load_model
    from streamv2v_cli.settings.resolve import Resolved, preset_names, to_yaml
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.configure import resolve

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "DeviceError",
    "Frame",
    "MediaError",
    "Model",
    "ModelError",
    "ModelNotFoundError",
    "Resolved",
    "Settings",
    "SinkError",
    "SourceError",
    "StreamV2VError",
    "Translator",
    "UsageError",
    "__version__",
    "load_model",
    "preset_names",
    "resolve",
    "to_yaml",
]

_MODULES = {
    "Frame": "frame",
    "Model": "models.load",
    "Resolved": "settings.resolve",
    "Settings": "settings.schema",
    "Translator": "diffusion.translator",
    "load_model": "models.load",
    "preset_names": "settings.resolve",
    "resolve": "transcode.configure",
    "to_yaml": "settings.resolve",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
