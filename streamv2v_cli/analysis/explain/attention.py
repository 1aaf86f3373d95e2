"""Looking into the feature bank while it works on a video: where a point attends, and what goes on over time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.analysis.explain.player import Player, banked_layers, choose_layer
from streamv2v_cli.analysis.pairing import frames_of, open_video
from streamv2v_cli.errors import SourceError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from streamv2v_cli.analysis.explain.recorder import AttentionMap, Figures, FusedToken, PointRecorder
    from streamv2v_cli.diffusion.engine import Engine
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["BankRecord", "Heat", "Part", "Question", "heat_of", "records_of"]

_KEPT = 64
"""Pictures that are kept of frames in the bank."""
_LEAST = 0.005
"""Share of the attention below which a frame in the bank is left out."""


@dataclass(frozen=True)
class Question:
    """What is asked about one point.

    Attributes:
        frame: its number, counted from 0.
        point: (x, y) in pixels of the source.
        layer: name of a layer or of a block; None for the finest layer with a bank.
        step: denoising step, counted from 1; None for the last.
    """

    frame: int
    point: tuple[int, int]
    layer: str | None = None
    step: int | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """One frame of a heat map.

    Attributes:
        frame: its number.
        weights: (n,) float32 share of the attention that falls on each of its tokens.
        picture: (height, width, 3) uint8, of the source.
        match: its token that comes from the nearest output of fusion; None if that is in another frame.
    """

    frame: int
    weights: np.ndarray
    picture: np.ndarray
    match: int | None

    @property
    def share(self) -> float:
        """Of the attention."""
        return float(self.weights.sum())


@dataclass(frozen=True, eq=False)
class Heat:
    """Where a point attends.

    Attributes:
        question: what was asked.
        layer: its full name.
        grid: (rows, columns) of tokens.
        token: number of the token at the point.
        step: denoising step, counted from 1.
        time: of the frame, in seconds.
        sample_aspect_ratio: width of a pixel of the source to its height.
        parts: the frame itself, then the frames of the bank that matter, the newest first.
        fusion: the nearest output in the bank; None where nothing is fused or nothing is there yet.
    """

    question: Question
    layer: str
    grid: tuple[int, int]
    token: int
    step: int
    time: float
    sample_aspect_ratio: Fraction
    parts: tuple[Part, ...]
    fusion: FusedToken | None


@dataclass(frozen=True)
class BankRecord:
    """What went on in the bank for one frame.

    Attributes:
        index: counted from 0.
        time: in seconds.
        cut: a scene begins with it.
        layers: name -> figures.
    """

    index: int
    time: float
    cut: bool
    layers: dict[str, Figures]


def heat_of(model: Model, settings: Settings, video: str, question: Question) -> Heat:
    """Run the engine up to a frame and see where a point of it attends.

    Args:
        model: is used with these settings and given back as it was.
        settings: the whole configuration; frames go through one by one, which changes no result.
        video: path of the clip.
        question: which point, where and when.

    Raises:
        SourceError: the video cannot be read.
        UsageError: it has no such frame, point, layer or step.
        ConfigError: there is no bank.
    """
    from streamv2v_cli.analysis.explain.recorder import PointRecorder

    layer = choose_layer(model.unet, settings, question.layer)
    row = _row(settings, question.step)
    player = Player(model, settings)
    recorder: PointRecorder | None = None
    token, grid = 0, (0, 0)
    pictures: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT)

    def watch(engine: Engine) -> None:
        nonlocal recorder, token, grid
        if recorder is not None:
            recorder.remove()
        grid = layer.grid(*engine.latent_shape[1:])
        token = _token(question.point, player.source_size, grid)
        recorder = PointRecorder(layer, engine.bank, row=row, frame=question.frame, token=token)

    player.on_engine(watch)
    time = 0.0
    try:
        with open_video(video) as source:
            aspect = source.info.sample_aspect_ratio or Fraction(1)
            _check_point(question.point, source.info.size)
            if question.frame >= (source.info.frame_count or question.frame + 1):
                _refuse_frame(video, question.frame, _count(video))
            for index, frame, begins in player.frames(frames_of(source)):
                if begins:
                    pictures.clear()
                if index == question.frame:
                    time = frame.time or 0.0
                if index == question.frame or player.enters_bank(row):
                    pictures.append((index, frame.pixels.copy()))
                if index == question.frame:
                    break
            else:
                _refuse_frame(video, question.frame, player.count)
            player.finish()
    finally:
        if recorder is not None:
            recorder.remove()
        player.close()
    assert recorder is not None
    assert recorder.found is not None
    parts = _parts(question.frame, recorder.found, dict(pictures))
    fusion = recorder.found.fusion
    return Heat(question, layer.name, grid, token, row + 1, time, aspect, parts, fusion)


def _parts(frame: int, looked: AttentionMap, pictures: Mapping[int, np.ndarray]) -> tuple[Part, ...]:
    """The frame itself and those in the bank, but for frames that are hardly attended to."""
    fusion = looked.fusion
    parts = [Part(frame, looked.current.numpy(), pictures[frame], None)]
    for spread in looked.past:
        match = fusion.place.token if fusion and fusion.place.frame == spread.frame else None
        share = float(spread.weights.sum())
        if spread.frame in pictures and (share >= _LEAST or match is not None):
            parts.append(Part(spread.frame, spread.weights.numpy(), pictures[spread.frame], match))
    return tuple(parts)


def records_of(
    model: Model, settings: Settings, video: str, *, step: int | None = None, frames: int | None = None
) -> Iterator[BankRecord]:
    """Run the engine and see what goes on in all layers with a bank, frame by frame in constant memory.

    Args:
        model, settings, video: as for `heat_of`.
        step: denoising step, counted from 1; None for the mean over all.
        frames: so many only; None for all.

    Raises:
        SourceError, UsageError, ConfigError: as for `heat_of`.
    """
    from streamv2v_cli.analysis.explain.recorder import BankRecorder
    from streamv2v_cli.media.trim import Trim

    layers = banked_layers(model.unet, settings)
    rows = range(settings.diffusion.steps) if step is None else [_row(settings, step)]
    player = Player(model, settings)
    recorder = BankRecorder(layers, rows)
    waiting: deque[tuple[int, float, bool]] = deque()

    def watch(engine: Engine) -> None:
        recorder.follow(engine.bank)

    def finished(count: int) -> Iterator[BankRecord]:
        for _ in range(count):
            index, time, begins = waiting.popleft()
            yield BankRecord(index, time, begins, recorder.take(index))

    player.on_engine(watch)
    try:
        with open_video(video, Trim(frames=frames)) as source:
            for index, frame, begins in player.frames(frames_of(source)):
                waiting.append((index, frame.time or 0.0, begins and index > 0))
                yield from finished(player.came_out)
            yield from finished(player.finish())
        if not player.count:
            raise SourceError(f"Not one frame of '{video}' can be decoded.")
    finally:
        recorder.remove()
        player.close()


def _row(settings: Settings, step: int | None) -> int:
    steps = settings.diffusion.steps
    if step is not None and not 1 <= step <= steps:
        raise UsageError(
            f"There is no denoising step {step}.", f"diffusion.steps is {steps}: use --step 1 to {steps}."
        )
    return steps - 1 if step is None else step - 1


def _count(video: str) -> int:
    """Frames that can be decoded: what a header says need not be true."""
    with open_video(video) as source:
        return sum(1 for _ in frames_of(source))


def _refuse_frame(video: str, frame: int, count: int) -> None:
    """Raise an error if there is no such frame."""
    if frame >= count:
        raise UsageError(
            f"Frame {frame} is beyond the end: '{video}' has {count} frames, counted from 0.",
            f"Use --frame 0 to {count - 1}.",
        )


def _check_point(point: Sequence[int], size: Sequence[int]) -> None:
    if not (0 <= point[0] < size[0] and 0 <= point[1] < size[1]):
        raise UsageError(
            f"The point {point[0]},{point[1]} is outside the frame.",
            f"It is {size[0]}x{size[1]}: X from 0 to {size[0] - 1}, Y from 0 to {size[1] - 1}.",
        )


def _token(point: tuple[int, int], size: tuple[int, int], grid: tuple[int, int]) -> int:
    """Number of the token that holds a pixel."""
    column, row = (
        min(point[0], size[0] - 1) * grid[1] // size[0],
        min(point[1], size[1] - 1) * grid[0] // size[1],
    )
    return row * grid[1] + column
