"""Measuring the cells of an ablation that are not there yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from streamv2v_cli.accel.device import pick_device
from streamv2v_cli.analysis.ablation.cache import CellFile, key_of
from streamv2v_cli.analysis.ablation.report import AblationResult
from streamv2v_cli.analysis.ablation.tables import Cell, Table, Variant, changed, measure
from streamv2v_cli.logs import say
from streamv2v_cli.metrics import choose_flow
from streamv2v_cli.reports.waiting import Waiting
from streamv2v_cli.settings.schema import Settings

__all__ = ["Work"]


class Work:
    """Loads the models when the first cell needs them.

    Attributes:
        device: where they run.

    Args:
        settings: where a table does not vary them.
        folder: holds finished cells.
        frames: of each clip, so many only; None for all.
        clip: a CLIP model that judges as well.
        flow: finds the motion: `dis` or `raft`.
        flow_weights: of RAFT, as a file; None for the published ones.
        verbose: say on stderr what is measured.
        progress: show it there.

    Raises:
        StreamV2VError: the device, the model or a clip cannot be had, or a cell cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        frames: int | None,
        clip: str | None,
        flow: str,
        flow_weights: str | None,
        *,
        verbose: bool,
        progress: bool,
    ) -> None:
        self._settings, self._frames, self._clip = settings, frames, clip
        self._flow, self._flow_weights = flow, flow_weights
        self._verbose, self._progress = verbose, progress
        self._cells = CellFile(folder)
        self._measure: Callable[[Settings, str], Cell] | None = None
        self.device = str(pick_device(settings.compute.device))

    def results(self, inputs: Sequence[str], tables: Sequence[Table]) -> list[AblationResult]:
        """All tables, with all cells."""
        return [
            AblationResult(
                table,
                {
                    variant.name: {video: self._cell(table, variant, video) for video in inputs}
                    for variant in table.variants
                },
            )
            for table in tables
        ]

    def _cell(self, table: Table, variant: Variant, video: str) -> Cell:
        settings = changed(self._settings, variant.changes)
        key = key_of(settings, video, self._frames, self._clip, self.device, self._flow, self._flow_weights)
        if (cell := self._cells.get(key)) is not None:
            return cell
        self._say(f"{table.key}, {variant.name}: {video}")
        self._measure = self._measure or self._loaded()
        cell = self._measure(settings, video)
        self._cells.put(key, cell)
        return cell

    def _loaded(self) -> Callable[[Settings, str], Cell]:
        from streamv2v_cli.models import load_model

        flow = choose_flow(self._flow, self._flow_weights, lambda: self.device, self._say)
        with Waiting(f"loading the model {self._settings.model}", enabled=self._progress):
            model = load_model(self._settings)
        judge = None
        if self._clip is not None:
            from streamv2v_cli.metrics.clip import ClipScore, obtain_clip
            from streamv2v_cli.models.quiet import quiet

            folder = obtain_clip(self._clip)
            with quiet():
                judge = ClipScore(folder, self._settings.prompt, model.device)
        return lambda settings, video: measure(
            model, settings, video, frames=self._frames, flow=flow, clip=judge, progress=self._progress
        )

    def _say(self, line: str) -> None:
        if self._verbose:
            say(line)
