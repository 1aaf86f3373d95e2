"""Recorders against the frames themselves: what attention really took, and from where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_model
from torch.nn import functional as F

from streamv2v_cli.analysis.explain.provenance import MergedOrigins, TokenSource
from streamv2v_cli.analysis.explain.recorder import AttentionMap, BankRecorder, PointRecorder
from streamv2v_cli.bank.layers import AttentionLayer, attention_layers
from streamv2v_cli.bank.merging import draw_partition
from streamv2v_cli.diffusion.engine import Engine
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models import Model
from streamv2v_cli.settings.schema import Settings

pytestmark = pytest.mark.numerical

LAYER = "up_blocks.2.attentions.0.transformer_blocks.0.attn1"
THRESHOLD = 0.97
FRAMES = 7


@pytest.fixture(scope="module")
def model() -> Model:
    """With one head in each layer, so that the mean over heads is the attention itself.

    In float64, so that nearest tokens and thresholds do not hang on rounding.
    """
    return tiny_model(attention_head_dim=1, dtype=torch.float64)


def settings(**bank: Any) -> Settings:
    fuse = {"layers": ["mid", "up"], "threshold": THRESHOLD, "alpha": 0}
    return Settings.model_validate(
        {
            "prompt": "a cat",
            "lookahead": 1,
            "frame": {"size": 64},
            "diffusion": {"steps": 2, "strength": 0.6},
            "bank": {"interval": 2, "fuse": fuse, **bank},
        }
    )


def layer_of(model: Model, name: str = LAYER) -> AttentionLayer:
    (layer,) = [layer for layer in attention_layers(model.unet) if layer.name == name]
    return layer


class Spy:
    """What goes into a layer and comes out, frame by frame, for one bank row; alpha 0 leaves the output unfused."""

    def __init__(self, module: Any, row: int) -> None:
        self.inputs: list[torch.Tensor] = []
        self.outputs: list[torch.Tensor] = []
        self._row, self._tick = row, 0
        self._hook = module.register_forward_hook(self._see, with_kwargs=True)

    def _see(self, module: Any, arguments: Any, named: Any, output: torch.Tensor) -> None:
        # Frame f is in row r at tick f + r.
        if self._tick >= self._row:
            self.inputs.append(arguments[0][self._row])
            self.outputs.append(output[self._row])
        self._tick += 1

    def remove(self) -> None:
        self._hook.remove()


def play(
    model: Model, chosen: Settings, watch: Callable[[Engine], None], starts: tuple[int, ...] = ()
) -> None:
    scene = np.random.default_rng(2).integers(0, 256, (64, 64 + 3 * FRAMES, 3), dtype=np.uint8)
    translator = Translator(model, chosen)
    translator.on_engine = watch
    try:
        for index in range(FRAMES):
            if index in starts:
                translator.start_segment()
            translator.push(Frame(np.ascontiguousarray(scene[:, 3 * index : 3 * index + 64])))
        translator.flush()
    finally:
        translator.close()


def looked_at(
    model: Model,
    chosen: Settings,
    frame: int,
    token: int,
    row: int,
    starts: tuple[int, ...] = (),
    *,
    of_block: bool = False,
) -> tuple[AttentionMap, Spy]:
    """What a token attends to, and what goes through the layer, or what comes out of the block around it."""
    layer, kept = layer_of(model), []

    def watch(engine: Engine) -> None:
        kept.append(PointRecorder(layer, engine.bank, row=row, frame=frame, token=token))

    spy = Spy(layer.around if of_block else layer.module, row)
    try:
        play(model, chosen, watch, starts)
    finally:
        spy.remove()
        kept[0].remove()
    assert kept[0].found is not None
    return kept[0].found, spy


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize(
    ("bank", "past"),
    [
        ({"kind": "queue", "size": 2}, [4, 2]),
        ({"kind": "queue", "size": 4}, [4, 2, 0]),
        ({"kind": "dyme"}, [4, 2, 0]),
    ],
)
def test_shares_of_past_frames_make_up_the_output(
    model: Model, bank: dict[str, Any], past: list[int], row: int
) -> None:
    """Frame 6, which enters the bank itself, after 0, 2 and 4 have entered it."""
    token = 5
    found, spy = looked_at(model, settings(**bank), 6, token, row)
    attn = layer_of(model).module
    assert [spread.frame for spread in found.past] == past
    taken = found.current @ attn.to_v(spy.inputs[6])
    for spread in found.past:
        taken = taken + spread.weights @ attn.to_v(spy.inputs[spread.frame])
    assert torch.allclose(attn.to_out[0](taken), spy.outputs[6][token], atol=1e-5)
    assert found.current.sum() + sum(s.weights.sum() for s in found.past) == pytest.approx(1, abs=1e-5)
    assert all(spread.weights.sum() > 0.01 for spread in found.past)


def test_a_segment_begins_without_a_past(model: Model) -> None:
    found, _ = looked_at(model, settings(kind="dyme"), 3, 0, 1, starts=(3,))
    assert (found.past, found.fusion) == ([], None)
    found, _ = looked_at(model, settings(kind="dyme"), 6, 0, 1, starts=(3,))
    assert [spread.frame for spread in found.past] == [5, 3]


def test_a_layer_that_only_fuses_takes_nothing_from_the_past(model: Model) -> None:
    found, _ = looked_at(model, settings(kind="queue", attention={"layers": []}), 3, 0, 0)
    assert found.past == []
    assert found.fusion is not None
    assert found.current.sum() == pytest.approx(1, abs=1e-5)


def test_the_nearest_output_of_a_queue(model: Model) -> None:
    seen = set()
    for token in range(4):
        found, spy = looked_at(model, settings(kind="queue", size=2), 5, token, 1)
        frames = [2, 4]
        past = F.normalize(torch.cat([spy.outputs[frame] for frame in frames]), dim=-1)
        cosines = past @ F.normalize(spy.outputs[5][token], dim=-1)
        best, tokens = int(cosines.argmax()), spy.outputs[0].shape[0]
        assert found.fusion is not None
        assert found.fusion.place.frame == frames[best // tokens]
        assert found.fusion.place.token == best % tokens
        assert found.fusion.cosine == pytest.approx(float(cosines[best]), abs=1e-5)
        assert found.fusion.fused == (cosines[best] >= THRESHOLD)
        seen.add(found.fusion.place.frame)
    assert seen <= {2, 4}


@pytest.mark.parametrize("kind", ["queue", "dyme"])
def test_the_nearest_output_of_a_block(model: Model, kind: str) -> None:
    """Frame 2 enters the bank itself, which holds frame 0 alone until it has been fused."""
    fuse = {"layers": ["mid", "up"], "on": "block", "threshold": THRESHOLD, "alpha": 0}
    for token in range(4):
        found, spy = looked_at(model, settings(kind=kind, fuse=fuse), 2, token, 1, of_block=True)
        past = F.normalize(spy.outputs[0], dim=-1)
        cosines = past @ F.normalize(spy.outputs[2][token], dim=-1)
        assert found.fusion is not None
        assert found.fusion.place == TokenSource(0, int(cosines.argmax()))
        assert found.fusion.cosine == pytest.approx(float(cosines.max()), abs=1e-5)
        assert found.fusion.fused == (cosines.max() >= THRESHOLD)
    assert not layer_of(model).around._forward_hooks
    found, _ = looked_at(model, settings(kind=kind, fuse=fuse), 3, 0, 1, starts=(3,), of_block=True)
    assert found.fusion is None


def test_merged_tokens_by_hand() -> None:
    """Token 0 of the bank and token 1 of frame 4 go to token 0 of frame 4; token 1 of the bank stays alone."""
    origins = MergedOrigins(2)
    origins.start(0)
    origins.merge(torch.tensor([0, 3, 2, 1]), torch.tensor([0, 0]), 4)
    assert [origins.place(token) for token in (0, 1)] == [TokenSource(4, 0), TokenSource(0, 1)]
    newest, oldest = origins.spread(torch.tensor([0.9, 0.1]))
    assert (newest.frame, newest.weights.tolist()) == (4, pytest.approx([0.3, 0.3]))
    assert (oldest.frame, oldest.weights.tolist()) == (0, pytest.approx([0.3, 0.1]))
    # Then the second token of the bank goes to the first, and frame 8 stands alone.
    origins.merge(torch.tensor([1, 2, 0, 3]), torch.tensor([0, 1]), 8)
    assert [origins.place(token) for token in (0, 1)] == [TokenSource(4, 0), TokenSource(8, 1)]
    weights = {spread.frame: spread.weights.tolist() for spread in origins.spread(torch.tensor([0.6, 0.4]))}
    expected = {8: [0.2, 0.2], 4: [0.1, 0.1], 0: [0.1, 0.3]}
    assert weights == {frame: pytest.approx(values) for frame, values in expected.items()}


def test_figures_over_time_are_those_of_the_frames(model: Model) -> None:
    layer = layer_of(model)
    attn, row, threshold = layer.module, 1, 0.9963
    recorder, spy = BankRecorder([layer], [row]), Spy(layer.module, row)
    try:
        fuse = {"layers": ["up"], "threshold": threshold, "alpha": 0}
        chosen = settings(kind="dyme", interval=1, fuse=fuse)
        play(model, chosen, lambda engine: recorder.follow(engine.bank))
    finally:
        spy.remove()
        recorder.remove()
    figures = [recorder.take(frame)[LAYER] for frame in range(FRAMES)]
    assert (figures[0].merged, figures[0].fused) == (None, None)
    outputs = [F.normalize(output, dim=-1) for output in spy.outputs[:2]]
    near = (outputs[1] @ outputs[0].T).max(-1).values >= threshold
    assert 0 < int(near.sum()) < len(near)
    assert figures[1].fused == pytest.approx(int(near.sum()) / len(near), abs=1e-4)  # of a token
    keys = F.normalize(torch.cat([attn.to_k(spy.inputs[0]), attn.to_k(spy.inputs[1])]), dim=-1)
    partition = draw_partition(len(keys) // 2, stratified=False, seed=0, layer=LAYER, row=row, frame=1)
    source, destination = keys[partition].chunk(2)
    expected = (source @ destination.T).max(-1).values.mean()
    assert figures[1].merged == pytest.approx(float(expected), abs=1e-5)
    assert all(0 <= f.fused <= 1 and f.merged is not None for f in figures[1:])
    assert recorder.take(1)[LAYER].fused is None


def test_the_fused_share_of_blocks(model: Model) -> None:
    layer, row, threshold = layer_of(model), 1, 0.9
    recorder, spy = BankRecorder([layer], [row]), Spy(layer.around, row)
    fuse = {"layers": ["up"], "on": "block", "threshold": threshold, "alpha": 0}
    try:
        play(model, settings(interval=1, fuse=fuse), lambda engine: recorder.follow(engine.bank))
    finally:
        spy.remove()
        recorder.remove()
    outputs = [F.normalize(output, dim=-1) for output in spy.outputs[:2]]
    near = (outputs[1] @ outputs[0].T).max(-1).values >= threshold
    assert 0 < int(near.sum()) < len(near)
    assert recorder.take(1)[LAYER].fused == pytest.approx(float(near.float().mean()), abs=1e-4)


def test_nothing_is_merged_in_a_queue_and_nothing_stays_behind(model: Model) -> None:
    layers = [layer for layer in attention_layers(model.unet) if layer.is_self]
    recorder = BankRecorder(layers, [0, 1])
    play(model, settings(kind="queue", interval=1), lambda engine: recorder.follow(engine.bank))
    figures = recorder.take(3)
    assert all(f.merged is None for f in figures.values())
    assert {name for name, f in figures.items() if f.fused is not None} == {
        layer.name for layer in layers if layer.block == "mid" or layer.block.startswith("up")
    }
    recorder.remove()
    for layer in layers:
        assert not layer.module._forward_hooks
        assert not layer.module._forward_pre_hooks
