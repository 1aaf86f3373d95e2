"""The translators of a session: they share a model that is loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.transcode.passthrough import PassthroughTranslator
from streamv2v_cli.transcode.translators import with_mask

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["TranslatorMaker"]


class TranslatorMaker:
    """Makes the translators of one session, one at a time; LoRAs have the weights that the last one gave them."""

    def __init__(self) -> None:
        self._model: Model | None = None

    def __call__(self, settings: Settings) -> FrameTranslator:
        """A translator for some settings, after the one before was closed.

        Raises:
            StreamV2VError: the model cannot be found, loaded or used with these settings.
        """
        if settings.translator == "passthrough":
            return with_mask(PassthroughTranslator(settings), settings)
        if self._model is None:
            from streamv2v_cli.models import load_model

            self._model = load_model(settings, adjustable_loras=True)
        from streamv2v_cli.diffusion.translator import Translator

        return with_mask(Translator(self._model, settings, live=True), settings)
