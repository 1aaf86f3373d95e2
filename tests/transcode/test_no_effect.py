from __future__ import annotations

from pathlib import Path

import pytest

from streamv2v_cli.media.address import Address
from streamv2v_cli.media.open import MediaInput
from streamv2v_cli.prompting.script_reader import read_script
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.transcode.no_effect import model_limits, unused_prompts, unused_settings


def notes(*sets: str, configs: tuple[str, ...] = ()) -> list[str]:
    return [note.split(" has no effect")[0] for note in unused_settings(resolve(configs=configs, sets=sets))]


@pytest.mark.parametrize(
    ("sets", "unused"),
    [
        (["bank.size=4"], ["bank.size"]),
        (["bank.size=4", "bank.kind=queue"], []),
        (["bank.kind=none", "bank.interval=2", "bank.fuse.alpha=1"], ["bank.interval", "bank.fuse.alpha"]),
        (["bank.kind=none", "bank.motion.alpha=0"], []),
        (["bank.kind=none", "bank.motion.alpha=0.8", "bank.motion.detail=1"], []),
        (["bank.kind=queue", "bank.stratified=true"], ["bank.stratified"]),
        (["bank.fuse.layers=none", "bank.fuse.threshold=0.5"], ["bank.fuse.threshold"]),
        (["bank.fuse.layers=none", "bank.fuse.on=block"], ["bank.fuse.on"]),
        (["lookahead=16"], ["lookahead"]),
        (["lookahead=16", "bank.interval=16"], []),
        (["lookahead=16", "bank.kind=none"], []),
        (["lookahead=3", "bank.update=tick", "diffusion.steps=2"], []),
        (["lookahead=4", "bank.update=tick", "diffusion.steps=2"], ["lookahead"]),
        (["bank.update=tick", "diffusion.steps=1"], ["bank.update"]),
        (["bank.update=tick", "bank.kind=none"], ["bank.update"]),
        (
            ["diffusion.guidance.scale=2", "negative_prompt=x"],
            ["negative_prompt", "diffusion.guidance.scale"],
        ),
        (["diffusion.guidance.kind=full", "diffusion.guidance.scale=2", "negative_prompt=x"], []),
        (["diffusion.guidance.kind=full", "diffusion.guidance.delta=2"], ["diffusion.guidance.delta"]),
        (["diffusion.guidance.kind=self", "negative_prompt=x"], ["negative_prompt"]),
        (["diffusion.steps=1", "diffusion.add_noise=false"], ["diffusion.add_noise"]),
        (["skip_similar.max_skip=3"], ["skip_similar.max_skip"]),
        (["skip_similar.enabled=true", "skip_similar.max_skip=3"], []),
        (["translator=passthrough", "seed=3", "output.crf=20"], ["seed"]),
        (["translator=passthrough", "frame.mix=0.5"], ["frame.mix"]),
        (["translator=passthrough", "control.nets=canny"], ["control.nets"]),
        (["control.nets=canny", "control.video=a.mp4"], ["control.video"]),
        (["control.nets='a:video'", "control.video=a.mp4"], []),
        (["control.nets='canny:0-0.3'", "diffusion.steps=2"], ["control.nets"]),
        (["control.nets=['canny:0-0.3', tile]", "diffusion.steps=2"], []),
        (["style.layers=up", "style.adapter=a/b"], ["style.layers", "style.adapter"]),
        (["style.images=a.png", "style.layers=up", "style.adapter=a/b", "style.encoder=c"], []),
        (["style.images=a.png", "style.layers=none"], ["style.images"]),
        (["style.images=a.png", "style.encoder=c"], ["style.encoder"]),
        (["frame.guide.radius=3", "frame.grid=8", "frame.palette=4"], []),
        (
            ["frame.upscale=bicubic", "frame.guide.radius=3", "frame.grid=8", "frame.palette=4"],
            ["frame.guide.radius", "frame.grid", "frame.palette"],
        ),
        (["frame.upscale=nearest", "frame.guide.radius=3", "frame.grid=8"], ["frame.guide.radius"]),
        (["frame.output_size=model", "frame.upscale=guided"], ["frame.upscale"]),
        (["frame.output_size=model", "frame.upscale=nearest", "frame.grid=8", "frame.palette=4"], []),
        (["quality=best", "frame.size=300"], ["quality"]),
        (["quality=best", "diffusion.steps=1"], []),
        ([], []),
    ],
)
def test_what_is_set_and_does_nothing_is_named(sets: list[str], unused: list[str]) -> None:
    assert sorted(notes(*sets)) == sorted(unused)


def test_presets_may_say_more_than_a_run_uses() -> None:
    assert notes("bank.kind=none", configs=("fidelity",)) == []


@pytest.mark.parametrize(
    ("source", "sets", "unused"),
    [
        ("clip.mp4", [], ["reconnect", "rtsp_transport", "timeout"]),
        ("rtsp://camera/x", [], []),
        ("http://server/clip.mp4", [], ["reconnect", "rtsp_transport"]),
        ("http://server/clip.mp4", ["input.live=on"], ["rtsp_transport"]),
        ("udp://127.0.0.1:1", ["input.live=off"], ["reconnect", "rtsp_transport"]),
        ("camera:0", [], ["rtsp_transport"]),
        ("camera:0", ["input.references=all"], ["references", "rtsp_transport"]),
        ("rtsp://camera/x", ["input.on_error=stop", "input.references=all"], ["on_error", "references"]),
        ("http://server/x.m3u8", ["input.references=all"], ["reconnect", "rtsp_transport"]),
        ("clip.mp4", ["input.on_error=stop"], ["reconnect", "rtsp_transport", "timeout"]),
    ],
)
def test_what_has_no_meaning_for_an_input_is_named(source: str, sets: list[str], unused: list[str]) -> None:
    given = ["input.reconnect=1", "input.timeout=1", "input.rtsp_transport=udp"]
    found = unused_settings(resolve(sets=[*given, *sets]), MediaInput(Address.of(source)))
    assert sorted(note.split(" has")[0].removeprefix("input.") for note in found) == unused


def test_images_are_not_interlaced(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    (tmp_path / "clip.mp4").touch()
    resolved = resolve(sets=["input.deinterlace=on"])
    for name in (".", "1.png", "%d.png", "*.png"):
        (note,) = unused_settings(resolved, MediaInput.of(tmp_path / name))
        assert note.startswith("input.deinterlace has no effect: the input consists of images")
    for name in ("clip.mp4", "none"):
        assert unused_settings(resolved, MediaInput.of(tmp_path / name)) == []
    assert unused_settings(resolved) == []


def test_the_reason_is_given() -> None:
    (note,) = unused_settings(resolve(sets=["lookahead=16"]))
    assert note == "lookahead has no effect: frames wait for the bank; 4 (bank.interval) is the most."


@pytest.mark.parametrize(
    ("sets", "unused"),
    [
        ([], ["negative_prompt in --prompts p.yaml"]),
        (["diffusion.guidance.kind=full"], []),
        (["diffusion.guidance.kind=initialize", "prompt=comic"], ["prompt"]),
        (["diffusion.guidance.kind=full", "prompt=neon", "diffusion.strength=0.4"], ["diffusion.strength"]),
        (["translator=passthrough", "prompt=comic"], ["--prompts p.yaml"]),
    ],
)
def test_what_prompts_over_time_say_in_vain(
    sets: list[str], unused: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text("- {frame: 0, prompt: neon, strength: 0.6}\n- {frame: 3, negative_prompt: red}")
    resolved = resolve(sets=sets)
    prompts = read_script(Path("p.yaml"), resolved.settings)
    assert [note.split(" has no effect")[0] for note in unused_prompts(resolved, prompts)] == unused
    assert unused_prompts(resolved, None) == []


def test_images_are_decoded_in_software(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    for choice, count in (("none", 0), ("auto", 0), ("cuda", 1)):
        found = unused_settings(resolve(sets=[f"input.hwaccel={choice}"]), MediaInput.of(tmp_path))
        assert [note for note in found if note.startswith("input.hwaccel has no effect")] == found
        assert len(found) == count
    assert unused_settings(resolve(sets=["input.hwaccel=cuda"]), MediaInput.of("clip.mp4")) == []


@pytest.mark.parametrize("strength", ["0.3", "0.8"])
def test_a_strength_that_the_model_cannot_use_is_named(strength: str) -> None:
    resolved = resolve(sets=["prompt=comic", f"diffusion.strength={strength}"])
    (note,) = model_limits(resolved.settings)
    assert note.startswith(
        f"diffusion.strength {strength} is outside 0.4 to 0.6, the useful range of the model mini"
    )


def test_strengths_over_time_are_looked_at_once(tmp_path: Path) -> None:
    script = tmp_path / "p.yaml"
    script.write_text(
        "- {frame: 0, prompt: comic}\n- {frame: 1, strength: 0.4}\n- {frame: 2, strength: 0.9}\n"
        "- {frame: 3, prompt: neon, strength: 0.9}"
    )
    settings = resolve().settings
    (note,) = model_limits(settings, read_script(script, settings))
    assert "diffusion.strength 0.9 is" in note
    assert model_limits(settings.model_copy(update={"translator": "passthrough"})) == []


def test_what_the_model_makes_nothing_of_is_named() -> None:
    settings = resolve(sets=["prompt=comic", "style.images=a.png"]).settings
    (note,) = model_limits(settings)
    assert note.startswith("style.images has no visible effect with the model mini: its self-attention")
    assert model_limits(resolve(sets=["prompt=comic"]).settings) == []
