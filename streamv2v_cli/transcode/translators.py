"""The translator that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.settings.schema import Settings

__all__ = ["make_translator", "with_mask"]


def make_translator(
    settings: Settings, *, live: bool = False, start: Fraction | None = None
) -> FrameTranslator:
    """The translator that the settings ask for; loads the model.

    Args:
        settings: the whole configuration.
        live: the source does not wait.
        start: where it begins, in seconds after its first frame; for a mask that moves.

    Raises:
        StreamV2VError: the model cannot be found, loaded or used with these settings.
    """
    translator = with_mask(_single_translator(settings, live=live), settings, start)
    if settings.output.side_by_side:
        from streamv2v_cli.transcode.side_by_side import SideBySide

        return SideBySide(translator)
    return translator


def with_mask(
    translator: FrameTranslator, settings: Settings, start: Fraction | None = None
) -> FrameTranslator:
    """The translator for a part of the picture, if the settings name a mask.

    Raises:
        UsageError, SourceError: the mask cannot be opened.
    """
    if settings.mask.source is None:
        return translator
    from streamv2v_cli.transcode.masked import MaskedTranslator

    return MaskedTranslator(translator, settings.mask, start)


def _single_translator(settings: Settings, *, live: bool) -> FrameTranslator:
    if settings.translator == "passthrough":
        from streamv2v_cli.transcode.passthrough import PassthroughTranslator

        return PassthroughTranslator(settings)
    from streamv2v_cli.models import load_model

    model = load_model(settings)
    # Imported last, so that a model that is not there is reported without waiting for it.
    from streamv2v_cli.diffusion.translator import Translator

    return Translator(model, settings, live=live)
