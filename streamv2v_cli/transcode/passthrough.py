"""A translator that changes nothing: it checks a pipeline without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch
from streamv2v_cli.errors import UsageError

if TYPE_CHECKING:
    from streamv2v_cli.accel import TickCounts
    from streamv2v_cli.diffusion.protocol import PromptChanges
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.settings.schema import Settings

__all__ = ["PassthroughTranslator"]


class PassthroughTranslator:
    """Gives each frame back at once, resampled if `frame.output_size` names another size.

    Raises:
        UsageError: `frame.output_size` is `model`, and there is none.
    """

    bank_bytes = 0
    frames_skipped = 0
    model_size: tuple[int, int] | None = None
    ticks: TickCounts | None = None

    def __init__(self, settings: Settings) -> None:
        self._output_size = settings.frame.output_size
        if self._output_size == "model":
            raise UsageError(
                "The output size 'model' needs a model.",
                "Use --output-size source or WIDTHxHEIGHT.",
            )

    def push(self, frame: Frame) -> list[Frame]:
        """The frame, in the output size."""
        if self._output_size == "source":
            return [frame]
        width, height = map(int, self._output_size.split("x"))
        from streamv2v_cli.media.picture.resize import resized

        return [frame.with_pixels(resized(frame.pixels, (width, height)))]

    def flush(self) -> list[Frame]:
        """Nothing: no frame is ever in flight."""
        return []

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """Nothing to forget."""

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        **changes: Unpack[PromptChanges],
    ) -> None:
        """Prompts change nothing here."""

    def start_segment(self) -> None:
        """Every frame stands alone here."""

    def close(self) -> None:
        """Nothing to give back."""
