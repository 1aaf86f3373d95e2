"""The translator: frames in, restyled frames out, each exactly once and in order, like a codec with a delay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import torch

from streamv2v_cli.accel import TickCounts, choose_accel
from streamv2v_cli.accel.transfer import make_transfers
from streamv2v_cli.bank.attention import choose_backend
from streamv2v_cli.bank.layers import check_block_names
from streamv2v_cli.diffusion.control_pictures import control_pictures
from streamv2v_cli.diffusion.engine import Engine
from streamv2v_cli.diffusion.frame_options import FrameOptions
from streamv2v_cli.diffusion.groups import Group, GroupBuilder, InFlightFrame
from streamv2v_cli.diffusion.latents import LatentCodec
from streamv2v_cli.diffusion.motion_stage import MotionStage
from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch
from streamv2v_cli.diffusion.results import Results
from streamv2v_cli.diffusion.similar import SimilarFrameFilter
from streamv2v_cli.diffusion.style import cut_to
from streamv2v_cli.diffusion.tensors import picture_of
from streamv2v_cli.models.out_of_memory import explaining_lack_of_memory, too_little_memory
from streamv2v_cli.settings.sizes import model_frame_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamv2v_cli.diffusion.protocol import PromptChanges
    from streamv2v_cli.errors import DeviceError
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Translator"]


class Translator:
    """Restyles a stream of frames by prompt.

    A frame comes out S - 1 pushes after it went in (S denoising steps), with lookahead up to that many groups later;
    `flush` brings the rest. It may come out before its pixels have been computed: who asks for them waits, and the
    next frame can be pushed meanwhile. The frames may have any size, and the size may change in mid-stream:
    that drains the frames in flight and starts a new segment.

    Args:
        model: the model; its UNet gets the attention processors of this translator.
        settings: the whole configuration.
        live: the source cannot wait: `lookahead: auto` is then one frame.

    Raises:
        ConfigError: the settings do not fit the model.
        DeviceError: the attention backend or the acceleration cannot be used.

    Attributes:
        model: the model.
        engine: what moves the frames through the denoising steps; None before the first frame.
        codec: the model's VAE.
        frames_skipped: by the similar-frame filter.
        model_size: (width, height) in pixels that the model works at; None before the first frame.
        results: makes frames of what the model gives.
        ticks: how they ran, since the last reset.
        on_engine: is called with each new engine before its first frame; None for nobody who looks on.
    """

    def __init__(self, model: Model, settings: Settings, *, live: bool = False) -> None:
        self.model = model
        self._settings = settings
        _check(model, settings)
        self.ticks = TickCounts(choose_accel(settings.compute.accel, model.device))
        self._transfers = make_transfers(model.device)
        self.results = Results(settings, model, self._transfers, self._too_little_memory)
        self.codec = LatentCodec(model)
        self._similar = SimilarFrameFilter(settings.skip_similar)
        lookahead = settings.lookahead
        if lookahead == "auto":
            lookahead = 1 if live else settings.bank.interval
        self._groups = GroupBuilder(settings.bank, settings.diffusion.steps, lookahead)
        self.engine: Engine | None = None
        self._motion = MotionStage(settings.bank.motion, model.device)
        self.on_engine: Callable[[Engine], None] | None = None
        self._last: InFlightFrame | None = None
        self.frames_skipped = 0
        self.model_size: tuple[int, int] | None = None
        self._size = (0, 0)
        if model.loras is not None:
            model.loras.set_weights(self._first_loras)
        self._options = FrameOptions(model, settings)
        self._drained: list[Frame] = []

    @property
    def group_size(self) -> int:
        """Frames that go through the UNet side by side, at most."""
        return self._groups.group_size

    @property
    def bank_bytes(self) -> int:
        """Memory of the feature bank in bytes, with what style pictures pin; 0 before the first frame."""
        return self.engine.nbytes if self.engine else 0

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        **changes: Unpack[PromptChanges],
    ) -> None:
        """Change the prompt for the frames that are pushed from now on; frames in flight keep theirs.

        Args:
            prompt: the new prompt.
            negative_prompt: the new negative prompt; None keeps the present one.
            changes: what else changes; `mask` is for those that lay masks over what comes out, and nothing here.

        Raises:
            ConfigError: the strength leaves fewer timesteps than there are steps; nothing has changed then.
        """
        self._options.check(changes)
        if (loras := changes.get("loras")) is not None:
            self._set_loras(loras)
        if self._options.change(prompt, negative_prompt, changes):
            self._similar.reset()

    @property
    def _first_loras(self) -> list[float]:
        """The weights of LoRAs in the settings."""
        return [lora.weight for lora in self._settings.weights.loras]

    def _set_loras(self, weights: Sequence[float]) -> None:
        """Change the weights of the model for the frames to come; those before come out with the next push."""
        loras = self.model.loras
        if loras is None or tuple(weights) == loras.weights:
            return
        with explaining_lack_of_memory(self._too_little_memory):
            self._drained += self._drain()
            loras.set_weights(weights)
            self._options.forget_texts()
            self._similar.reset()
            self.codec.check_again()
            if self.engine is not None:
                self.engine.use_new_weights()

    def start_segment(self) -> None:
        """Let the next frame start afresh, without looking back: a scene cut, a reconnection."""
        self._groups.start_segment()
        self._similar.reset()

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """Forget everything that was pushed, so that a second run gives the same bits as the first.

        Args:
            stretch: which frames are pushed next.
        """
        self._groups.reset(stretch.first)
        self._similar.reset()
        self._drained.clear()
        self.results.reset()
        self._last = None
        self.frames_skipped = 0
        self.ticks.reset()
        if self.engine is not None:
            self.engine.reset()
        self._motion.reset()
        self._set_loras(self._first_loras)
        self._options.reset()

    def close(self) -> None:
        """Give the UNet its original attention processors back; the translator is of no use afterwards."""
        self.results.close()
        self._leave_engine()

    def _leave_engine(self) -> None:
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame.

        Returns:
            The frames that are finished, in order: none while the batch fills, several after a group.

        Raises:
            DeviceError: there is too little memory.
        """
        with explaining_lack_of_memory(self._too_little_memory):
            return self._push(frame)

    def flush(self) -> list[Frame]:
        """Bring out all frames that are still in flight; the next frame starts a new segment.

        Raises:
            DeviceError: there is too little memory.
        """
        with explaining_lack_of_memory(self._too_little_memory):
            return self._flush()

    def _too_little_memory(self) -> DeviceError:
        model, lookahead = self.model, self._groups.group_size
        return too_little_memory(self._settings, model.device, model.dtype, self._size, lookahead)

    def _push(self, frame: Frame) -> list[Frame]:
        finished = self._prepare_for(frame)
        picture = self.take_in(frame)
        if self._last is not None and self._similar.skips(picture):
            self.frames_skipped += 1
            self._groups.pass_over()
            return finished + self._repeat(self._last, frame)
        if self._groups.at_start or self._meets_other_features():
            finished += self._run(self._groups.close_group())
        self._similar.translated(picture)
        options = self._options
        self._last = self._groups.enter(frame, picture, options.prompt, options.schedule, options.mix)
        self._last.style = options.style
        if self.model.controls:
            self._last.control = self._control_pictures(frame)
        self._last.trace = self._motion.trace(frame, options.steady, starts=self._last.starts)
        return finished + self._run(self._groups.full_group())

    def _meets_other_features(self) -> bool:
        """Whether style pictures look otherwise to the next frame than to those of the group that it would join."""
        last = self._last
        return (
            last is not None
            and self._groups.waiting > 0
            and bool(self.model.styles)
            and self.model.adapter is None
            and self._options.gives_other_features(last)
        )

    def _flush(self) -> list[Frame]:
        finished = self._take_drained() + self._drain()
        self.start_segment()
        return finished

    def _drain(self) -> list[Frame]:
        """The frames in flight; the segment goes on."""
        finished = self._run(self._groups.close_group())
        while self.engine is not None and self.engine.busy:
            finished += self._finish(*self.engine.tick(None, None))
        return finished

    def _take_drained(self) -> list[Frame]:
        """What came out when the weights changed."""
        drained, self._drained = self._drained, []
        return drained

    def _prepare_for(self, frame: Frame) -> list[Frame]:
        """Build the engine for the size of a frame; brings out what another size has in flight."""
        size = model_frame_size(frame.width, frame.height, self._settings.frame, self.model.vae_factor)
        if size == self.model_size and self.engine is not None:
            return self._take_drained()
        finished = self._flush()
        self._leave_engine()
        self.model_size = self._size = size
        latent_size = size[1] // self.model.vae_factor, size[0] // self.model.vae_factor
        self.engine = Engine(
            self.model,
            self._settings,
            group=self._groups.group_size,
            latent_shape=(self.model.unet.config.in_channels, *latent_size),
            prompt=self._options.prompt,
            schedule=self._options.schedule,
            ticks=self.ticks,
            pictures=self._style_latents(),
        )
        self._motion.start(latent_size)
        if self.on_engine is not None:
            self.engine.compute_plainly()
            self.on_engine(self.engine)
        return finished

    def _repeat(self, last: InFlightFrame, frame: Frame) -> list[Frame]:
        """Give a frame the picture of the last translated one, now or when that one comes out."""
        if last.picture is None:
            last.frames.append((frame, self._options.mix))
            return []
        return [self.results.render(frame, self._options.mix, last)]

    def _run(self, group: Group | None) -> list[Frame]:
        """Send a group in and return the frames that come out."""
        if group is None or self.engine is None:
            return []
        latents = self.codec.encode([x.source for x in group.members])
        for member, source in zip(group.members, latents.split(1), strict=True):
            if member.trace is not None:
                member.trace.source = source
        return self._finish(*self.engine.tick(group, latents))

    def _finish(self, group: Group | None, latents: torch.Tensor) -> list[Frame]:
        """Decode the latents of a group that leaves."""
        if group is None:
            return []
        pictures = self.codec.checked(self.codec.decode(self._motion.fuse(group, latents)))
        finished = []
        for member, picture in zip(group.members, pictures.split(1), strict=True):
            self.results.finish(member, picture)
            finished += [self.results.render(frame, mix, member) for frame, mix in member.frames]
        self._transfers.keep_pace()
        return finished

    def take_in(self, frame: Frame) -> torch.Tensor:
        """The picture of a frame, (1, 3, height, width) from -1 to 1, on the device and in the model's size."""
        return picture_of(self._transfers.upload(frame.pixels), self._size)

    def _control_pictures(self, frame: Frame) -> torch.Tensor:
        """What the ControlNets are shown of a frame: (nets, 3, height, width) uint8, in the model's size."""
        pictures = control_pictures([net.preprocessor for net in self.model.controls], frame, self._size)
        return self._transfers.upload(pictures)

    def _style_latents(self) -> torch.Tensor | None:
        """Clean latents (pictures, C, h, w) of the middle of the style pictures; None without."""
        pictures = [cut_to(style.pixels, self._size) for style in self.model.styles]
        if not pictures:
            return None
        uploaded = [picture_of(self._transfers.upload(pixels), self._size) for pixels in pictures]
        return torch.cat([self.codec.encode([picture]) for picture in uploaded])


def _check(model: Model, settings: Settings) -> None:
    """Refuse before the first frame what the engine would refuse at it."""
    model_frame_size(64, 64, settings.frame, model.vae_factor)
    choose_backend(settings.compute.attention, model.device)
    check_block_names(model.unet, settings.bank.attention.layers, "bank.attention.layers")
    check_block_names(model.unet, settings.bank.fuse.layers, "bank.fuse.layers")
    check_block_names(model.unet, settings.style.layers, "style.layers")
