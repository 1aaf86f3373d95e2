"""The translator that the settings ask for."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from streamv2v_cli.transcode.beside import VideoBeside
from streamv2v_cli.transcode.control_video import ControlledTranslator

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings

__all__ = ["make_translator", "with_mask"]


def make_translator(
    settings: Settings, *, live: bool = False, trim: Trim | None = None, adjustable_loras: bool = False
) -> FrameTranslator:
    """The translator that the settings ask for; loads the model.

    Args:
        settings: the whole configuration.
        live: the source does not wait.
        trim: the part of the source that is taken.
        adjustable_loras: the weights of LoRAs change while it runs.

    Raises:
        StreamV2VError: the model cannot be found, loaded or used with these settings.
    """
    translator = with_mask(_single_translator(settings, live, trim, adjustable_loras), settings, trim)
    if settings.output.side_by_side:
        from streamv2v_cli.transcode.side_by_side import SideBySide

        return SideBySide(translator)
    return translator


def with_mask(translator: FrameTranslator, settings: Settings, trim: Trim | None = None) -> FrameTranslator:
    """The translator for a part of the picture, if the settings name a mask.

    Raises:
        UsageError, SourceError: the mask cannot be opened.
    """
    if settings.mask.source is None:
        return translator
    from streamv2v_cli.transcode.masked import MaskedTranslator

    return MaskedTranslator(translator, settings, trim)


def _single_translator(
    settings: Settings, live: bool, trim: Trim | None, adjustable_loras: bool
) -> FrameTranslator:
    if settings.translator == "passthrough":
        from streamv2v_cli.transcode.passthrough import PassthroughTranslator

        return PassthroughTranslator(settings)
    from streamv2v_cli.models import load_model

    with ExitStack() as stack:
        video = None
        if settings.control.takes_video and settings.control.video is not None:
            # Opened first, so that a file that is not there is reported without waiting for the model.
            video = stack.enter_context(closing(VideoBeside(settings.control.video, settings, trim)))
        model = load_model(settings, adjustable_loras=adjustable_loras)
        # Imported last, so that a model that is not there is reported without waiting for it.
        from streamv2v_cli.diffusion.translator import Translator

        translator = Translator(model, settings, live=live)
        stack.pop_all()
        return translator if video is None else ControlledTranslator(translator, video)
