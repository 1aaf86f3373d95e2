"""What every look into the feature bank needs: its layers, and frames that go through one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ConfigError, UsageError
from streamv2v_cli.transcode.scenes import CutDetector
from streamv2v_cli.transcode.segments import Segments

if TYPE_CHECKING:
    from streamv2v_cli.bank.layers import AttentionLayer
    from streamv2v_cli.diffusion.engine import Engine
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Player", "banked_layers", "choose_layer"]

log = logging.getLogger(__name__)


def choose_layer(unet: Any, settings: Settings, name: str | None) -> AttentionLayer:
    """The layer of a name, or the last one of a block; without a name the last of the finest that attend to the bank.

    Raises:
        ConfigError: there is no bank.
        UsageError: no layer with a bank has this name; says which have.
    """
    layers = banked_layers(unet, settings)
    if name is not None:
        fitting = [layer for layer in layers if name in (layer.name, layer.block)]
        if not fitting:
            blocks = ", ".join(dict.fromkeys(layer.block for layer in layers))
            names = "\n  ".join(layer.name for layer in layers)
            raise UsageError(
                f"No layer with a bank is called {name!r}.",
                f"Name one of the blocks {blocks}, or one of the layers\n  {names}",
            )
        return fitting[-1]
    from streamv2v_cli.bank.layers import select_layers

    attending = select_layers(unet, settings.bank.attention.layers, "bank.attention.layers")
    candidates = [layer for layer in layers if layer.name in attending] or layers
    finest = min(layer.level for layer in candidates)
    return [layer for layer in candidates if layer.level == finest][-1]


def banked_layers(unet: Any, settings: Settings) -> list[AttentionLayer]:
    """The layers with a bank, in the order in which the UNet goes through them."""
    from streamv2v_cli.bank.layers import attention_layers, select_layers

    bank = settings.bank
    if bank.kind == "none":
        raise ConfigError("bank.kind is none: there is no bank to show.", "Use --bank dyme or queue.")
    names = select_layers(unet, bank.attention.layers, "bank.attention.layers")
    names |= select_layers(unet, bank.fuse.layers, "bank.fuse.layers")
    layers = [layer for layer in attention_layers(unet) if layer.name in names]
    if not layers:
        raise ConfigError("No layer attends to the bank or fuses with it.", "See bank.attention.layers.")
    order = {"down": 0, "mid": 1, "up": 2}
    return sorted(layers, key=lambda layer: order[layer.block.partition(".")[0]])


class Player:
    """Sends frames through a translator one by one.

    Attributes:
        count: frames that were sent.
        came_out: frames that came out at the last one.
        source_size: (width, height) of the frame that is being sent.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        from streamv2v_cli.diffusion.translator import Translator

        if settings.skip_similar.enabled:
            log.warning("Every frame is translated here: skip_similar is off.")
        if settings.compute.accel not in ("auto", "none"):
            # What a graph replays or a compiler has fused calls no hooks.
            log.warning("The bank is read from ticks that run without acceleration: compute.accel is none.")
        similar = settings.skip_similar.model_copy(update={"enabled": False})
        compute = settings.compute.model_copy(update={"accel": "none"})
        settings = settings.model_copy(update={"lookahead": 1, "skip_similar": similar, "compute": compute})
        self._settings, self._translator = settings, Translator(model, settings)
        self._place = 0
        self.count = self.came_out = 0
        self.source_size = (0, 0)

    def on_engine(self, watch: Callable[[Engine], None]) -> None:
        """Call `watch` with each new engine."""
        self._translator.on_engine = watch

    def frames(self, frames: Iterator[Frame]) -> Iterator[tuple[int, Frame, bool]]:
        """Number of each frame, the frame, and whether a segment begins with it; all after it was sent."""
        segments = Segments(self._translator, CutDetector() if self._settings.bank.reset_on_cut else None)
        for index, frame in enumerate(frames):
            self.source_size = (frame.width, frame.height)
            begins = segments.opens_scene(frame)
            size = self._translator.model_size
            self.came_out = len(self._translator.push(frame))
            begins = begins or size != self._translator.model_size
            self._place = 0 if begins else self._place + 1
            self.count = index + 1
            yield index, frame, begins

    def enters_bank(self, row: int) -> bool:
        """Whether the frame that was sent last enters that row of the bank, one for each denoising step."""
        from streamv2v_cli.diffusion.groups import bank_updates

        return bank_updates(self._settings.bank, self._settings.diffusion.steps, self._place)[row]

    def finish(self) -> int:
        """Bring out the frames in flight; how many there were."""
        return len(self._translator.flush())

    def close(self) -> None:
        """Give the UNet back as it was."""
        self._translator.close()
