"""The tables of the paper on one's own clips: what is varied, and one cell measured."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from streamv2v_cli.analysis.pairing import frames_of, open_video
from streamv2v_cli.errors import ConfigError, SourceError
from streamv2v_cli.frame import wait_for_pixels
from streamv2v_cli.metrics import Comparison, FlowEstimator
from streamv2v_cli.settings.keys import flatten, nest
from streamv2v_cli.settings.resolve import override
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.pipeline import Statistics
from streamv2v_cli.transcode.progress import Progress
from streamv2v_cli.transcode.scenes import CutDetector
from streamv2v_cli.transcode.segments import Segments

if TYPE_CHECKING:
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.metrics.clip import ClipScore
    from streamv2v_cli.models.model import Model

__all__ = ["TABLES", "Cell", "FrameClock", "Table", "Variant", "changed", "measure", "own_table", "table_of"]


@dataclass(frozen=True)
class Variant:
    """A row of a table.

    Attributes:
        name: as it stands in the table.
        changes: dotted key -> value, over the settings that were asked for.
    """

    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """What is varied, all else being equal.

    Attributes:
        key: what `--only` takes.
        title: what it compares, and where the paper does.
        variants: the rows; the others are compared with the first one.
    """

    key: str
    title: str
    variants: tuple[Variant, ...]


_NO_BANK = {"bank.kind": "none"}
_DYME = {"bank.kind": "dyme"}
_UNMOVED = {"bank.motion.alpha": 0}
_STEADY = 0.9
"""Share of motion fusion where none is asked for."""
TABLES = ("bank", "features", "fusion", "motion", "steps", "strength")
"""The keys of all tables."""
_SHARED = ("model", "weights", "compute", "input", "output", "translator")
"""Settings that are used once for all rows, or not at all."""


def table_of(key: str, settings: Settings) -> Table:
    """A table around the settings that were asked for.

    Args:
        key: one of `TABLES`.
        settings: where a table does not vary them.
    """
    fuse = list(settings.bank.fuse.layers) or ["mid", "up.0", "up.1"]
    blocks = {"bank.fuse.layers": fuse}
    alone = {**_DYME, **_UNMOVED}
    asked = settings.bank.motion.alpha
    steady = asked or _STEADY
    tables: dict[str, tuple[str, dict[str, Mapping[str, Any]]]] = {
        "bank": (
            f"Bank type and size, {f'each with motion fusion {asked:g}' if asked else 'each without motion fusion'} "
            "(table 2)",
            {
                "none": _NO_BANK,
                **{f"queue {size}": {"bank.kind": "queue", "bank.size": size} for size in (1, 2, 4)},
                "DyMe": _DYME,
            },
        ),
        "features": (
            "Extended attention (EA) and feature fusion (FF), with DyMe and without motion fusion (figure 8)",
            {
                "neither": {**_NO_BANK, **_UNMOVED},
                "EA": {**alone, "bank.fuse.layers": []},
                "FF": {**alone, **blocks, "bank.attention.layers": []},
                "EA and FF": {**alone, **blocks},
            },
        ),
        "fusion": (
            "Blocks that fuse, with DyMe (A.3)",
            {
                "none": {**_DYME, "bank.fuse.layers": []},
                ", ".join(fuse): {**_DYME, **blocks},
                "all": {**_DYME, "bank.fuse.layers": ["all"]},
            },
        ),
        "motion": (
            "Motion fusion (--steady), with and without a bank",
            {
                f"{bank}{f' + {alpha:g}' if alpha else ''}": {**changes, "bank.motion.alpha": alpha}
                for bank, changes in (("none", _NO_BANK), ("DyMe", _DYME))
                for alpha in sorted({0, 0.5, steady})
            },
        ),
        "steps": ("Denoising steps (A.4)", {str(steps): {"diffusion.steps": steps} for steps in (1, 2, 4)}),
        "strength": (
            "Strength",
            {f"{strength:g}": {"diffusion.strength": strength} for strength in (0.3, 0.4, 0.5, 0.6, 0.8)},
        ),
    }
    title, variants = tables[key]
    return Table(key, title, tuple(Variant(name, changes) for name, changes in variants.items()))


def own_table(rows: Sequence[str]) -> Table:
    """A table of one's own; its first row changes nothing.

    Args:
        rows: `key=value` texts with blanks between them, quoted as in a shell where a value has blanks itself.

    Raises:
        ConfigError: a row is empty, wrong, there twice, or changes what all rows share.
    """
    variants = [Variant("as asked for", {})]
    for row in rows:
        try:
            parts = shlex.split(row)
        except ValueError as error:
            raise ConfigError(f"--row {row}: a quotation mark is not closed.") from error
        changes: dict[str, Any] = {}
        for part in parts:
            changes |= override(part, "--row")
        for key in changes:
            if key.startswith(_SHARED):
                raise ConfigError(
                    f"--row {row}: {key} cannot differ from row to row.", "Give it for all, or measure twice."
                )
        if not changes or row in [variant.name for variant in variants]:
            raise ConfigError(f"--row {row!r} is {'there twice' if changes else 'empty'}.")
        variants.append(Variant(row, changes))
    return Table("own", "Settings of one's own", tuple(variants))


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some values replaced.

    Raises:
        pydantic.ValidationError: they do not go together.
    """
    values = flatten(settings.model_dump(mode="json"), "settings") | dict(changes)
    return Settings.model_validate(nest(values))


@dataclass(frozen=True)
class Cell:
    """One clip under one variant.

    Attributes:
        frames: that were measured.
        milliseconds: for a frame in the translator, without warm-up, decoding and measuring.
        bank_bytes: memory of the feature bank.
        gpu_bytes: most memory that was taken on the GPU; None without one.
        figures: means by name, of `metrics.Means` and `metrics.clip.ClipFigures`; None where not measured.
    """

    frames: int
    milliseconds: float
    bank_bytes: int
    gpu_bytes: int | None
    figures: dict[str, float | None]


def measure(
    model: Model,
    settings: Settings,
    video: str,
    *,
    frames: int | None = None,
    flow: FlowEstimator | None = None,
    clip: ClipScore | None = None,
    progress: bool = True,
) -> Cell:
    """Restyle a clip and measure the result before any encoder sees it.

    Args:
        model: is used with these settings and given back as it was.
        settings: the whole configuration.
        video: path of the clip.
        frames: so many only; None for all.
        flow: finds the motion; None for OpenCV's DIS.
        clip: judges as well; what it saw before is forgotten.
        progress: show it on stderr.

    Raises:
        SourceError: the clip cannot be read.
        ConfigError: the settings do not fit the model.
    """
    from streamv2v_cli.diffusion.translator import Translator
    from streamv2v_cli.media.trim import Trim

    translator, comparison, statistics = Translator(model, settings), Comparison(flow), Statistics()
    if clip is not None:
        clip.reset()
    try:
        with (
            open_video(video, Trim(frames=frames)) as source,
            Progress(source.info.frame_count, enabled=progress) as display,
        ):
            clock = FrameClock(model.device)
            for before, after, cut in _restyled(frames_of(source), translator, settings, clock):
                comparison.push(before, after, cut=cut)
                if clip is not None:
                    clip.push(after)
                statistics.frames_out += 1
                statistics.bank_bytes = translator.bank_bytes
                display.update(statistics)
            bank_bytes = translator.bank_bytes
    finally:
        translator.close()
    figures = asdict(comparison.means())
    figures |= asdict(clip.means()) if clip is not None else {"consistency": None, "prompt_score": None}
    count = int(figures.pop("frames"))
    if not count:
        raise SourceError(f"Not one frame of '{video}' can be decoded.")
    return Cell(count, 1000 * clock.seconds / count, bank_bytes, clock.gpu_bytes, figures)


def _restyled(
    frames: Iterator[Frame], translator: Any, settings: Settings, clock: FrameClock
) -> Iterator[Any]:
    """Pixels before, pixels after, and whether a scene begins, for each frame in order."""
    waiting: deque[tuple[Any, bool]] = deque()
    segments = Segments(translator, CutDetector(), restart=settings.bank.reset_on_cut)
    for index, frame in enumerate(frames):
        if index == 0:
            translator.push(frame)
            translator.flush()
            translator.reset()
        waiting.append((frame.pixels, segments.opens_scene(frame)))
        for done in clock.timed(partial(translator.push, frame)):
            pixels, begins = waiting.popleft()
            yield pixels, done.pixels, begins
    for done in clock.timed(translator.flush):
        pixels, begins = waiting.popleft()
        yield pixels, done.pixels, begins


class FrameClock:
    """Adds up the time of calls that give frames, until their pixels are there.

    Attributes:
        seconds: what they took.
        gpu_bytes: most memory that was taken on the GPU during one of them, and not by what measures in between;
            None without a GPU.

    Args:
        device: that the frames are computed on.
    """

    def __init__(self, device: Any) -> None:
        self._device, self.seconds = device, 0.0
        self.gpu_bytes = 0 if device.type == "cuda" else None

    def timed(self, call: Callable[[], list[Frame]]) -> list[Frame]:
        """What `call` gives, once its pixels are there."""
        import torch

        if self.gpu_bytes is not None:
            torch.cuda.reset_peak_memory_stats(self._device)
        started = time.perf_counter()
        result = call()
        wait_for_pixels(result)
        self.seconds += time.perf_counter() - started
        if self.gpu_bytes is not None:
            self.gpu_bytes = max(self.gpu_bytes, int(torch.cuda.max_memory_allocated(self._device)))
        return result
