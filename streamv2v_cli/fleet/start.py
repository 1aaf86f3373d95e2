"""What all workers of a cluster are given, and how one is started."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import UsageError
from streamv2v_cli.fleet.work import Worker
from streamv2v_cli.fleet.worker import SegmentWorker, versions

if TYPE_CHECKING:
    from streamv2v_cli.fleet.cluster import Share
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings

__all__ = ["FleetOptions", "start_worker"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FleetOptions:
    """What holds for all workers.

    Attributes:
        settings: the whole configuration.
        trim: the part of the inputs that is taken.
        models: digests of the model's files.
        ship: inputs and segments are sent; otherwise they are at the same path everywhere.
        adjustable_loras: the weights of LoRAs change within inputs.

    Raises:
        UsageError: what is read beside the inputs, or what they refer to, would not be sent.
    """

    settings: Settings
    trim: Trim
    models: Mapping[str, str]
    ship: bool = False
    adjustable_loras: bool = False

    def __post_init__(self) -> None:
        references = self.settings.input.references
        if self.ship and references != "none":
            raise UsageError(
                f"--ship sends inputs alone, and not the files that --references {references} lets them open.",
                "Use a folder that all machines share, without --ship.",
            )
        beside = (("--mask", self.settings.mask.source), ("--control-video", self.settings.control.video))
        for option, name in beside:
            if self.ship and name is not None and os.path.exists(name):
                raise UsageError(
                    f"--ship sends inputs alone, and not what {option} names.",
                    "Use a folder that all machines share, without --ship.",
                )


def start_worker(ray: Any, share: Share, options: FleetOptions, run: str) -> Worker:
    """Ask the cluster for a worker, which loads its model once it is there.

    Args:
        ray: connected.
        share: what the worker gets of a machine.
        options: what holds for all workers.
        run: tells the run from others.
    """
    actor = (
        ray.remote(SegmentWorker)
        .options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_concurrency=8,
            scheduling_strategy="SPREAD",
        )
        .remote(
            run,
            options.settings,
            options.trim,
            os.getcwd(),
            log.getEffectiveLevel(),
            options.adjustable_loras,
        )
    )
    return Worker(actor, actor.prepare.remote(versions(), dict(options.models)))
