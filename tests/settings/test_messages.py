"""What a user is told about a wrong key or value, in plain words."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Section, Settings


def leaves(model, prefix=""):
    """(dotted key, annotation, [(kind of bound, bound)]) of every option, straight from the models."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
            continue
        metadata = list(field.metadata)
        for part in get_args(field.annotation):
            if get_origin(part) is Annotated:
                metadata += [m for extra in get_args(part)[1:] for m in extra.metadata]
        bounds = [
            (kind, getattr(m, kind))
            for m in metadata
            for kind in ("ge", "gt", "le", "lt")
            if hasattr(m, kind)
        ]
        yield f"{prefix}{name}", field.annotation, bounds


def outside(kind, bound):
    step = 1 if isinstance(bound, int) and kind in ("ge", "le") else 0.5
    return {"ge": bound - step, "gt": bound, "le": bound + step, "lt": bound}[kind]


LEAVES = list(leaves(Settings))
BOUNDED = [(key, bounds, kind, bound) for key, _, bounds in LEAVES for kind, bound in bounds]
CHOICES = [(key, get_args(annotation)) for key, annotation, _ in LEAVES if get_origin(annotation) is Literal]
NUMBERS = [key for key, annotation, _ in LEAVES if annotation is float or annotation == float | None]


def refusal(**layers):
    with pytest.raises(ConfigError) as caught:
        resolve(**layers)
    return caught.value


def test_there_are_bounds_to_test():
    assert len(BOUNDED) > 25
    assert len(CHOICES) >= 7


@pytest.mark.parametrize(("key", "bounds", "kind", "bound"), BOUNDED, ids=lambda value: str(value))
def test_out_of_range_names_key_value_range_and_origin(key, bounds, kind, bound):
    value = outside(kind, bound)
    message = refusal(sets=[f"{key}={value}"]).message
    assert message.startswith(f"{key} must be ")
    assert f"not {value} (set by --set)" in message
    for _, limit in bounds:
        assert str(limit) in message


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", ".nan", ".inf", "1e999"])
def test_numbers_are_finite(key, value):
    assert refusal(sets=[f"{key}={value}"]).message.startswith(f"{key} must be a number")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_given_by_code_are_finite_too(value):
    assert "must be a number" in refusal(flags={"diffusion.strength": ("--strength", value)}).message


def test_numbers_without_bounds_would_be_finite_too():
    class Other(Section):
        number: float

    with pytest.raises(ValidationError, match="finite"):
        Other(number=math.nan)


@pytest.mark.parametrize(("key", "choices"), CHOICES)
def test_a_wrong_choice_lists_the_choices(key, choices):
    message = refusal(flags={key: ("--flag", "sideways")}).message
    assert message == f"{key} must be one of {', '.join(choices)}, not 'sideways' (set by --flag)."


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "diffusion.steps=four",
            "diffusion.steps must be a whole number from 1 to 8, not 'four' (set by --set).",
        ),
        (
            "diffusion.steps=2.5",
            "diffusion.steps must be a whole number from 1 to 8, not 2.5 (set by --set).",
        ),
        (
            "diffusion.steps=true",
            "diffusion.steps must be a whole number from 1 to 8, not 'true' (set by --set).",
        ),
        (
            "diffusion.steps=[4]",
            "diffusion.steps must be a whole number from 1 to 8, not ['4'] (set by --set).",
        ),
        ("diffusion.steps=", "diffusion.steps must be a whole number from 1 to 8, not '' (set by --set)."),
        (
            "diffusion.steps=null",
            "diffusion.steps must be a whole number from 1 to 8, not null (set by --set).",
        ),
        (
            "diffusion.add_noise=maybe",
            "diffusion.add_noise must be true or false, not 'maybe' (set by --set).",
        ),
        ("lookahead=0", "lookahead must be auto or a whole number from 1 to 64, not 0 (set by --set)."),
        (
            "lookahead=never",
            "lookahead must be auto or a whole number from 1 to 64, not 'never' (set by --set).",
        ),
        (
            "compute.device=tpu",
            "compute.device must be auto, cpu, mps, cuda or cuda:N, not 'tpu' (set by --set).",
        ),
        (
            "frame.size=8",
            "frame.size must be native, a short side from 16 to 8192 pixels or WIDTHxHEIGHT with sides "
            "from 16 to 8192 pixels, not 8 (set by --set).",
        ),
        (
            "frame.size=640x9",
            "frame.size must be native, a short side from 16 to 8192 pixels or WIDTHxHEIGHT with sides "
            "from 16 to 8192 pixels, not '640x9' (set by --set).",
        ),
        (
            "frame.output_size=0x99999",
            "frame.output_size must be source, model or WIDTHxHEIGHT with sides from 16 to 8192 pixels, "
            "not '0x99999' (set by --set).",
        ),
        (
            "weights.loras=[{source: a, weight: 11}]",
            "weights.loras[0].weight must be a number from -10 to 10, not 11 (set by --set).",
        ),
        (
            "weights.loras=[a.safetensors:nan]",
            "weights.loras[0].weight must be a number from -10 to 10, not nan (set by --set).",
        ),
        (
            "weights.loras=[a, {source: b, wait: 1}]",
            "weights.loras[1].wait must be one of source, weight, not 1 (set by --set).",
        ),
        (
            "weights.loras=[[a]]",
            "weights.loras[0] must be a text or a mapping with source and weight, not ['a'] (set by --set).",
        ),
        ("bank.fuse.layers={a: b}", "bank.fuse.layers must be a list, not {'a': 'b'} (set by --set)."),
        ("model=", "model must be a text that is not empty, not '' (set by --set)."),
        ("output.crf=best", "output.crf must be a number from 0 to 63 or none, not 'best' (set by --set)."),
    ],
)
def test_messages_are_plain_words(setting, message):
    assert refusal(sets=[setting]).message == message


def test_every_wrong_value_is_reported_at_once():
    message = refusal(sets=["bank.size=0"], flags={"diffusion.steps": ("--steps", "9")}).message
    assert message.splitlines() == [
        "diffusion.steps must be a whole number from 1 to 8, not 9 (set by --steps).",
        "bank.size must be a whole number from 1 to 16, not 0 (set by --set).",
    ]


def test_a_schedule_too_short_for_the_steps_says_what_to_change():
    message = refusal(sets=["diffusion.strength=0.1", "diffusion.steps=8"]).message
    assert message == (
        "diffusion.strength 0.1 of diffusion.grid 50 leaves 5 timesteps, too few for diffusion.steps 8; "
        "raise diffusion.strength or lower diffusion.steps."
    )
    assert resolve(sets=["diffusion.strength=0.16", "diffusion.steps=8"]).settings.diffusion.steps == 8


def test_a_long_value_is_shortened():
    assert len(refusal(sets=["bank.kind=" + "x" * 10_000]).message) < 200


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("bank.kid", "bank.kind"),
        ("bank.interwal", "bank.interval"),
        ("interval", "bank.interval"),
        ("alpha", "bank.fuse.alpha"),
        ("bank.alpha", "bank.fuse.alpha"),
        ("bank.treshold", "bank.fuse.threshold"),
        ("promt", "prompt"),
        ("negative-prompt", "negative_prompt"),
        ("loras", "weights.loras"),
        ("diffusion.guidance.skale", "diffusion.guidance.scale"),
        ("Bank.Kind", "bank.kind"),
        ("steps", "diffusion.steps"),
        ("codec", "output.codec"),
        ("bank.kind.name", "bank.kind"),
        ("output_size", "frame.output_size"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(tmp_path, wrong, nearest):
    expected = f"unknown key '{wrong}'; the nearest is '{nearest}'."
    assert refusal(sets=[f"{wrong}=1"]).message == f"--set: {expected}"
    config = tmp_path / "mine.yaml"
    config.write_text(f"{wrong}: 1\n")
    assert refusal(configs=[str(config)]).message == f"{config}: {expected}"
    assert refusal(flags={wrong: ("--flag", 1)}).message == f"--flag: {expected}"


def test_an_unknown_key_inside_a_group_is_named_in_full(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("bank:\n  fuse:\n    alfa: 1\n")
    assert (
        "unknown key 'bank.fuse.alfa'; the nearest is 'bank.fuse.alpha'"
        in refusal(configs=[str(config)]).message
    )


def test_a_group_with_a_lone_value_lists_its_options():
    error = refusal(sets=["bank.fuse=0.5"])
    assert error.message == "--set: 'bank.fuse' is a group of options and cannot be 0.5."
    assert (
        error.remedy
        == "Its options are bank.fuse.layers, bank.fuse.on, bank.fuse.threshold, bank.fuse.alpha."
    )


def test_every_option_is_described():
    def described(model):
        for field in model.model_fields.values():
            assert field.description
            assert field.description.endswith(".")
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                described(field.annotation)

    described(Settings)
