"""Stage `eval`: figures of the exported model on the held-out pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from streamv2v_cli.models.folding import fold
from tools.train_mini.autoencoder import psnr, reconstruct, to_tensor
from tools.train_mini.data import held_out
from tools.train_mini.export import MODEL_DIR
from tools.train_mini.prompts import PHRASES
from tools.train_mini.sampling import restyle
from tools.train_mini.styles import STYLES, stylise

__all__ = ["GRADES", "Nearest", "Sampler", "evaluate", "sharpness", "to_pictures"]

#: Styles that only change colours: their structure should be that of the source.
GRADES = ("photo", "sepia", "black and white", "night", "sunset", "autumn", "winter", "thermal")


class Sampler:
    """Pictures in, pictures out, with the exported model, as the engine runs it but in batches."""

    def __init__(self, folder: Path = MODEL_DIR, device: str = "cpu") -> None:
        self.device = device
        self.unet, self.text, self.vae = (
            kind.from_pretrained(folder, subfolder=part, torch_dtype=torch.float32).to(device).eval()
            for kind, part in (
                (UNet2DConditionModel, "unet"),
                (CLIPTextModel, "text_encoder"),
                (AutoencoderTiny, "vae"),
            )
        )
        fold(self.vae)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        self.scheduler = LCMScheduler.from_pretrained(folder, subfolder="scheduler")

    @torch.no_grad()
    def __call__(self, pictures: torch.Tensor, prompt: str, steps: int = 1, seed: int = 0) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] under one prompt, to the same shape and range."""
        ids = self.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
        text = self.text(ids.to(self.device))[0].expand(len(pictures), -1, -1)
        scale = self.vae.config.scaling_factor
        latents = self.vae.encode(pictures.to(self.device)).latents * scale
        latents = restyle(self.unet, self.scheduler, latents, text, steps=steps, seed=seed)
        return self.vae.decode(latents / scale).sample.clamp(-1, 1).cpu()


def structural_similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    """SSIM (Wang et al., 2004) of the luminance of (N, 3, H, W) in [-1, 1], Gaussian window of 1.5 px."""
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    x, y = (((picture + 1) / 2 * weights).sum(1).numpy() for picture in (a, b))
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


def evaluate(work: Path, device: str = "cpu") -> dict:
    """Measure the exported model on the held-out pictures, print a table and write `report.json` to `work`."""
    sampler = Sampler(device=device)
    crops, _ = held_out(work)
    source = to_tensor(crops)
    targets = {name: to_tensor(np.stack([stylise(name, crop) for crop in crops])) for name in STYLES}
    nearest = Nearest(targets)
    report: dict = {"pictures": len(crops), "styles": {}}
    for name, target in targets.items():
        four, one = sampler(source, name, steps=4), sampler(source, name)
        phrases = [f"please show this as {phrase}" for phrase in PHRASES[name][1:5]]
        hits = [hit == name for text in phrases for hit in nearest(sampler(source[:4], text))]
        row = {
            "autoencoder": psnr(reconstruct(sampler.vae, target), target),
            "source": psnr(source, target) if name != "photo" else float("nan"),
            "four": psnr(four, target),
            "one": psnr(one, target),
            "retrieval": float(np.mean([hit == name for hit in nearest(one)])),
            "paraphrases": float(np.mean(hits)),
            "sharpness": sharpness(one) / sharpness(target),
            "ssim": structural_similarity(one, source),
        }
        report["styles"][name] = row
        print(f"{name:16}" + "".join(f" {key} {value:6.2f}" for key, value in row.items()), flush=True)
    unknown = sampler(source, "a zorgle with two blinkets")
    report["unknown"] = psnr(unknown, source)
    report["retrieval"] = float(np.mean([row["retrieval"] for row in report["styles"].values()]))
    report["paraphrases"] = float(np.mean([row["paraphrases"] for row in report["styles"].values()]))
    print({key: round(value, 3) for key, value in report.items() if key != "styles"}, flush=True)
    (work / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


class Nearest:
    """Names the style whose target is nearest to each picture of a batch, at half the resolution.

    Args:
        targets: style -> (N, 3, H, W), the same pictures in that style.
    """

    def __init__(self, targets: dict[str, torch.Tensor]) -> None:
        self.targets = {name: F.avg_pool2d(target, 2) for name, target in targets.items()}

    def __call__(self, outputs: torch.Tensor) -> list[str]:
        """The names for the first len(outputs) pictures, (n, 3, H, W)."""
        small = F.avg_pool2d(outputs, 2)
        errors = {
            name: (small - target[: len(small)]).square().mean((1, 2, 3))
            for name, target in self.targets.items()
        }
        names, all_errors = list(errors), torch.stack(list(errors.values()))
        return [names[index] for index in all_errors.argmin(0).tolist()]


def to_pictures(tensor: torch.Tensor) -> list[np.ndarray]:
    """(N, 3, H, W) in [-1, 1] to N uint8 RGB arrays."""
    return list(((tensor + 1) * 127.5 + 0.5).byte().permute(0, 2, 3, 1).numpy())
