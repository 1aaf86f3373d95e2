"""Segments one after the other, by a translator of this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streamv2v_cli.fleet.segment import translate_segment
from streamv2v_cli.fleet.survey import survey
from streamv2v_cli.reports.waiting import Waiting
from streamv2v_cli.transcode.progress import Progress
from streamv2v_cli.transcode.translators import make_translator

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.fleet.output import SegmentedOutput
    from streamv2v_cli.fleet.plan import Segment
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.interruption import Interruption
    from streamv2v_cli.transcode.pipeline import Statistics
    from streamv2v_cli.transcode.restyle import Outcome

__all__ = ["LocalWorker"]


class LocalWorker:
    """Makes outputs segment by segment; the model is loaded when the first is due.

    Args:
        settings: the whole configuration.
        trim: the part of the inputs that is taken.
        progress: show the progress.
        adjustable_loras: the weights of LoRAs change within inputs.

    Attributes:
        loading: seconds that the model took to load.
    """

    def __init__(
        self, settings: Settings, trim: Trim, *, progress: bool, adjustable_loras: bool = False
    ) -> None:
        self._settings, self._trim, self._progress = settings, trim, progress
        self._adjustable_loras = adjustable_loras
        self._translator: FrameTranslator | None = None
        self.loading = 0.0

    def load(self) -> FrameTranslator:
        """The translator, whose model is loaded unless it was.

        Raises:
            StreamV2VError: the model cannot be loaded.
        """
        if self._translator is None:
            before = time.monotonic()
            with Waiting(f"loading the model {self._settings.model}", enabled=self._progress):
                self._translator = make_translator(
                    self._settings, trim=self._trim, adjustable_loras=self._adjustable_loras
                )
            if self._settings.translator == "diffusion":
                self.loading = time.monotonic() - before
        return self._translator

    def perform(self, output: SegmentedOutput, interruption: Interruption, started: float) -> Outcome:
        """Make an output, or as much of it as there is before an interruption.

        Raises:
            StreamV2VError: it failed; finished segments are kept.
        """
        stop = interruption.event
        if output.survey is None:
            with Waiting("looking for scenes", enabled=self._progress) as waiting:

                def go_on(frames: int) -> bool:
                    if not frames % 100:
                        waiting.say(f"looking for scenes: {frames} frames")
                    return not stop.is_set()

                found = survey(output.task, go_on)
            if found is None:
                return output.interrupt(interruption.exit_code or 1)
            output.note_survey(found)
        if output.missing():
            self.load()
        output.begin()
        assert output.survey is not None
        with Progress(output.survey.frames, enabled=self._progress) as display:
            for segment in output.missing():

                def watch(statistics: Statistics, segment: Segment = segment) -> None:
                    output.follow(segment, statistics.frames_out)
                    display.update(output.statistics)

                result = translate_segment(
                    output.task,
                    output.survey,
                    segment,
                    self.load(),
                    output.folder.segment(segment.index),
                    stop=stop,
                    watch=watch,
                )
                if result is None:
                    return output.interrupt(interruption.exit_code or 1)
                output.settle(segment, result)
        return output.complete(started=started, loading=self.loading)

    def close(self) -> None:
        """Give the model back."""
        if self._translator is not None:
            self._translator.close()
