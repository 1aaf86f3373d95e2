"""`streamv2v config list` and `streamv2v config show`."""

from __future__ import annotations

import pytest
import yaml

from streamv2v_cli.settings.keys import keys
from streamv2v_cli.settings.resolve import preset_names, resolve


def effective(path, **layers):
    return resolve(configs=[str(path)], **layers).settings


def test_list_names_and_describes_the_presets(invoke, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = invoke("config", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *preset_names()]
    assert "No feature bank" in lines[1]


@pytest.mark.parametrize("name", preset_names())
def test_show_can_be_fed_back(console, tmp_path, name):
    shown = console("config", "show", name)
    assert (shown.returncode, shown.stderr) == (0, "")
    file = tmp_path / "effective.yaml"
    file.write_text(shown.stdout, encoding="utf-8")
    again = console("config", "show", "--config", str(file))
    assert again.stdout == shown.stdout
    assert effective(file) == effective(file, recommend=lambda *_: {"seed": 3})


def test_show_prints_every_key_as_yaml(invoke):
    document = yaml.safe_load(invoke("config", "show", "--prompt", "ink 猫").stdout)
    for name in keys():
        value = document
        for part in name.split("."):
            value = value[part]
    assert document["prompt"] == "ink 猫"


def test_show_takes_name_config_set_and_flags_in_this_order(invoke, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 2\nbank: {size: 2, interval: 2, kind: queue}\n")
    arguments = [
        "realtime",
        "-c",
        str(file),
        "--set",
        "bank.size=3",
        "--set",
        "bank.interval=3",
        "--bank-size",
        "5",
    ]
    document = yaml.safe_load(invoke("config", "show", *arguments).stdout)
    assert document["bank"]["size"] == 5
    assert document["bank"]["interval"] == 3
    assert document["seed"] == 2
    origins = invoke("config", "show", "--origin", *arguments).stdout
    said = {line.split()[0]: line.rpartition("  (")[2].rstrip(")") for line in origins.splitlines()}
    assert list(said) == list(keys())
    assert said["bank.size"] == "--bank-size"
    assert said["bank.interval"] == "--set"
    assert said["seed"] == f"file {file}"
    assert said["diffusion.steps"] == "preset realtime"
    assert said["prompt"] == "default"


def test_show_says_what_the_model_recommends(invoke, monkeypatch):
    monkeypatch.setattr(
        "streamv2v_cli.models.recommendations.recommended_settings",
        lambda model, quality, device: {"seed": 5} if model == "x" else {},
    )
    lines = invoke("config", "show", "--model", "x", "--origin").stdout.splitlines()
    assert ["seed", "5", "(model)"] in [line.split() for line in lines]
    assert yaml.safe_load(invoke("config", "show", "--model", "y").stdout)["seed"] == 0


def test_debug_works_in_subcommands(invoke):
    result = invoke("config", "show", "papr", "--debug")
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last):")


def test_origin_lists_are_written_as_set_takes_them(invoke):
    lines = invoke("config", "show", "--origin").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("bank.fuse.layers")]
    value = line.split("  ", 1)[1].strip().rpartition("  (")[0]
    assert resolve(sets=[f"bank.fuse.layers={value}"]).settings == resolve().settings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["papr"], "Did you mean 'paper'?"),
        (["--config", "papr"], "Did you mean 'paper'?"),
        (["--set", "bank.kid=queue"], "the nearest is 'bank.kind'"),
        (["--set", "bank.interval=65"], "from 1 to 64, not 65"),
        (["--set", "bank"], "expected key=value"),
    ],
)
def test_wrong_settings_are_exit_code_2_without_output(invoke, arguments, words):
    result = invoke("config", "show", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
