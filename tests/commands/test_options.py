"""The dedicated flags are generated from the settings models and end up in the right key."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from streamv2v_cli.commands.options import FLAGS, SettingsRequest, takes_settings
from streamv2v_cli.errors import UsageError
from streamv2v_cli.settings.keys import keys, values_of

SAMPLES = {
    "prompt": "ink", "negative_prompt": "blur", "clip_skip": "1", "diffusion.strength": "0.6", "diffusion.steps": "2",
    "diffusion.guidance.kind": "self", "diffusion.guidance.scale": "1.5", "seed": "7",
    "frame.size": "640x360", "frame.output_size": "model", "bank.kind": "queue", "bank.size": "3",
    "bank.interval": "2", "bank.fuse.alpha": "0.5", "bank.fuse.threshold": "0.9", "bank.motion.alpha": "0.5",
    "control.video": "depth.mp4",
    "frame.mix": "0.5", "frame.upscale": "bicubic", "frame.guide.strength": "0.5", "frame.match_colours": "0.5",
    "style.adapter": "h94/IP-Adapter", "mask.source": "alpha", "mask.feather": "3", "quality": "good",
    "model": "sd15",
    "weights.vae": "own", "weights.lcm_lora": "none", "weights.config": "folder",
    "compute.device": "cuda:1", "compute.dtype": "float16", "compute.attention": "sdpa",
 "compute.accel": "compile",
    "lookahead": "2", "translator": "passthrough", "output.codec": "libx265", "output.crf": "20",
    "output.preset": "fast", "output.pix_fmt": "yuv444p", "output.audio": "none", "output.metadata": "none",
    "output.subtitles": "none",
    "input.live": "on", "input.rtsp_transport": "udp", "input.timeout": "3.5", "input.reconnect": "0",
    "input.references": "files", "input.on_error": "stop", "input.hwaccel": "cuda",
    "output.format": "nut", "output.rate": "25", "output.bitrate": "4M",
    "output.keyint": "50", "input.hdr": "clip", "input.deinterlace": "on", "input.background": "red",
}  # fmt: skip


@pytest.fixture
def given():
    """Run a command that takes settings; gives its `SettingsRequest` and its own parameters."""
    seen = {}
    app = typer.Typer()

    @app.command()
    @takes_settings
    def probe(
        source: Annotated[str, typer.Argument(help="Input.")],
        request: SettingsRequest,
        output: Annotated[str, typer.Option("--output", "-o", help="Output.")] = "out.mp4",
    ) -> None:
        """Take settings."""
        seen.update(source=source, request=request, output=output)

    def run(*arguments):
        result = CliRunner().invoke(app, ["in.mp4", *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result, seen

    return run


def test_the_samples_cover_every_flag_with_a_value():
    others = {key for key in FLAGS if keys()[key].is_switch or FLAGS[key].repeatable}
    assert set(SAMPLES) == set(FLAGS) - others
    assert others == {
        "bank.reset_on_cut",
        "control.nets",
        "mask.invert",
        "skip_similar.enabled",
        "style.images",
        "weights.embeddings",
        "weights.loras",
        "weights.allow_pickle",
        "output.encoder_opt",
        "output.side_by_side",
    }


def test_every_flag_has_a_key_and_a_name_of_its_own():
    assert set(FLAGS) <= set(keys())
    names = [name for flag in FLAGS.values() for names in flag.names for name in names.split("/")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("key", "name"), [(key, name) for key in SAMPLES for name in FLAGS[key].names])
def test_a_flag_sets_its_key_and_nothing_else(given, key, name):
    _, seen = given(name, SAMPLES[key])
    request = seen["request"]
    assert request.flags == {key: (name if name.startswith("--") else FLAGS[key].names[0], SAMPLES[key])}
    resolved = request.resolve(recommend=False)
    defaults = {name: item.default for name, item in keys().items()}
    changed = {name for name, value in values_of(resolved.settings).items() if value != defaults[name]}
    assert changed == {key}
    assert resolved.origins[key] == FLAGS[key].names[0]


def test_switches_name_the_side_that_was_given(given):
    assert given("--skip-similar")[1]["request"].resolve().settings.skip_similar.enabled is True
    request = given("--no-skip-similar")[1]["request"]
    assert request.flags == {"skip_similar.enabled": ("--no-skip-similar", False)}
    assert given()[1]["request"].flags == {}


def test_repeated_flags_make_a_list(given):
    settings = given("--lora", "a:0.5", "--lora", "b,c")[1]["request"].resolve().settings
    assert [(lora.source, lora.weight) for lora in settings.weights.loras] == [("a", 0.5), ("b,c", 1.0)]


def test_presets_and_overrides_are_collected_in_order(given):
    request = given(
        "-c", "paper", "--set", "seed=1", "--config", "realtime", "--set", "seed=2", "--seed", "3"
    )[1]["request"]
    assert (request.configs, request.sets) == (("paper", "realtime"), ("seed=1", "seed=2"))
    resolved = request.resolve()
    assert (resolved.settings.diffusion.steps, resolved.settings.seed) == (1, 3)
    assert request.with_config("baseline").configs == ("baseline", "paper", "realtime")
    assert request.with_config(None) is request


def test_an_empty_text_is_a_value(given):
    request = given("--prompt", "", "--set", "prompt=x")[1]["request"]
    assert request.resolve().settings.prompt == ""


def test_the_commands_own_parameters_stay(given):
    assert given("-o", "x.mkv")[1]["source"] == "in.mp4"
    assert given("-o", "x.mkv")[1]["output"] == "x.mkv"
    assert given()[1]["output"] == "out.mp4"
    assert given("--nothing")[0].exit_code == 2


def test_a_wrong_value_names_the_flag(given):
    with pytest.raises(
        UsageError, match=r"diffusion\.steps must be a whole number from 1 to 8, not 0 \(set by --steps\)"
    ):
        given("--steps", "0")[1]["request"].resolve()


def test_help_shows_description_choices_range_and_default(given, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    text = " ".join(given("--help")[0].stdout.replace("│", " ").split())
    assert (
        "Denoising steps a frame; each is one row of the batch [from 1 to 8; model decides; mini: 1, else 4]"
        in text
    )
    assert "[from 1 to 64; default auto]" in text
    assert "[above 0 and at most 1; model decides; mini: 0.4]" in text
    assert "[from 1 to 16; default 1]" in text
    assert "[one of none, queue, dyme; default dyme]" in text
    assert "PATH_OR_ID[:WEIGHT] [repeatable]" in text
    assert (
        "A preset (baseline, default, fidelity, lossless, paper, published, realtime, steady), a YAML file, or a"
        in text
    )
    for key, flag in FLAGS.items():
        assert flag.names[0].split("/")[0] in text
        assert keys()[key].description.split()[0] in text


def test_the_wrapped_command_keeps_its_docstring_and_loses_the_request():
    def probe(request: SettingsRequest, name: str = "x") -> None:
        """Say something."""

    wrapped = takes_settings(probe)
    assert wrapped.__doc__ == "Say something."
    assert "request" not in inspect.signature(wrapped).parameters
    assert inspect.signature(wrapped).parameters["name"].default == "x"
