"""What a run will do and what it did, as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.logs import shown
from streamv2v_cli.reports.text import bytes_text, counted, duration_text, fps_text, source_rate_text
from streamv2v_cli.settings.resolve import to_yaml

if TYPE_CHECKING:
    from streamv2v_cli.accel import TickCounts
    from streamv2v_cli.media.info import SourceInfo
    from streamv2v_cli.media.sink.plan import OutputPlan
    from streamv2v_cli.models.locate import ModelPlan
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["accel_text", "plan_text", "size_text", "summary_text"]


def plan_text(
    info: SourceInfo,
    plan: OutputPlan,
    settings: Settings,
    model: ModelPlan | None,
    model_size: tuple[int, int] | None,
) -> str:
    """The plan of a run: the input's streams, the sizes, the model and where it comes from, the settings."""
    treatments = {
        track.template.index: f"converted to {track.codec.removeprefix('lib')}" if track.codec else "copied"
        for track in plan.tracks
    }
    lines = [f"input     {info.name}", f"          {_video_text(info)}"]
    for stream in info.streams:
        lines.append(f"          {stream}: {treatments.get(stream.index, 'left out')}")
    picture = plan.encoder.picture
    lines += [f"output    {plan.target.name}", f"          {plan.container.name}: {plan.encoder}"]
    if picture.sample_aspect_ratio != 1:
        lines.append(f"          sample aspect ratio {picture.sample_aspect_ratio}")
    lines += [f"          note: {note}" for note in (*plan.notes, *info.remarks)]
    if model is None:
        lines.append("model     none: the pictures pass through unchanged")
    else:
        lines.append(f"model     {model.name}" + (f" ({model.kind})" if model.kind else ""))
        for part in model.parts:
            where = str(part.path) if part.path is not None else part.source
            lines.append(f"          {part.role}: {where}" + (f" ({part.remark})" if part.remark else ""))
    if model_size is not None:
        picture = plan.encoder.picture
        lines.append(f"          {size_text(settings, model_size, (picture.width, picture.height))}")
    lines += ["settings", *(f"  {line}" for line in to_yaml(settings).split("\n") if line)]
    return "\n".join(map(shown, lines))


def _video_text(info: SourceInfo) -> str:
    words = [
        f"{info.container}: {info.codec} {info.pix_fmt}"
        + (f" decoded on {info.decoded_on}" if info.decoded_on else ""),
        f"{info.width}x{info.height}",
        str(info.orientation),
    ]
    if info.sample_aspect_ratio != 1:
        words.append(f"sample aspect ratio {info.sample_aspect_ratio}")
    words.append(str(info.stored_colour or info.colour))
    if info.rate:
        words.append(source_rate_text(info.rate))
    if info.frame_count:
        words.append(f"about {info.frame_count} frames")
    if info.duration:
        words.append(duration_text(info.duration))
    return ", ".join(words)


def summary_text(
    plan: OutputPlan,
    statistics: Statistics,
    settings: Settings,
    seconds: float,
    loading: float,
    *,
    model_size: tuple[int, int] | None = None,
    skipped: int = 0,
    ticks: TickCounts | None = None,
    verified: str = "",
) -> str:
    """What a run did, in a few lines.

    Args:
        plan: its output.
        statistics: of the run, for the frames a second.
        settings: its configuration.
        seconds: that it took altogether.
        loading: seconds of those for loading the model; 0 for a model that was there.
        model_size: (width, height) that the model worked at; None without a model.
        skipped: frames that were like the one before.
        ticks: how they ran; None without a model.
        verified: what was read back; empty for nothing.
    """
    picture, frames = plan.encoder.picture, statistics.frames_out
    rate = statistics.rate()
    speed = f" ({fps_text(rate)})" if rate else ""
    state = "interrupted after " if statistics.interrupted else ""
    before = f", {statistics.frames_before} of them finished before" if statistics.frames_before else ""
    lines = [
        f"{state}{counted(frames, 'frame')} of {picture.width}x{picture.height} "
        f"in {duration_text(seconds)}{speed}"
        + (f", {duration_text(loading)} of it to load the model" if loading else "")
        + before
    ]
    if settings.translator == "diffusion":
        bank = f"bank {settings.bank.kind}"
        if statistics.bank_bytes:
            bank += f" ({bytes_text(statistics.bank_bytes)})"
        steps = settings.diffusion.steps
        lines.append(f"model {settings.model}, {counted(steps, 'step')}, {bank}, seed {settings.seed}")
        if model_size is not None:
            lines.append(size_text(settings, model_size, (picture.width, picture.height)))
    if accel := accel_text(ticks):
        lines.append(accel)
    if skipped:
        verb = "frame was" if skipped == 1 else "frames were"
        lines.append(f"{skipped} {verb} like the one before and reused its picture")
    if cuts := len(statistics.cuts):
        lines.append(counted(cuts, "scene cut"))
    if dropped := statistics.frames_dropped:
        verb = "was" if dropped == 1 else "were"
        lines.append(
            f"{dropped} of {counted(statistics.frames_in, 'frame')} came too fast and {verb} dropped"
        )
    if count := statistics.reconnections:
        lines.append(counted(count, "reconnection"))
    if verified:
        lines.append(f"verified: {verified}")
    file = plan.target.file
    if frames > 1 and plan.images is not None:
        lines.append(f"{plan.images.path}: {frames} images")
    elif frames and file is not None and file.is_file():
        lines.append(f"{file}: {bytes_text(file.stat().st_size)}")
    return "\n".join(map(shown, lines))


def size_text(settings: Settings, model_size: tuple[int, int], output: tuple[int, int]) -> str:
    """At which size the model works, and what the next larger one that is recommended costs.

    Args:
        settings: of the run.
        model_size: (width, height) that the model works at.
        output: (width, height) of what comes out.
    """
    from streamv2v_cli.models.recommendations import QUALITIES, work_of_quality

    width, height = model_size
    text = f"works at {width}x{height}"
    if min(output) <= min(model_size):
        return text
    steps = settings.diffusion.steps
    now = work_of_quality(settings.model, settings.quality)
    for quality in QUALITIES:
        work = work_of_quality(settings.model, quality)
        if work is not None and (size := work[0]) > min(model_size):
            own = now is None or now[1] != steps  # what was given for itself stays
            cost = (size / min(model_size)) ** 2 * (1 if own else work[1] / steps)
            return f"{text}; --quality {quality}, with a short side of {size}, takes about {cost:.2g} times as long"
    return text


def accel_text(ticks: TickCounts | None) -> str:
    """How ticks were accelerated; empty where they were not to be."""
    return f"accel {ticks}" if ticks is not None and ticks.accel != "none" else ""
