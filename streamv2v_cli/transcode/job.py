"""One file to be restyled: input, output and settings, checked as far as one can before the model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli import __version__
from streamv2v_cli.errors import ModelNotFoundError, UsageError
from streamv2v_cli.settings.sizes import model_frame_size, output_frame_size
from streamv2v_cli.settings.values import rate_of
from streamv2v_cli.text.json_text import to_json
from streamv2v_cli.transcode.events import StartEvent
from streamv2v_cli.transcode.report import plan_text

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Url
    from streamv2v_cli.media.info import MediaSource, SourceInfo
    from streamv2v_cli.media.open import MediaInput
    from streamv2v_cli.media.sink.plan import OutputPlan
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Job", "comment_of", "open_job"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A file to be restyled, checked as far as one can without the model.

    Attributes:
        source: the input, opened.
        input: what that is.
        plan: the output.
        settings: the whole configuration.
        trim: the part of the input that is taken.
    """

    source: MediaSource
    input: MediaInput
    plan: OutputPlan
    settings: Settings
    trim: Trim

    def describe(self) -> str:
        """The plan as text; loads no model."""
        from streamv2v_cli.models.locate import describe_model

        if self.settings.translator == "passthrough":
            return plan_text(self.source.info, self.plan, self.settings, None, None)
        model = describe_model(self.settings)
        return plan_text(self.source.info, self.plan, self.settings, model, self.model_size)

    @property
    def model_size(self) -> tuple[int, int]:
        """(width, height) of the model's pictures of the input's first size."""
        return _model_size(self.settings, self.source.info)

    def check_model(self) -> None:
        """Check what can be checked of the model without loading it.

        Raises:
            DeviceError: a device, attention backend or acceleration that was asked for is not there.
            ModelNotFoundError: a path that was given does not exist.
        """
        from streamv2v_cli.models.locate import describe_model

        compute = self.settings.compute
        if self.settings.translator == "passthrough":
            return
        for part in describe_model(self.settings).parts:
            if part.missing:
                raise ModelNotFoundError(part.remark)
        if (
            compute.device != "auto"
            or compute.attention == "xformers"
            or compute.accel not in ("auto", "none")
        ):
            from streamv2v_cli.accel import choose_accel
            from streamv2v_cli.accel.device import pick_device
            from streamv2v_cli.bank.attention import choose_backend

            device = pick_device(compute.device)
            choose_backend(compute.attention, device)
            choose_accel(compute.accel, device)

    def commented_plan(self, prompts: list[Mapping[str, object]] | None) -> OutputPlan:
        """The output with a comment that says what made it, `prompts` over time among it."""
        return self.plan.with_comment(comment_of(self.settings, prompts))

    def start_event(self) -> StartEvent:
        """What is to be done, for programs."""
        settings, picture = self.settings, self.plan.encoder.picture
        return StartEvent(
            version=__version__,
            input=self.source.info.name,
            output=str(self.plan.target.path),
            width=picture.width,
            height=picture.height,
            frames=self.source.info.frame_count,
            translator=settings.translator,
            model=settings.model if settings.translator == "diffusion" else None,
            prompt=settings.prompt,
            seed=settings.seed,
        )


@contextmanager
def open_job(
    source: str | MediaInput,
    output: Path | Url,
    resolved: Resolved,
    *,
    overwrite: bool = False,
    trim: Trim | None = None,
    options: InputOptions | None = None,
    descriptor: int | None = None,
) -> Iterator[Job]:
    """Open the input and check everything that can go wrong before the model is loaded.

    Args:
        source: path of the input, `-` for the standard input, a URL or a camera; or what was found out of it.
        output: path of the output, `STDOUT` or a URL.
        resolved: the settings and where they came from: a default gives way to what the output can hold.
        overwrite: an existing output may be replaced.
        trim: the part of the input that is taken; None for all.
        options: what an input does not say itself that is given by its name.
        descriptor: leads to the standard output, if that is the output.

    Raises:
        UsageError, SourceError, SinkError, ModelNotFoundError: something is wrong, in one sentence.
    """
    from streamv2v_cli.media.open import MediaInput, open_source
    from streamv2v_cli.media.sink.plan_video import check_output_path, plan_output
    from streamv2v_cli.media.sink.target import Target
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.media.trim import Trim

    settings, trim = resolved.settings, trim or Trim()
    target = Target.of(output, settings.output.format)
    if isinstance(source, str):
        source = MediaInput.of(source, replace(options or InputOptions(), reading=settings.input))
    read = source
    target = check_output_path(target, read.files, overwrite=overwrite)
    if settings.translator == "diffusion":
        from streamv2v_cli.models.choices import find_model

        find_model(settings.model)
    wanted = {"audio": settings.output.audio, "subtitle": settings.output.subtitles, "attachment": "copy"}
    copied = [kind for kind, choice in wanted.items() if choice == "copy"]
    explicit = {key for key, origin in resolved.origins.items() if origin not in ("default", "model")}
    part = trim
    if target.url is not None and trim.start is None:
        # Receivers of a stream expect its clock to begin with it.
        part = replace(trim, start=Fraction(0))
    with closing(
        open_source(
            read,
            trim=part,
            copied=copied,
            rate=rate_of(settings.output.rate) if settings.output.rate else None,
            constant=target.container.constant_rate,
        )
    ) as opened:
        for remark in opened.info.remarks:
            log.info("%s", remark)
        if settings.mask.source is not None:
            from streamv2v_cli.transcode.masked import check_mask

            check_mask(settings, opened.info, trim)
        size = _output_size(settings, opened.info)
        plan = plan_output(
            opened, target, size, settings.output, explicit=explicit, trim=trim, descriptor=descriptor
        )
        yield Job(opened, read, replace(plan, overwrite=overwrite), settings, trim)


def _output_size(settings: Settings, info: SourceInfo) -> tuple[int, int]:
    """(width, height) of the frames that the translator will give."""
    if settings.translator == "passthrough" and settings.frame.output_size == "model":
        raise UsageError(
            "The output size 'model' needs a model.",
            "Use --output-size source or WIDTHxHEIGHT.",
        )
    return output_frame_size(info.size, _model_size(settings, info), settings.frame)


def _model_size(settings: Settings, info: SourceInfo) -> tuple[int, int]:
    # The size depends on the model only in that its VAE's factor has to divide frame.multiple.
    return model_frame_size(*info.size, settings.frame, vae_factor=1)


def comment_of(settings: Settings, prompts: list[Mapping[str, object]] | None = None) -> str:
    """What made the video, as one line of JSON for its metadata."""
    content = {
        "program": "streamv2v",
        "version": __version__,
        "model": settings.model,
        "prompt": settings.prompt,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
    }
    if prompts is not None:
        content["prompts"] = prompts
    return to_json(content, separators=(",", ":"))
