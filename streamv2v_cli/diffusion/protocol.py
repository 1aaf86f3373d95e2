"""What a translator is, and a prompt on the way from one text to another; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict, Unpack

from streamv2v_cli.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamv2v_cli.accel import TickCounts

__all__ = [
    "WHOLE_RUN",
    "Curve",
    "FrameProcessor",
    "FrameTranslator",
    "PromptBlend",
    "PromptChanges",
    "Stretch",
    "TranslatorWrapper",
]

Curve = Literal["linear", "slerp"]
"""How text embeddings go from one prompt to another."""


@dataclass(frozen=True, slots=True)
class PromptBlend:
    """A prompt that is being left.

    Attributes:
        prompt, negative_prompt: what is left.
        share: of the way that has been gone, from 0 to 1.
        curve: the way of the text embeddings.
    """

    prompt: str
    negative_prompt: str
    share: float
    curve: Curve


class PromptChanges(TypedDict, total=False):
    """What `FrameTranslator.set_prompt` changes beside the texts; what is not there, or None, stays as it is.

    Attributes:
        strength: from 0 to 1.
        mix: share of the restyled picture in the output, from 0 to 1.
        steady: share of the frame before in motion fusion, from 0 to below 1.
        mask: how far the mask counts, from 0 to 1.
        style: weights of the style pictures, one for each, from 0 to 10.
        loras: weights of the LoRAs of the settings. All frames share them: those in flight come out first.
        blend: the prompt that is being left, and how much of the way is behind; without it the new one alone counts.
    """

    strength: float | None
    mix: float | None
    steady: float | None
    mask: float | None
    style: tuple[float, ...] | None
    loras: Sequence[float] | None
    blend: PromptBlend | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which frames of a run a translator is given from a reset on.

    Attributes:
        first: number of the first of them among the frames of the source.
        begin: time of frame 0, in seconds; None if that is the first of them.
        before: time of the frame before the first of them, in seconds; None if there is none.
        ends: the run ends with the last of them.
    """

    first: int = 0
    begin: Fraction | None = None
    before: Fraction | None = None
    ends: bool = True


WHOLE_RUN = Stretch()


class FrameProcessor(Protocol):
    """Frames in, frames out, each exactly once and in order."""

    @property
    def bank_bytes(self) -> int:
        """Memory of the feature bank in bytes; 0 before the first frame."""

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; the frames that are finished."""

    def flush(self) -> list[Frame]:
        """The frames in flight."""

    def start_segment(self) -> None:
        """Let the next frame not look back."""


class FrameTranslator(FrameProcessor, Protocol):
    """Restyles frames by a prompt that may change, and can begin again."""

    @property
    def frames_skipped(self) -> int:
        """Frames that reused the picture of a similar one."""

    @property
    def model_size(self) -> tuple[int, int] | None:
        """(width, height) that the model works at, once there was a frame; None without a model."""

    @property
    def ticks(self) -> TickCounts | None:
        """How its ticks ran since the last reset; None without a model."""

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        **changes: Unpack[PromptChanges],
    ) -> None:
        """Change the prompt for the frames that are pushed from now on."""

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """Forget everything that was pushed; `stretch` is pushed next."""

    def close(self) -> None:
        """End its work."""


class TranslatorWrapper:
    """Passes everything on to another translator; the base of those that add something to it.

    Args:
        translator: does the work.
    """

    def __init__(self, translator: FrameTranslator) -> None:
        self._translator = translator

    @property
    def bank_bytes(self) -> int:
        """See `FrameProcessor`."""
        return self._translator.bank_bytes

    @property
    def frames_skipped(self) -> int:
        """See `FrameTranslator`."""
        return self._translator.frames_skipped

    @property
    def model_size(self) -> tuple[int, int] | None:
        """See `FrameTranslator`."""
        return self._translator.model_size

    @property
    def ticks(self) -> TickCounts | None:
        """See `FrameTranslator`."""
        return self._translator.ticks

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        **changes: Unpack[PromptChanges],
    ) -> None:
        """See `FrameTranslator`."""
        self._translator.set_prompt(prompt, negative_prompt, **changes)

    def push(self, frame: Frame) -> list[Frame]:
        """See `FrameProcessor`."""
        return self._translator.push(frame)

    def flush(self) -> list[Frame]:
        """See `FrameProcessor`."""
        return self._translator.flush()

    def start_segment(self) -> None:
        """See `FrameProcessor`."""
        self._translator.start_segment()

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """See `FrameTranslator`."""
        self._translator.reset(stretch)

    def close(self) -> None:
        """See `FrameTranslator`."""
        self._translator.close()
