"""Make docs/demo.jpg: frames of the demo clip, as they are and restyled; run as `python -m tools.demo_sheet`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

CLIP = Path("assets/bigbuckbunny.mp4")
PROMPTS = ("pencil sketch", "pixel art")


def pick_frames(path: Path, count: int) -> list[np.ndarray]:
    """`count` frames of a video, (height, width, 3) uint8, evenly spread over its length."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frames[round(i * (len(frames) - 1) / (count - 1))] for i in range(count)]


def restyle(prompt: str, folder: Path) -> Path:
    """The demo clip restyled with the defaults."""
    output = folder / f"{prompt}.mp4"
    command = [sys.executable, "-m", "streamv2v_cli", "run", str(CLIP), "-p", prompt, "-o", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return output


def main() -> None:
    """One row for the source and one for each prompt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/demo.jpg"))
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--columns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = [CLIP, *(restyle(prompt, Path(folder)) for prompt in options.prompts)]
        rows = [np.concatenate(pick_frames(video, options.columns), axis=1) for video in videos]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.thumbnail((1280, 1280))
    options.output.parent.mkdir(exist_ok=True)
    sheet.save(options.output, quality=88)
    print(options.output)


if __name__ == "__main__":
    main()
