"""LoRAs whose weights change in mid-stream, against runs that have those weights from the beginning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
from helpers.fake_graphs import FakeRecorder
from helpers.lora_files import random_updates, save_lora
from helpers.tiny import tiny_model
from helpers.tiny_xl import tiny_xl_model
from torch._dynamo.utils import counters

from streamv2v_cli.accel import CompiledRunner, CudaGraphRunner, PlainRunner
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.errors import ConfigError
from streamv2v_cli.models.loras.fuse import fuse_loras
from streamv2v_cli.models.loras.fused import LoraRequest
from streamv2v_cli.models.model import StylePicture
from streamv2v_cli.prompting import PromptedTranslator
from streamv2v_cli.prompting.script_reader import read_script
from streamv2v_cli.settings.schema import StyleImage

LAYERS = [
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",  # a part of one matrix for q, k and v
    "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",  # remembered with the prompt
    "time_embedding.linear_1",  # remembered with the timestep
    "mid_block.resnets.0.time_emb_proj",
    "down_blocks.1.resnets.0.conv2",
]
FIRST, SECOND = (0.5, 0.0), (-0.25, 1.0)


def lora_model(folder: Path, model: Any, *, adjustable: bool = True) -> Any:
    """The model with two LoRAs, which change its UNet and its text encoders; they are not yet fused."""
    requests = []
    for seed, weight in enumerate(FIRST):
        unet = random_updates(model.unet, LAYERS[: 6 - seed], seed=seed)
        names = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc2"]
        prefix = "text_model." if hasattr(model.text_encoder, "text_model") else ""
        text = random_updates(model.text_encoder, [prefix + name for name in names], seed=9 + seed)
        requests.append(LoraRequest(str(seed), save_lora(folder / f"{seed}.safetensors", unet, text), weight))
    modules = {"unet": model.unet, "text_encoder": model.text_encoder}
    if model.text_encoder_2 is not None:
        modules["text_encoder_2"] = model.text_encoder_2
    return replace(model, loras=fuse_loras(modules, requests, adjustable=adjustable))


@pytest.fixture
def chosen(settings: Any) -> Any:
    def make(weights: Any = FIRST, **changes: Any) -> Any:
        loras = [{"source": str(number), "weight": weight} for number, weight in enumerate(weights)]
        return settings(weights={"loras": loras}, **changes)

    return make


def play(translator: Any, clip: list[Any], changes: dict[int, Any]) -> list[np.ndarray]:
    """The pictures of a clip; before some frames LoRAs get other weights, once or several times."""
    out = []
    for number, frame in enumerate(clip):
        for weights in changes.get(number, ()):
            translator.set_prompt("a cat", loras=weights)
        out += translator.push(frame)
    out += translator.flush()
    assert [frame.pts for frame in out] == [frame.pts for frame in clip]
    return [frame.pixels for frame in out]


def with_style_picture() -> Any:
    """A model that looks at a picture, whose keys and values are those of the present weights."""
    model = tiny_model(dtype=torch.float64)
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return replace(model, styles=(StylePicture(pixels, StyleImage(source="x")),))


def same(a: list[np.ndarray], b: list[np.ndarray]) -> list[bool]:
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("lookahead", [1, 4])
@pytest.mark.parametrize("make", [tiny_model, tiny_xl_model, with_style_picture], ids=["sd", "sdxl", "style"])
def test_frames_before_and_after_are_those_of_whole_runs(
    chosen: Any, frames: Any, tmp_path: Path, make: Any, lookahead: int
) -> None:
    """Without a bank each frame stands alone."""
    model, clip = lora_model(tmp_path, make()), frames(8)
    common = {"diffusion": {"steps": 3}, "bank": {"kind": "none"}, "lookahead": lookahead}
    pictures = []
    for weights in (FIRST, SECOND):
        translator = Translator(model, chosen(weights, **common))
        pictures.append(play(translator, clip, {}))
        translator.close()
    translator = Translator(model, chosen(**common))
    both = play(translator, clip, {5: [SECOND]})
    assert same(both, pictures[0]) == [True] * 5 + [False] * 3
    assert same(both, pictures[1]) == [False] * 5 + [True] * 3
    translator.reset()
    assert all(same(play(translator, clip, {}), pictures[0]))
    translator.close()


@pytest.mark.parametrize(
    "bank", [{"kind": "queue", "size": 2}, {"kind": "dyme"}, {"kind": "dyme", "update": "tick"}]
)
def test_the_bank_goes_on(chosen: Any, frames: Any, tmp_path: Path, bank: dict[str, Any]) -> None:
    """There and back at once: the frames in flight come out, and nothing is lost or seen twice."""
    model, clip = lora_model(tmp_path, tiny_model(dtype=torch.float64)), frames(11)
    results = {}
    for name, lookahead, changes in (
        ("undisturbed", 1, {}),
        ("back", 1, {5: [SECOND, FIRST], 6: [SECOND, FIRST]}),
        ("in groups", 4, {5: [SECOND, FIRST], 6: [SECOND, FIRST]}),
        ("changed", 1, {5: [SECOND], 8: [FIRST]}),
        ("changed in groups", 4, {5: [SECOND], 8: [FIRST]}),
    ):
        translator = Translator(
            model, chosen(bank={**bank, "interval": 4}, diffusion={"steps": 2}, lookahead=lookahead)
        )
        results[name] = play(translator, clip, changes)
        translator.close()
    assert all(same(results["undisturbed"], results["back"]))
    assert all(same(results["undisturbed"], results["in groups"]))
    assert all(same(results["changed"], results["changed in groups"]))
    assert same(results["undisturbed"], results["changed"])[:7] == [True] * 5 + [False] * 2


def test_nothing_is_captured_or_compiled_again(
    chosen: Any, frames: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clip = lora_model(tmp_path, tiny_model(dtype=torch.float64)), frames(12)
    recorder = FakeRecorder()
    recorded, graphs = [], []
    runners = {
        "plain": PlainRunner,
        "graphs": lambda work: CudaGraphRunner(recorder, PlainRunner(work)),
        "compiled": lambda work: CompiledRunner(work, backend="aot_eager"),
    }
    results = {}
    for name, make in runners.items():
        torch._dynamo.reset()
        monkeypatch.setattr(
            "streamv2v_cli.diffusion.engine.make_runner", lambda accel, work, *_, make=make, **__: make(work)
        )
        translator = Translator(model, chosen(bank={"kind": "queue"}, diffusion={"steps": 2}, lookahead=1))
        for _ in range(
            2
        ):  # each kind of tick, also of those that bring out the frames in flight, is captured once
            play(translator, clip, {5: [FIRST[::-1]], 9: [FIRST]})
        recorded.append(len(recorder.recordings))
        graphs.append(counters["stats"]["unique_graphs"])
        results[name] = play(translator, clip, {5: [SECOND], 9: [FIRST]})
        recorded.append(len(recorder.recordings))
        graphs.append(counters["stats"]["unique_graphs"])
        translator.close()
    torch._dynamo.reset()
    assert recorded[2] == recorded[3] > 0
    assert graphs[4] == graphs[5] > graphs[3]
    assert all(same(results["plain"], results["graphs"]))
    assert all(same(results["plain"], results["compiled"]))


def test_a_script_says_the_weights(chosen: Any, frames: Any, tmp_path: Path) -> None:
    model, clip = lora_model(tmp_path, tiny_model()), frames(6)
    common: dict[str, Any] = {"bank": {"kind": "none"}, "diffusion": {"steps": 2}}
    pictures = []
    for weights in (SECOND, FIRST):
        translator = Translator(model, chosen(weights, **common))
        pictures.append(play(translator, clip, {}))
        translator.close()
    (tmp_path / "p.yaml").write_text("- {frame: 0, loras: [-0.25, 1]}\n- {frame: 4, loras: [0.5, 0]}\n")
    script = read_script(tmp_path / "p.yaml", chosen(**common))
    assert script.changes_loras
    assert script.first.applied_to(chosen(**common)) == chosen(SECOND, **common)
    assert script.record() == [{"frame": 0, "loras": [-0.25, 1]}, {"frame": 4, "loras": [0.5, 0]}]
    translator = PromptedTranslator(Translator(model, chosen(SECOND, **common)), script)
    out = [x.pixels for frame in clip for x in translator.push(frame)] + [
        x.pixels for x in translator.flush()
    ]
    assert same(out, pictures[0]) == [True] * 4 + [False] * 2
    assert same(out, pictures[1]) == [False] * 4 + [True] * 2
    translator.close()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("loras: [1, 2, 3]", "has 3 weights, and there are 2 LoRAs"),
        ("loras: 11", "loras 11 must be weights from -10 to 10"),
        ("loras: [1, nan]", "must be weights"),
        ("loras: [1, [2]]", "must be weights"),
        ("loras: {a: 1}", "must be a text or a number"),
        ("loras: [1, 2], transition: linear, over: 3", "change at once"),
    ],
)
def test_wrong_weights_in_a_script(chosen: Any, tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(f"- {{frame: 0, {entry}}}\n")
    with pytest.raises(ConfigError, match=message):
        read_script(tmp_path / "p.yaml", chosen())


def test_weights_that_cannot_change(chosen: Any, tmp_path: Path) -> None:
    model = lora_model(tmp_path, tiny_model(), adjustable=False)
    translator = Translator(model, chosen())
    with pytest.raises(ConfigError, match=r"cannot become -0\.25, 1"):
        translator.set_prompt("a cat", loras=SECOND)
    translator.set_prompt("a cat", loras=FIRST)
