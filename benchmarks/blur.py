"""Does the bank blur the picture over time? A looped clip: the sharpness of each loop, and what becomes of the bank.

python -m benchmarks.blur                              # the embedded model as it is used
python -m benchmarks.blur --set bank.kind=none         # the same without a bank
python -m benchmarks.blur --random                     # a tiny UNet of random weights

Prints a JSON line now and then, of the frames of one loop: the variance of the Laplacian of the grey result, of the
same pictures each time; and for keys, values and outputs of the bank the mean length of a token and the spread of the
tokens around their mean, each as a share of what the frame had that entered the bank last.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks.machine import describe_machine
from streamv2v_cli.bank.layer_bank import BankStep, LayerBank
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models import load_model, recommended_settings
from streamv2v_cli.settings.resolve import resolve

_LEAST = 40
"""Frames of one line at least: several come out at once."""
CLIP = Path(__file__).parents[1] / "assets" / "bigbuckbunny.mp4"


def read_clip(path: Path, first: int, frames: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Frames of a video from the one numbered `first` on, as (height, width, 3) uint8."""
    with av.open(str(path)) as clip:
        decoded = islice(clip.decode(video=0), first, first + frames)
        return [frame.to_ndarray(width=size[0], height=size[1], format="rgb24") for frame in decoded]


def sharpness(pixels: np.ndarray) -> float:
    """Variance of the Laplacian of the grey picture, in levels squared."""
    grey = pixels.astype(np.float32).mean(-1)
    return float(
        (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]).var()
    )


class Watch:
    """Compares what the bank holds with the features of the frame that has just entered it."""

    def __init__(self) -> None:
        self.shares: dict[str, list[float]] = {}
        update = LayerBank.update

        def watched(bank: LayerBank, current: dict[str, torch.Tensor], step: BankStep) -> None:
            update(bank, current, step)
            for name, features in current.items():
                held = getattr(bank, name)
                if held is None or not step.updating.shape[0]:
                    continue
                banked, fresh = held[step.updating, 0].float(), features[step.updating].float()
                for what, of in (("length", _length), ("spread", _spread)):
                    share = (of(banked) / of(fresh)).mean().item()
                    self.shares.setdefault(f"{name}_{what}", []).append(share)

        LayerBank.update = watched  # type: ignore[method-assign, assignment]

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        found = {name: round(float(np.mean(values)), 4) for name, values in self.shares.items()}
        self.shares = {}
        return found


def _length(tokens: torch.Tensor) -> torch.Tensor:
    length: torch.Tensor = tokens.norm(dim=-1).mean(-1)
    return length


def _spread(tokens: torch.Tensor) -> torch.Tensor:
    return _length(tokens - tokens.mean(1, keepdim=True))


def main() -> None:
    """Run, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--loop", type=int, default=40, help="frames of the clip; 1 for a still")
    parser.add_argument("--first", type=int, default=0, help="frame that the loop begins with")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--size", default="128x72")
    parser.add_argument("--prompt", default="oil painting")
    parser.add_argument("--random", action="store_true", help="a small UNet of random weights")
    parser.add_argument("--set", action="append", default=[], help="as for streamv2v run")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    sets = [f"prompt={options.prompt}", f"frame.size={height}", "bank.reset_on_cut=false", *options.set]
    settings = resolve(sets=sets, recommend=None if options.random else recommended_settings).settings
    translator = Translator(_random_model() if options.random else load_model(settings), settings)
    clip, watch = read_clip(options.clip, options.first, options.loop, (width, height)), Watch()
    print(json.dumps({"arguments": vars(options) | {"clip": options.clip.name}, **describe_machine()}))
    window = -(-_LEAST // options.loop) * options.loop
    windows, sums, count = options.frames // window, 0.0, 0
    looked_at = set(np.unique(np.geomspace(1, windows, 12).astype(int)).tolist())
    for number in range(1, windows + 1):
        for index in range((number - 1) * window, number * window):
            for out in translator.push(Frame(clip[index % options.loop], index)):
                sums, count = sums + sharpness(out.pixels), count + 1
        found: dict[str, Any] = {
            "frames": number * window,
            "sharpness": round(sums / max(1, count), 2),
            **watch.take(),
        }
        sums, count = 0.0, 0
        if number in looked_at:
            print(json.dumps(found), flush=True)


def _random_model() -> Any:
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from helpers.tiny import tiny_model  # type: ignore[import-not-found, unused-ignore]

    return tiny_model()


if __name__ == "__main__":
    main()
