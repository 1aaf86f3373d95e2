"""Options that have no effect beside the others, and those that the model can do nothing with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.groups import largest_group

if TYPE_CHECKING:
    from streamv2v_cli.media.open import MediaInput
    from streamv2v_cli.prompting.state import Prompts
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.settings.schema import Frames, Settings

__all__ = ["model_limits", "unused_embeddings", "unused_prompts", "unused_settings"]


def unused_settings(resolved: Resolved, source: MediaInput | None = None) -> list[str]:
    """One sentence for each option that was given by a flag or by `--set` and changes nothing.

    Presets and files may hold such options: they describe more than one run.

    Args:
        resolved: the settings and where they came from.
        source: the input; None for files.
    """
    reasons = _reading_reasons(resolved.settings, source) + _reasons(resolved.settings)
    reasons += _quality_reasons(resolved)
    notes = []
    for key, origin in resolved.origins.items():
        if not origin.startswith("--"):
            continue
        reason = next(
            (text for prefix, text in reasons if key == prefix or key.startswith(f"{prefix}.")), None
        )
        if reason:
            notes.append(f"{key} has no effect: {reason}.")
    return notes


def model_limits(settings: Settings, prompts: Prompts | None = None, others: Iterable[str] = ()) -> list[str]:
    """Sentences on a prompt that names no style of a model that knows only certain ones, and on useless values.

    Args:
        settings: the whole configuration, with the first prompt.
        prompts: what --prompts or --prompt-file says, if one of them was given.
        others: further prompts of the same run.
    """
    if settings.translator == "passthrough":
        return []
    from streamv2v_cli.models.recommendations import useful_ranges, without_effect
    from streamv2v_cli.models.styles import unknown_style_note
    from streamv2v_cli.settings.keys import values_of

    later = (prompts.record() if prompts else None) or []
    texts = [settings.prompt, *(str(row.get("prompt", "")) for row in later), *others]
    values = {key: [value] for key, value in values_of(settings).items()}
    defaults = values_of(type(settings)())
    values["diffusion.strength"] += [float(str(row["strength"])) for row in later if "strength" in row]
    note = unknown_style_note(settings.model, texts)
    return [
        *([note] if note else []),
        *(
            f"{key} has no visible effect with the model {settings.model}: {reason}."
            for key, reason in without_effect(settings.model).items()
            if values[key] != [defaults[key]]
        ),
        *(
            f"{key} {value:g} is outside {low:g} to {high:g}, the useful range of the model {settings.model}; "
            "--mix shows more or less of the source."
            for key, (low, high) in useful_ranges(settings.model).items()
            for value in dict.fromkeys(values[key])
            if isinstance(value, int | float) and not low <= value <= high
        ),
    ]


def unused_embeddings(
    settings: Settings, prompts: Prompts | None = None, others: Iterable[str] = ()
) -> list[str]:
    """One sentence for each textual inversion of which no prompt has the word; none if the prompts are not known yet.

    Args:
        settings, prompts, others: as `model_limits` has them.
    """
    later = prompts.record() if prompts else []
    if later is None or settings.translator == "passthrough":
        return []
    from streamv2v_cli.models.adapters.embeddings import unused_embedding_notes

    texts = [str(row.get(key, "")) for row in later for key in ("prompt", "negative_prompt")]
    return unused_embedding_notes(settings, [settings.prompt, settings.negative_prompt, *texts, *others])


def unused_prompts(resolved: Resolved, prompts: Prompts | None) -> list[str]:
    """One sentence for each thing that prompts over time say or replace and that changes nothing.

    Args:
        resolved: the settings as they were given.
        prompts: what --prompts or --prompt-file says, if one of them was given.
    """
    if prompts is None:
        return []
    settings, origins = resolved.settings, resolved.origins
    if settings.translator == "passthrough":
        return [f"{prompts.option} has no effect on the picture: translator is passthrough."]
    notes = []
    kind = settings.diffusion.guidance.kind
    if prompts.negative_given and kind not in ("full", "initialize"):
        notes.append(f"negative_prompt in {prompts.option} has no effect: diffusion.guidance.kind is {kind}.")
    replaced = {
        "prompt": prompts.first.prompt != settings.prompt,
        "negative_prompt": prompts.first.negative_prompt != settings.negative_prompt,
        "diffusion.strength": prompts.first.strength != settings.diffusion.strength,
        "frame.mix": prompts.first.mix != settings.frame.mix,
        "mask.amount": prompts.first.mask != settings.mask.amount,
    }
    for key, differs in replaced.items():
        if differs and origins[key].startswith("--"):
            notes.append(f"{key} has no effect: {prompts.option} begins with a different one.")
    return notes


def _reading_reasons(settings: Settings, source: MediaInput | None) -> list[tuple[str, str]]:
    """The same for how the input is read."""
    from streamv2v_cli.media.address import Address

    address = Address.of("") if source is None else source.address
    reasons = []
    if address.kind not in ("rtsp", "rtsps"):
        reasons.append(("input.rtsp_transport", "the input is not an RTSP stream"))
    if not address.may_fall_silent:
        reasons.append(("input.timeout", "the input is neither on a network nor a camera"))
    if not address.is_read_live(settings.input.live) or not address.can_return:
        reasons.append(("input.reconnect", "the input is not live"))
    if address.is_read_live(settings.input.live):
        reasons.append(("input.on_error", "a live input always skips what is damaged"))
    if address.kind in ("camera", "lavfi", "rtsp", "rtsps", "rtp"):
        reasons.append(("input.references", "the input is neither a file nor a playlist"))
    if source is not None and source.images is not None:
        reasons.append(("input.deinterlace", "the input consists of images, which are not interlaced"))
        if settings.input.hwaccel not in ("none", "auto"):
            reasons.append(("input.hwaccel", "the input consists of images, which are decoded in software"))
    return reasons


def _quality_reasons(resolved: Resolved) -> list[tuple[str, str]]:
    """The same for a quality of which all that it sets is given elsewhere."""
    from streamv2v_cli.models.recommendations import QUALITIES, quality_settings

    settings = resolved.settings
    if settings.quality not in QUALITIES:
        return []
    origins = {
        key: resolved.origins.get(key, "model") for key in quality_settings(settings.model, settings.quality)
    }
    if not origins or not {"model", "default"}.isdisjoint(origins.values()):
        return []
    key, origin = next(iter(origins.items()))
    return [("quality", f"{key} comes from {origin}")]


_ENLARGING = ("frame.upscale", "frame.guide", "frame.grid", "frame.palette")
_BLOCKS = ("auto", "nearest")
"""Values of `frame.upscale` under which there may be blocks, at any size of the output."""


def _enlarging_reasons(frame: Frames) -> list[tuple[str, str]]:
    """The same for how results are enlarged."""
    reasons = []
    if frame.output_size == "model":
        keys = ("frame.guide",) if frame.upscale in _BLOCKS else ("frame.upscale", "frame.guide")
        reasons += [(key, "frame.output_size is model") for key in keys]
    if frame.upscale not in ("auto", "guided"):
        reasons.append(("frame.guide", f"frame.upscale is {frame.upscale}"))
    if frame.upscale not in _BLOCKS:
        reasons += [(key, f"frame.upscale is {frame.upscale}") for key in ("frame.grid", "frame.palette")]
    return reasons


def _reasons(settings: Settings) -> list[tuple[str, str]]:
    """Keys or sections without effect under these settings, each with the reason; the first that fits counts."""
    if settings.translator == "passthrough":
        # Scene cuts are found, counted and listed without a model as well.
        bank_keys = [f"bank.{key}" for key in type(settings.bank).model_fields if key != "reset_on_cut"]
        sections = (
            "prompt",
            "negative_prompt",
            "clip_skip",
            "seed",
            "model",
            "lookahead",
            "diffusion",
            *bank_keys,
        )
        sections = (
            *sections,
            "frame.mix",
            "frame.match_colours",
            *_ENLARGING,
            "mask",
            "quality",
            "skip_similar",
            "weights",
            "control",
            "style",
            "compute",
        )
        return [(key, "translator is passthrough") for key in sections]
    bank, guidance = settings.bank, settings.diffusion.guidance
    reasons = _enlarging_reasons(settings.frame)
    if bank.kind == "none":
        keys = ["size", "interval", "update", "stratified", "attention", "fuse"]
        reasons += [(f"bank.{key}", "bank.kind is none") for key in keys]
    if bank.kind != "queue":
        reasons.append(("bank.size", f"it is for a queue, and bank.kind is {bank.kind}"))
    if bank.kind != "dyme":
        reasons.append(("bank.stratified", f"it is for dyme, and bank.kind is {bank.kind}"))
    if not settings.control.takes_video:
        reasons.append(("control.video", "no ControlNet takes its pictures from it (--controlnet DIR:video)"))
    nets, steps = settings.control.nets, settings.diffusion.steps
    if not any(net.active(step, steps) for net in nets for step in range(steps)):
        reasons.append(("control.nets", f"none of the {steps} denoising steps lies within their ranges"))
    style = settings.style
    if not style.images:
        reasons += [(f"style.{key}", "there is no style picture") for key in ("adapter", "encoder", "layers")]
    elif not style.layers:
        reasons.append(("style.images", "style.layers is none"))
    if style.adapter is None:
        reasons.append(("style.encoder", "there is no IP-Adapter"))
    if not bank.fuse.layers:
        reasons += [(f"bank.fuse.{key}", "bank.fuse.layers is none") for key in ("on", "threshold", "alpha")]
    if bank.motion.alpha == 0:
        reasons += [(f"bank.motion.{key}", "bank.motion.alpha is 0") for key in ("tolerance", "detail")]
    most = largest_group(bank, settings.diffusion.steps)
    if bank.kind != "none" and settings.lookahead != "auto" and settings.lookahead > most:
        why = "bank.interval" if bank.update == "frame" else "bank.interval, bank.update is tick"
        reasons.append(("lookahead", f"frames wait for the bank; {most} ({why}) is the most"))
    if guidance.kind == "none":
        reasons.append(("diffusion.guidance.scale", "diffusion.guidance.kind is none"))
    if guidance.kind not in ("self", "initialize"):
        reasons.append(("diffusion.guidance.delta", f"diffusion.guidance.kind is {guidance.kind}"))
    if guidance.kind not in ("full", "initialize"):
        reasons.append(("negative_prompt", f"diffusion.guidance.kind is {guidance.kind}"))
    if settings.diffusion.steps == 1:
        only = "there is only one denoising step"
        reasons += [("diffusion.add_noise", only), ("bank.update", only)]
    if settings.mask.source is None:
        reasons += [(f"mask.{key}", "there is no mask") for key in ("invert", "feather", "amount")]
    if not settings.skip_similar.enabled:
        keys = ["threshold", "max_skip"]
        reasons += [(f"skip_similar.{key}", "skip_similar.enabled is off") for key in keys]
    return reasons
