"""Stage `eval`: figures on the held-out pictures, and contact sheets to look at."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from transformers import CLIPTokenizer

from .autoencoder import load_vae, psnr, reconstruct, to_tensor
from .model import SCALING_FACTOR, build_scheduler
from .prompts import PHRASES
from .sampling import restyle
from .styles import STYLES, stylise
from .unet import load_restyler

__all__ = ["Sampler", "contact_sheet", "evaluate"]

#: Styles that only change colours: their structure should be that of the source.
GRADES = ("photo", "sepia", "black and white", "night", "sunset", "autumn", "winter", "thermal")
#: Styles made of lines: their sharpness should be that of the target.
LINES = ("pencil sketch", "comic", "blueprint", "neon", "woodcut")


class Sampler:
    """Pictures in, pictures out, with the model as it stands in the working folder."""

    def __init__(self, work: Path, device: str = "cpu") -> None:
        self.device = device
        self.model = load_restyler(work).to(device)
        self.vae = load_vae(work).to(device)
        self.tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        self.scheduler = build_scheduler()

    @torch.no_grad()
    def __call__(self, pictures: torch.Tensor, prompt: str, steps: int = 4, seed: int = 0) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] under one prompt, to the same shape and range."""
        with torch.autocast(self.device, torch.bfloat16):
            ids = self.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
            text = self.model.text(ids.to(self.device))[0].expand(len(pictures), -1, -1)
            latents = self.vae.encode(pictures.to(self.device)).latents.float() * SCALING_FACTOR
            latents = restyle(self.model.unet, self.scheduler, latents, text, steps=steps, seed=seed)
            return self.vae.decode(latents / SCALING_FACTOR).sample.float().clamp(-1, 1).cpu()


def structural_similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    """SSIM (Wang et al., 2004) of the luminance of (N, 3, H, W) in [-1, 1], Gaussian window of 1.5 px."""
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    x, y = ((picture + 1) / 2 * weights for picture in (a, b))
    x, y = x.sum(1).numpy(), y.sum(1).numpy()
    values = []
    for p, q in zip(x, y, strict=True):
        mp, mq = (cv2.GaussianBlur(m, (11, 11), 1.5) for m in (p, q))
        pp, qq, pq = (cv2.GaussianBlur(m, (11, 11), 1.5) for m in (p * p, q * q, p * q))
        top = (2 * mp * mq + 1e-4) * (2 * (pq - mp * mq) + 9e-4)
        values.append((top / ((mp**2 + mq**2 + 1e-4) * (pp - mp**2 + qq - mq**2 + 9e-4))).mean())
    return float(np.mean(values))


def sharpness(pictures: torch.Tensor) -> float:
    """Mean variance of the Laplacian of the luminance."""
    grey = pictures.mean(1).numpy()
    return float(np.mean([cv2.Laplacian(picture, cv2.CV_32F).var() for picture in grey]))


def pan(pictures: np.ndarray, frames: int = 4, step: int = 2) -> np.ndarray:
    """Frames of 224 px cut from one (256, 256, 3) picture by a window that moves `step` px to the right."""
    return np.stack([pictures[:, step * k : step * k + 224] for k in range(frames)])


def shimmer(frames: torch.Tensor, step: int = 2) -> float:
    """Mean absolute change (0 to 255) along the motion of a pan by `step` px, of (N, 3, H, W) in [-1, 1]."""
    return float((frames[:-1, ..., step:] - frames[1:, ..., :-step]).abs().mean() * 127.5)


def evaluate(work: Path, device: str = "cpu") -> dict:
    """Measure the model on `test256.npy`, print a table and write `report.json`."""
    sampler = Sampler(work, device)
    crops, names = np.load(work / "test256.npy"), (work / "test_names.txt").read_text().split()
    source = to_tensor(crops)
    targets = {name: to_tensor(np.stack([stylise(name, crop) for crop in crops])) for name in STYLES}
    nearest = {name: torch.nn.functional.avg_pool2d(target, 2) for name, target in targets.items()}

    def retrieved(output: torch.Tensor) -> list[str]:
        small = torch.nn.functional.avg_pool2d(output, 2)
        errors = {name: (small - t[: len(small)]).square().mean((1, 2, 3)) for name, t in nearest.items()}
        return [min(errors, key=lambda name, i=i: float(errors[name][i])) for i in range(len(output))]

    moving = pan(crops[list(names).index("chelsea")])
    report: dict = {"pictures": len(crops), "styles": {}}
    for name, target in targets.items():
        four, one = sampler(source, name), sampler(source, name, steps=1)
        paraphrases = [sampler(source[:3], phrase) for phrase in PHRASES[name][1:5]]
        hits = [hit == name for output in paraphrases for hit in retrieved(output)]
        row = {
            "autoencoder": psnr(reconstruct(sampler.vae, target), target),
            "source": psnr(source, target) if name != "photo" else float("nan"),
            "four": psnr(four, target),
            "one": psnr(one, target),
            "retrieval": float(np.mean([hit == name for hit in retrieved(four)])),
            "paraphrases": float(np.mean(hits)),
            "sharpness": sharpness(four) / sharpness(target),
            "ssim": structural_similarity(four, source),
            "shimmer": shimmer(sampler(to_tensor(moving), name)),
            "target shimmer": shimmer(to_tensor(np.stack([stylise(name, frame) for frame in moving]))),
        }
        report["styles"][name] = row
        print(f"{name:16}" + "".join(f" {key} {value:6.2f}" for key, value in row.items()), flush=True)
    unknown = sampler(source, "a zorgle with two blinkets")
    report["unknown"] = psnr(unknown, source)
    report["retrieval"] = float(np.mean([row["retrieval"] for row in report["styles"].values()]))
    report["paraphrases"] = float(np.mean([row["paraphrases"] for row in report["styles"].values()]))
    print({key: round(value, 3) for key, value in report.items() if key != "styles"}, flush=True)
    (work / "report.json").write_text(json.dumps(report, indent=1))
    return report


def label(tile: np.ndarray, text: str) -> np.ndarray:
    """A copy of an RGB tile with a white caption bar on top."""
    bar = np.full((16, tile.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([bar, tile])


def to_pictures(tensor: torch.Tensor) -> list[np.ndarray]:
    """(N, 3, H, W) in [-1, 1] to N uint8 RGB arrays."""
    return list(((tensor + 1) * 127.5 + 0.5).byte().permute(0, 2, 3, 1).numpy())


def contact_sheet(work: Path, path: Path, names: tuple[str, ...], tile: int = 128, columns: int = 6) -> None:
    """Write a PNG (256 colours) of the named held-out pictures side by side in every style."""
    from PIL import Image

    sampler = Sampler(work)
    known = (work / "test_names.txt").read_text().split()
    source = to_tensor(np.load(work / "test256.npy")[[known.index(name) for name in names]])
    cells = []
    for style in STYLES:
        pictures = [
            cv2.resize(p, (tile, tile), interpolation=cv2.INTER_AREA)
            for p in to_pictures(sampler(source, style))
        ]
        cells.append(label(np.hstack(pictures), style))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = Image.fromarray(np.vstack(rows))
    palette = sheet.quantize(256)
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
