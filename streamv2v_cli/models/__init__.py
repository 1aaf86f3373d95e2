"""Models: where they are, and how they become a `Model` that the engine can run.

Nothing heavy is imported until a name is used, so `locate` and `recommendations` stay free of torch and diffusers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamv2v_cli.models.load import load_model
    from streamv2v_cli.models.locate import ModelPlan, PlannedPart, describe_model
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.models.recommendations import recommended_settings

__all__ = ["Model", "ModelPlan", "PlannedPart", "describe_model", "load_model", "recommended_settings"]

_HOMES = {
    "Model": "model",
    "ModelPlan": "locate",
    "PlannedPart": "locate",
    "describe_model": "locate",
    "load_model": "load",
    "recommended_settings": "recommendations",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
