"""The parts that a tick needs for one picture size: stream batch, feature bank and prompts around one UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from streamv2v_cli import bank
from streamv2v_cli.accel import PlainRunner, TickCounts, TickRunner, make_runner
from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.bank.attention import choose_backend
from streamv2v_cli.bank.layers import AttentionLayer
from streamv2v_cli.diffusion.batch_prompts import BatchPrompts
from streamv2v_cli.diffusion.conditioning import Conditioning, added_conditions, guidance_embedding
from streamv2v_cli.diffusion.control import ControlNets
from streamv2v_cli.diffusion.groups import Group
from streamv2v_cli.diffusion.prompts import Prompt, TextEmbedding
from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.stream_batch import StreamBatch, batch_stages
from streamv2v_cli.diffusion.style import StylePictures

if TYPE_CHECKING:
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Engine"]


class Engine:
    """Moves groups of frames through the denoising steps of one UNet at one size.

    Installs its attention processors in the UNet; `close` puts the original ones back.

    Args:
        model: the model.
        settings: the whole configuration.
        group: frames in a group at most.
        latent_shape: (C, h, w) of the latents.
        prompt, schedule: a prompt and a denoising schedule to allocate for.
        ticks: says how ticks are run, and counts how they ran.
        pictures: (pictures, C, h, w) clean latents of the style pictures; None without.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        *,
        group: int,
        latent_shape: tuple[int, int, int],
        prompt: Prompt,
        schedule: Schedule,
        ticks: TickCounts,
        pictures: torch.Tensor | None = None,
    ) -> None:
        diffusion = settings.diffusion
        self._model = model
        self._seed = settings.seed
        self._group = group
        self._fresh_noise = diffusion.fresh_noise
        self._stages = batch_stages(diffusion.steps, diffusion.guidance.kind)
        self._in_flight: list[Group | None] = [None] * (diffusion.steps - 1)
        self._prompts = BatchPrompts(model.unet, len(self._stages) * group, prompt.embedding)
        added = added_conditions(self._prompts.pooled, latent_shape, model.vae_factor)
        self.bank = bank.FeatureBank(
            model.unet,
            settings.bank,
            rows=len(self._stages),
            group=group,
            latent_size=latent_shape[1:],
            seed=settings.seed,
            device=model.device,
            dtype=model.dtype,
        )
        self._controls = None
        if model.controls:
            self._controls = ControlNets(
                model.controls,
                [step for step, _ in self._stages],
                steps=diffusion.steps,
                group=group,
                latent_size=latent_shape[1:],
                device=model.device,
                dtype=model.dtype,
            )
        self.batch = StreamBatch(
            model.unet,
            schedule,
            diffusion.guidance,
            group=group,
            latent_shape=latent_shape,
            hidden=self._prompts.hidden,
            added=added,
            controls=self._controls,
            timestep_cond=guidance_embedding(model.unet, diffusion.guidance.embedded_scale),
            add_noise=diffusion.add_noise,
            device=model.device,
            dtype=model.dtype,
        )
        self.latent_shape = latent_shape
        self._clean = torch.zeros_like(self.batch.latents[0])
        self._fixed_noise = torch.stack(
            [noise(latent_shape, self._seed, "noise", step) for step in range(diffusion.steps)]
        )[:, None]
        self.batch.set_noise(self._fixed_noise)
        self._styles = None
        if pictures is not None:
            self._noise_of_pictures = self._fixed_noise.to(self.batch.noise)
            self._styles = StylePictures(
                model, settings.style, stages=self._stages, group=group, latents=pictures
            )
        backend = choose_backend(settings.compute.attention, model.device)

        def processor(layer: AttentionLayer) -> bank.StreamAttnProcessor:
            styles = self._styles.for_layer(layer) if self._styles is not None else (None, None)
            return bank.StreamAttnProcessor(
                backend,
                self.bank.for_layer(layer),
                self._prompts.for_layer(layer),
                bank.join_projections(layer.module) if layer.is_self else None,
                *styles,
            )

        bank.install(model.unet, processor)
        self._conditioning = self._new_conditioning()
        batch, clean = self.batch, self._clean
        # No method of this engine, which would keep its memory until Python looks for cycles.
        self.work = lambda: batch.tick(clean)
        self._ticks = ticks
        self._optional = settings.compute.accel == "auto"
        self.runner = self._new_runner()

    def _new_conditioning(self) -> Conditioning:
        """What the UNet computes from timesteps and prompts alone, of the present buffers."""
        batch, unet = self.batch, self._model.unet
        return Conditioning(
            unet, batch.schedule.timesteps, batch.timestep_cond, batch.hidden, batch.added, self._model.dtype
        )

    def _new_runner(self) -> TickRunner:
        return make_runner(self._ticks.accel, self.work, self._model.device, optional=self._optional)

    @property
    def nbytes(self) -> int:
        """Bytes of the bank, and of what is pinned."""
        return self.bank.nbytes + (0 if self._styles is None else self._styles.nbytes)

    @property
    def busy(self) -> bool:
        """Whether a group has entered and not left."""
        return any(group is not None for group in self._in_flight)

    def reset(self) -> None:
        """Forget all frames."""
        self._in_flight = [None] * len(self._in_flight)
        self.bank.reset()
        self.batch.reset()
        self._prompts.release()
        if self._controls is not None:
            self._controls.reset()

    def use_new_weights(self) -> None:
        """Compute anew what is kept of timesteps, after weights of the UNet changed and before the next frame enters.

        What is kept of prompts and style pictures follows with the next frames, whose embeddings must be new objects.
        """
        self._conditioning.refresh()

    def close(self) -> None:
        """Give the UNet its own modules and attention processors back."""
        self._conditioning.close()
        if self._controls is not None:
            self._controls.close()
        bank.restore(self._model.unet)

    @torch.no_grad()
    def tick(self, entering: Group | None, latents: torch.Tensor | None) -> tuple[Group | None, torch.Tensor]:
        """Let a group in, move all groups one denoising step on, let a group out.

        Args:
            entering: the group that enters; None while draining.
            latents: (frames, C, h, w) clean latents of its frames.

        Returns:
            The group that leaves, None while the batch fills, and the (frames, C, h, w) clean latents of its frames:
            float32, or float64 of a model in float64.
        """
        stages = [entering, *self._in_flight]
        self._clean.zero_()
        if latents is not None:
            # Frames sit at the end of the group's places; places before them are padding that nobody looks at.
            self._clean[self._group - len(latents) :] = latents
        if self._controls is not None:
            self._controls.enter(_control_of(entering))
        self.prepare(stages)
        clean = self.compute()
        self._in_flight = stages[:-1]
        leaving = stages[-1]
        return leaving, clean[self._group - (len(leaving.members) if leaving else 0) :]

    def compute(self) -> torch.Tensor:
        """Run the tick that everything is prepared for: (group, C, h, w) clean latents."""
        variant = self.bank.step.variant
        if self._styles is not None:
            variant = replace(variant, pinned=self._styles.step.use)
        clean = self.runner(variant)
        self._ticks.add(self.runner.plain_reason)
        return clean

    def compute_plainly(self) -> None:
        """Run all further ticks as they are written: for those who look on, whose hooks no graph contains."""
        self.runner = PlainRunner(self.work)

    def prepare(self, stages: Sequence[Group | None]) -> None:
        """Bring everything up to date that a tick reads: bank, prompts, schedules and noise.

        Args:
            stages: the group at each denoising step; None where there is none.
        """
        self.bank.prepare([_event(stages[step], step) for step, _ in self._stages])
        embeddings = self._embeddings(stages)
        if self._prompts.fit(embeddings):
            self._take_new_buffers()
        new_prompts = self._prompts.assign(embeddings)
        new_schedules = self.batch.schedule.assign(self._schedules(stages))
        if new_schedules or (new_prompts and self._conditioning.depends_on_prompts):
            self._conditioning.refresh()
        if self._styles is not None:
            self._styles.prepare(
                self._style_weights(stages),
                self.batch,
                self._noise_of_pictures,
                changed=new_prompts or new_schedules,
            )
        if self._fresh_noise:
            self.batch.set_noise(self._noise_of(stages))

    def _take_new_buffers(self) -> None:
        """Read prompts from where they lie now; ticks that were captured or compiled read them where they lay."""
        self.batch.hidden = self._prompts.hidden
        self._conditioning = self._new_conditioning()
        if self.runner.name != "none":
            self.runner = self._new_runner()

    def _embeddings(self, stages: Sequence[Group | None]) -> list[TextEmbedding | None]:
        """The prompt embedding of each entry of the UNet batch; None for padding."""
        embeddings: list[TextEmbedding | None] = []
        for step, negative in self._stages:
            group = stages[step]
            prompts = [member.prompt for member in group.members] if group else []
            embeddings += [None] * (self._group - len(prompts))
            embeddings += [prompt.negative if negative else prompt.embedding for prompt in prompts]
        return embeddings

    def _style_weights(self, stages: Sequence[Group | None]) -> list[tuple[float, ...] | None]:
        """The weights of the style pictures for each entry of the UNet batch; None for padding."""
        weights: list[tuple[float, ...] | None] = []
        for step, _ in self._stages:
            group = stages[step]
            members = group.members if group else []
            weights += [None] * (self._group - len(members))
            weights += [member.style for member in members]
        return weights

    def _schedules(self, stages: Sequence[Group | None]) -> list[Schedule | None]:
        """The schedule of the frame in each place of the stream batch; None for padding."""
        schedules: list[Schedule | None] = []
        for group in stages:
            members = group.members if group else []
            schedules += [None] * (self._group - len(members))
            schedules += [member.schedule for member in members]
        return schedules

    def _noise_of(self, stages: Sequence[Group | None]) -> torch.Tensor:
        """New noise for every frame: what it gets on entering, and on entering its next step."""
        drawn = self._fixed_noise.repeat(1, self._group, 1, 1, 1)
        for step in range(len(stages)):
            group = stages[max(step - 1, 0)]
            for place, member in enumerate(reversed(group.members if group else [])):
                drawn[step, -1 - place] = noise(self.latent_shape, self._seed, "noise", step, member.number)
        return drawn


def _control_of(group: Group | None) -> torch.Tensor | None:
    """The (frames, nets, 3, height, width) control pictures of a group that enters, which it needs no more."""
    if group is None:
        return None
    pictures = [member.control for member in group.members if member.control is not None]
    for member in group.members:
        member.control = None
    return torch.stack(pictures)


def _event(group: Group | None, step: int) -> bank.RowEvent | None:
    """What a bank row of a denoising step meets in a group."""
    if group is None:
        return None
    last = group.last
    return bank.RowEvent(start=last.starts, update=last.updates[step], frame=last.number)
