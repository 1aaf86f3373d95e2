"""What a run would fetch from the Hugging Face Hub, before it does. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.choices import find_model
from streamv2v_cli.models.hub.fetch import Download, obtain_model, plan_download
from streamv2v_cli.models.hub.needs import Need
from streamv2v_cli.models.locate import describe_model

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["downloads_for"]


def downloads_for(runs: Iterable[Settings], needs: Iterable[Need] = ()) -> list[Download]:
    """What runs with these settings would fetch, and further parts; nothing for what is on this machine.

    Of each model the configurations, some kilobytes, are fetched: they tell what else it needs.

    Raises:
        ModelNotFoundError: offline, unreachable, unknown or gated.
        ModelError: a part that was named cannot be used.
    """
    wanted = {need.source.hub_id: need for settings in runs for need in _needs_of(settings)}
    wanted |= {need.source.hub_id: need for need in needs}
    return [plan_download(need) for need in wanted.values() if need.path is None]


def _needs_of(settings: Settings) -> list[Need]:
    source, _ = find_model(settings.model)
    if source.hub_id is not None:
        obtain_model(source, (), allow_pickle=settings.weights.allow_pickle)
    parts = describe_model(settings).parts
    for part in parts:
        if part.missing:
            raise ModelError(part.remark)
    return [part.need for part in parts if part.need is not None]
