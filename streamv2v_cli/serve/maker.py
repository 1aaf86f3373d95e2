"""The translators of a session: they share a model that is loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.transcode.passthrough import PassthroughTranslator
from streamv2v_cli.transcode.translators import with_mask

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings, Weights

__all__ = ["TranslatorMaker"]


class TranslatorMaker:
    """Makes the translators of one session, one at a time; the model is loaded again when LoRAs weigh otherwise."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._weights: Weights | None = None

    def __call__(self, settings: Settings) -> FrameTranslator:
        """A translator for some settings, after the one before was closed.

        Raises:
            StreamV2VError: the model cannot be found, loaded or used with these settings.
        """
        if settings.translator == "passthrough":
            return with_mask(PassthroughTranslator(settings), settings)
        if self._model is None or settings.weights != self._weights:
            from streamv2v_cli.models import load_model

            self._model = None  # there may be no room for two
            self._model, self._weights = load_model(settings), settings.weights
        from streamv2v_cli.diffusion.translator import Translator

        return with_mask(Translator(self._model, settings, live=True), settings)
