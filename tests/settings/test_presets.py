"""The presets that ship with the package, and the round trip of effective settings through YAML."""

from __future__ import annotations

import pytest
from helpers import ROOT

from streamv2v_cli.settings.resolve import preset_description, preset_names, resolve, to_yaml
from streamv2v_cli.settings.schema import Settings

NAMES = ["baseline", "default", "fidelity", "lossless", "paper", "published", "realtime", "steady"]


def test_names():
    assert preset_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_described_by_its_first_line(name):
    first = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# {preset_description(name)}"
    assert len(preset_description(name)) > 20


def test_default_spells_out_the_defaults():
    assert resolve(configs=["default"]).settings == Settings()


def test_paper_has_the_settings_of_the_paper():
    settings = resolve(
        configs=["paper"], recommend=lambda *_: {"diffusion": {"steps": 1, "strength": 0.9}}
    ).settings
    assert settings.model == "sd15"
    assert settings.frame.size == 512
    assert (settings.diffusion.steps, settings.diffusion.strength) == (4, 0.4)
    assert (settings.bank.kind, settings.bank.interval) == ("dyme", 4)
    assert settings.bank.attention.layers == ("all",)
    assert settings.bank.fuse.layers == ("mid", "up.0", "up.1")
    assert (settings.bank.fuse.threshold, settings.bank.fuse.alpha) == (0.98, 0.75)
    assert (settings.weights.vae, settings.weights.lcm_lora) == ("auto", "auto")


def test_published_differs_from_the_paper_by_what_the_authors_program_does():
    paper, published = (resolve(configs=[name]).settings.model_dump() for name in ("paper", "published"))
    assert published["frame"].pop("size") == "native"
    assert paper["frame"].pop("size") == 512
    changed = {"update": "tick", "reset_on_cut": False}
    assert {key: published["bank"].pop(key) for key in changed} == changed
    assert {key: paper["bank"].pop(key) for key in changed} == {"update": "frame", "reset_on_cut": True}
    assert (paper["bank"]["fuse"].pop("alpha"), published["bank"]["fuse"].pop("alpha")) == (0.75, 0.8)
    assert paper == published


def test_what_defines_the_others():
    assert resolve(configs=["realtime"]).settings.diffusion.steps == 1
    fidelity = resolve(configs=["fidelity"]).settings.bank
    assert (fidelity.kind, fidelity.size) == ("queue", 4)
    steady = resolve(configs=["steady"]).settings.bank
    assert (steady.kind, steady.fuse.on, steady.fuse.layers) == ("dyme", "block", ("down.0",))
    assert steady.motion.alpha == 0.9
    baseline = resolve(configs=["baseline"], recommend=lambda *_: {"bank": {"motion": {"alpha": "0.9"}}})
    assert (baseline.settings.bank.kind, baseline.settings.bank.motion.alpha) == ("none", 0)


ROUND_TRIPS = [[f"--config={name}"] for name in NAMES] + [
    ["prompt=null", "negative_prompt=~"],
    ["prompt=two\nlines: [and # more]", "model=./päth/to model"],
    ["prompt=  spaces  ", "negative_prompt=123"],
    ["weights.loras=[a.safetensors:0.5, 'b:c:-2', {source: 'x:1', weight: 3}]"],
    ["output.crf=none", "output.preset=none", "weights.config=/some/folder"],
    ["bank.fuse.layers=none", "bank.attention.layers=[mid]", "lookahead=3"],
    ["diffusion.add_noise=off", "skip_similar.enabled=on", "frame.size=640x360", "frame.output_size=model"],
    ["diffusion.guidance.scale=1e-7", "seed=4294967295"],
]


@pytest.mark.parametrize("items", ROUND_TRIPS, ids=str)
def test_effective_settings_can_be_fed_back(tmp_path, items):
    configs = [item.removeprefix("--config=") for item in items if item.startswith("--config=")]
    sets = [item for item in items if not item.startswith("--config=")]
    settings = resolve(configs=configs, sets=sets).settings
    file = tmp_path / "effective.yaml"
    file.write_text(to_yaml(settings), encoding="utf-8")
    assert resolve(configs=[str(file)], recommend=lambda *_: {"seed": 5}).settings == settings


def test_the_yaml_says_every_key():
    text = to_yaml(Settings())
    for name in resolve().origins:
        assert f"{name.rpartition('.')[2]}:" in text


def test_presets_are_found_inside_an_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "streamv2v_cli"
    (package / "configs").mkdir(parents=True)
    (package / "configs" / "only.yaml").write_text("# The only one there is\nseed: 9\n")
    monkeypatch.setattr("streamv2v_cli.settings.resolve.__file__", str(package / "settings" / "resolve.py"))
    assert preset_names() == ["only"]
    assert resolve(configs=["only"]).settings.seed == 9
