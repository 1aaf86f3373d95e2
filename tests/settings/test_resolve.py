"""The layers of the configuration: which wins, and where each value is said to come from."""

from __future__ import annotations

import itertools

import pytest

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Settings

LAYERS = ["model", "config", "set", "flag"]
STRENGTHS = {"model": 0.5, "config": 0.6, "set": 0.7, "flag": 0.8}


@pytest.mark.parametrize(
    "present", [c for n in range(len(LAYERS) + 1) for c in itertools.combinations(LAYERS, n)], ids="+".join
)
def test_the_highest_layer_present_wins(tmp_path, present):
    config = tmp_path / "mine.yaml"
    config.write_text(f"diffusion:\n  strength: {STRENGTHS['config']}\n")
    origins = {"model": "model", "config": f"file {config}", "set": "--set", "flag": "--strength"}
    resolved = resolve(
        configs=[str(config)] if "config" in present else [],
        sets=[f"diffusion.strength={STRENGTHS['set']}"] if "set" in present else [],
        flags={"diffusion.strength": ("--strength", str(STRENGTHS["flag"]))} if "flag" in present else {},
        recommend=(lambda *_: {"diffusion": {"strength": STRENGTHS["model"]}})
        if "model" in present
        else None,
    )
    winner = present[-1] if present else None
    assert resolved.settings.diffusion.strength == (STRENGTHS[winner] if winner else 0.4)
    assert resolved.origins["diffusion.strength"] == (origins[winner] if winner else "default")
    assert resolved.origins["diffusion.steps"] == "default"


def test_without_layers_the_settings_are_the_defaults():
    resolved = resolve()
    assert resolved.settings == Settings()
    assert set(resolved.origins.values()) == {"default"}


def test_layers_merge_leaf_by_leaf(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("bank:\n  kind: queue\n  size: 3\n  fuse:\n    alpha: 0.5\n")
    resolved = resolve(
        configs=[str(config)],
        sets=["bank={size: 5, fuse: {threshold: 0.9}}"],
        recommend=lambda *_: {"bank": {"interval": 2, "size": 9}},
    )
    bank = resolved.settings.bank
    assert (bank.kind, bank.size, bank.interval) == ("queue", 5, 2)
    assert (bank.fuse.alpha, bank.fuse.threshold) == (0.5, 0.9)
    assert resolved.origins["bank.kind"] == f"file {config}"
    assert resolved.origins["bank.size"] == "--set"
    assert resolved.origins["bank.interval"] == "model"
    assert resolved.origins["bank.fuse.alpha"] == f"file {config}"
    assert resolved.origins["bank.fuse.threshold"] == "--set"
    assert resolved.origins["bank.fuse.layers"] == "default"


def test_later_entries_of_a_layer_win():
    resolved = resolve(configs=["fidelity", "baseline"], sets=["seed=1", "seed=2"])
    assert resolved.settings.bank.kind == "none"
    assert resolved.settings.bank.size == 4
    assert resolved.settings.seed == 2
    assert resolved.origins["bank.kind"] == "preset baseline"
    assert resolved.origins["bank.size"] == "preset fidelity"


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        ({}, "mini"),
        ({"configs": ["paper"]}, "sd15"),
        ({"configs": ["paper"], "sets": ["model=one"]}, "one"),
        ({"configs": ["paper"], "sets": ["model=one"], "flags": {"model": ("--model", "two")}}, "two"),
    ],
)
def test_the_recommendations_asked_for_are_those_of_the_effective_model(arguments, model):
    asked = []

    def recommend(name, quality, device):
        asked.append(name)
        return {"frame": {"size": 256}, "seed": 7}

    resolved = resolve(**arguments, recommend=recommend)
    assert asked == [model]
    assert resolved.settings.model == model
    assert (resolved.settings.seed, resolved.origins["seed"]) == (7, "model")
    paper_says_the_size = "configs" in arguments
    assert resolved.settings.frame.size == (512 if paper_says_the_size else 256)


def test_a_preset_can_restore_a_default_over_a_recommendation():
    resolved = resolve(configs=["default"], recommend=lambda *_: {"diffusion": {"steps": 2}})
    assert resolved.settings.diffusion.steps == Settings().diffusion.steps
    assert resolved.origins["diffusion.steps"] == "preset default"


def test_a_bad_recommendation_is_blamed_on_the_model():
    with pytest.raises(
        ConfigError, match=r"recommendations of the model mini: unknown key 'bank\.intervall'"
    ):
        resolve(recommend=lambda *_: {"bank": {"intervall": 2}})
    with pytest.raises(ConfigError, match=r"bank\.interval must be .* \(set by model\)"):
        resolve(recommend=lambda *_: {"bank": {"interval": 0}})
    with pytest.raises(ConfigError, match="cannot name another model"):
        resolve(recommend=lambda *_: {"model": "other"})


def test_a_wrong_model_setting_is_reported_as_such():
    with pytest.raises(ConfigError, match="model must be a text that is not empty"):
        resolve(sets=["model="], recommend=lambda *_: pytest.fail("no model to ask for"))
