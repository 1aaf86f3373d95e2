"""How many frames `--skip-similar` skips in clips of your own, and in front of a still camera with sensor noise.

python -m benchmarks.similar walk.mp4 street.mp4          # a table in Markdown
python -m benchmarks.similar walk.mp4 --set skip_similar.threshold=0.95

No model is loaded: the filter sees the pictures that the model would.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from streamv2v_cli import Frame, Settings, resolve
from streamv2v_cli.analysis.pairing import frames_of, open_video
from streamv2v_cli.diffusion.similar import SimilarFrameFilter
from streamv2v_cli.diffusion.tensors import resize, to_model_range
from streamv2v_cli.media.picture.resize import resized
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.sizes import model_frame_size

NOISE = (2.0, 5.0)
"""Standard deviations of a camera's noise, of 255: in daylight, and in a dim room."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.similar", description=__doc__)
    parser.add_argument("clips", nargs="+", help="videos")
    parser.add_argument("--frames", type=int, default=250, help="of each clip, at most")
    parser.add_argument("--set", action="append", default=[], help="a setting, as for streamv2v run")
    options = parser.parse_args()
    settings = resolve(sets=[*options.set, "skip_similar.enabled=true"]).settings
    print("| clip | frames | skipped |\n|---|--:|--:|")
    for clip in options.clips:
        with open_video(clip, Trim(frames=options.frames)) as source:
            report(Path(clip).stem, frames_of(source), settings)
    with open_video(options.clips[0], Trim(frames=1)) as source:
        (still,) = (at_model_size(frame, settings) for frame in frames_of(source))
    for sigma in NOISE:
        name = f"still picture, noise of {sigma:g}"
        report(name, noisy(still, sigma, options.frames), settings)


def at_model_size(frame: Frame, settings: Settings) -> Frame:
    """The frame at the size that the model works at, so that nothing averages out noise that is added to it."""
    return frame.with_pixels(
        resized(frame.pixels, model_frame_size(frame.width, frame.height, settings.frame, vae_factor=1))
    )


def noisy(frame: Frame, sigma: float, count: int) -> Iterator[Frame]:
    """The same picture again and again, each time with other noise."""
    random = np.random.default_rng(0)
    for _ in range(count):
        pixels = frame.pixels + random.normal(0, sigma, frame.pixels.shape)
        yield frame.with_pixels(np.clip(pixels.round(), 0, 255).astype(np.uint8))


def report(name: str, frames: Iterable[Frame], settings: Settings) -> None:
    """Print the row of a clip."""
    seen = skipped = 0
    similar = SimilarFrameFilter(settings.skip_similar)
    for frame in frames:
        size = model_frame_size(frame.width, frame.height, settings.frame, vae_factor=1)
        picture = resize(to_model_range(torch.tensor(frame.pixels)), size)
        seen += 1
        if similar.skips(picture):
            skipped += 1
        else:
            similar.translated(picture)
    print(f"| {name} | {seen} | {100 * skipped / seen:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
