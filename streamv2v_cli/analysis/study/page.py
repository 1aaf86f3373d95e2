"""A page that asks people which of two videos is better: two-alternative forced choice (A.5 of the paper)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from streamv2v_cli.analysis.pairing import open_video
from streamv2v_cli.errors import SinkError, UsageError
from streamv2v_cli.output_paths import check_output_folder
from streamv2v_cli.text.json_text import to_json

__all__ = ["QUESTIONS", "Pair", "check_folder", "make_study"]

SCHEMA = "streamv2v.study/1"
QUESTIONS = {
    "consistency": "Which one is more consistent?",
    "prompt": "Which one fits the prompt better?",
    "overall": "Which one do you think is better?",
}
"""Key in the results -> what people are asked, as in figure 14 of the paper."""
_PLAYED = {
    ".mp4": ("h264", "vp9", "av1"),
    ".m4v": ("h264",),
    ".webm": ("vp8", "vp9", "av1"),
}
"""Extension -> codecs that all browsers play."""
_PLAYED_FORMATS = ("yuv420p", "yuvj420p")


@dataclass(frozen=True)
class Pair:
    """Two results of one source.

    Attributes:
        source, baseline, ours: paths of the videos.
        prompt: what the results should show.
        method: what the baseline is called in the results; nobody is shown it.
    """

    source: str
    baseline: str
    ours: str
    prompt: str
    method: str = "baseline"


def check_folder(folder: str) -> Path:
    """A folder that is not there yet, or empty.

    Raises:
        UsageError: it is something else, or cannot be made.
    """
    path = Path(folder)
    check_output_folder(path)
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(
            f"The folder '{path}' is not empty.", "Give a new one, so that no study is mixed up."
        )
    return path


def make_study(pairs: Sequence[Pair], folder: Path, title: str) -> Path:
    """Write `index.html` and, beside it, the videos under names that tell nothing.

    Args:
        pairs: at least one.
        folder: checked.
        title: heading of the page.

    Returns:
        The page.

    Raises:
        SourceError: a video cannot be read.
        UsageError: a browser cannot play one, or two that are compared are the same.
        SinkError: it cannot be written.
    """
    names: dict[str, str] = {}
    for pair in pairs:
        for video in (pair.source, pair.baseline, pair.ours):
            if video not in names:
                check_playable(video)
                names[video] = _neutral_name(Path(video))
        if names[pair.baseline] == names[pair.ours]:
            raise UsageError(f"'{pair.baseline}' and '{pair.ours}' are the same video.", "Give two results.")
    videos = ("source", "baseline", "ours")
    listed = [
        {key: names[value] if key in videos else value for key, value in asdict(pair).items()}
        for pair in pairs
    ]
    try:
        folder.mkdir(exist_ok=True)
        for video, name in names.items():
            shutil.copyfile(video, folder / name)
        page = folder / "index.html"
        page.write_text(_page(listed, title), encoding="utf-8")
    except OSError as error:
        raise SinkError(f"The study in '{folder}' cannot be written: {error.strerror or error}.") from error
    return page


def check_playable(video: str) -> None:
    """Raise an error if browsers do not play a video.

    Raises:
        SourceError: it cannot be read.
        UsageError: it is of another kind.
    """
    with open_video(video) as source:
        info = source.info
    kind = Path(video).suffix.lower()
    if info.codec in _PLAYED.get(kind, ()) and info.pix_fmt in _PLAYED_FORMATS:
        return
    better = Path(video).with_suffix(".mp4").name if kind != ".mp4" else f"{Path(video).stem}_h264.mp4"
    raise UsageError(
        f"Not every browser plays '{video}', which is {info.codec} {info.pix_fmt} in {kind or 'no known container'}.",
        f"Convert it: streamv2v run '{video}' --translator passthrough -o {better}",
    )


def _neutral_name(path: Path) -> str:
    """The same for the same content, so that a source of many pairs is there once."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest[:12] + path.suffix.lower()


def _page(pairs: Sequence[dict[str, str]], title: str) -> str:
    content = json.dumps({"title": title, "questions": QUESTIONS, "pairs": pairs})
    study = {
        "schema": SCHEMA,
        "study": hashlib.sha256(content.encode()).hexdigest()[:12],
        **json.loads(content),
    }
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # Within a script element only `<` can do harm.
    data = to_json(study).replace("<", "\\u003c")
    return Template(template).substitute(title=escape(title), data=data)
