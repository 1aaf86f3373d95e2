from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_model

from streamv2v_cli.diffusion.prompts import PromptEncoder
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.errors import ConfigError, DeviceError
from streamv2v_cli.frame import Frame


def run(translator: Translator, clip: list[Frame]) -> list[Frame]:
    return [out for frame in clip for out in translator.push(frame)] + translator.flush()


def stamps(frames: list[Frame]) -> list[tuple[Any, ...]]:
    return [(frame.pts, frame.time_base, frame.duration) for frame in frames]


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("lookahead", [1, "auto"])
def test_every_frame_comes_out_once_in_order_with_its_timestamp(
    model: Any, settings: Any, frames: Any, steps: int, lookahead: Any
) -> None:
    translator = Translator(
        model, settings(diffusion={"steps": steps}, bank={"interval": 4}, lookahead=lookahead)
    )
    for count in (1, 2, 3, 5, 50):
        clip = frames(count)
        assert stamps(run(translator, clip)) == stamps(clip)
    translator.close()


def test_the_delay_is_the_number_of_steps_less_one(model: Any, settings: Any, frames: Any) -> None:
    translator = Translator(model, settings(diffusion={"steps": 3}), live=True)
    clip = frames(6)
    assert [stamps(translator.push(frame)) for frame in clip] == [[], [], *[[s] for s in stamps(clip[:4])]]
    assert stamps(translator.flush()) == stamps(clip[4:])
    assert translator.flush() == []


@pytest.mark.parametrize("kind", ["none", "queue", "dyme"])
def test_reset_gives_the_same_bits_again(model: Any, settings: Any, frames: Any, kind: str) -> None:
    translator = Translator(model, settings(bank={"kind": kind, "size": 2}, diffusion={"steps": 2}))
    clip = frames(9)
    first = run(translator, clip)
    second = run(translator, clip)
    translator.set_prompt("pixel art")
    run(translator, clip)
    translator.reset()
    third = run(translator, clip)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, third, strict=True))
    if kind == "dyme":  # without a reset the partitions go on
        assert not all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    translator.close()


def test_reset_in_mid_stream_drops_what_is_in_flight(model: Any, settings: Any, frames: Any) -> None:
    translator = Translator(model, settings(diffusion={"steps": 3}))
    clip = frames(5)
    wanted = run(translator, clip)
    translator.reset()
    for frame in clip[:4]:
        translator.push(frame)
    translator.reset()
    again = run(translator, clip)
    assert stamps(again) == stamps(clip)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(wanted, again, strict=True))


def test_another_seed_gives_another_picture(model: Any, settings: Any, frames: Any) -> None:
    clip = frames(2)
    pictures = []
    for seed in (0, 0, 1):
        translator = Translator(model, settings(seed=seed))
        pictures.append(run(translator, clip)[1].pixels)
        translator.close()
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_set_prompt_takes_effect_from_the_next_frame(model: Any, settings: Any, frames: Any) -> None:
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 3})
    clip = frames(8)
    plain = run(Translator(model, chosen), clip)
    translator = Translator(model, chosen)
    out = [x for frame in clip[:5] for x in translator.push(frame)]
    translator.set_prompt("pencil sketch of a red blue photo")
    out += run(translator, clip[5:])
    same = [np.array_equal(a.pixels, b.pixels) for a, b in zip(plain, out, strict=True)]
    assert same == [True] * 5 + [False] * 3


def test_frames_of_another_size_in_mid_stream(model: Any, settings: Any, frames: Any) -> None:
    translator = Translator(model, settings(diffusion={"steps": 3}))
    clip = frames(3) + frames(2, width=96) + frames(2)
    out = run(translator, clip)
    assert stamps(out) == stamps(clip)
    assert [x.pixels.shape for x in out] == [x.pixels.shape for x in clip]
    assert translator.model_size == (64, 64)


@pytest.mark.parametrize(
    ("frame", "source", "model_size", "output"),
    [
        ({"size": 64}, (128, 72), (112, 64), (128, 72)),
        ({"size": 64}, (45, 81), (64, 112), (45, 81)),
        ({"size": "96x96"}, (128, 64), (96, 48), (128, 64)),
        ({"size": "native"}, (33, 50), (32, 48), (33, 50)),
        ({"size": 64, "multiple": 32}, (128, 72), (128, 64), (128, 72)),
        ({"size": 64, "output_size": "model"}, (128, 72), (112, 64), (112, 64)),
        ({"size": 64, "output_size": "80x60"}, (128, 72), (112, 64), (80, 60)),
    ],
)
def test_sizes(
    model: Any, settings: Any, frames: Any, frame: Any, source: Any, model_size: Any, output: Any
) -> None:
    translator = Translator(model, settings(frame=frame, bank={"kind": "none"}, diffusion={"steps": 1}))
    (out,) = run(translator, frames(1, *source))
    assert translator.model_size == model_size
    assert (out.width, out.height) == output
    assert out.pixels.dtype == np.uint8
    assert out.pixels.flags.c_contiguous
    translator.close()


def test_a_multiple_that_the_vae_cannot_do(model: Any, settings: Any) -> None:
    with pytest.raises(ConfigError, match="needs a multiple of 8"):
        Translator(model, settings(frame={"multiple": 4}))


def test_an_attention_backend_that_cannot_be_had_is_an_error(model: Any, settings: Any) -> None:
    with pytest.raises(DeviceError, match="xformers"):
        Translator(model, settings(compute={"attention": "xformers"}))


@pytest.mark.parametrize("part", ["attention", "fuse"])
def test_a_block_that_is_not_there_is_told_before_the_first_frame(
    model: Any, settings: Any, part: str
) -> None:
    with pytest.raises(ConfigError, match=f"bank.{part}.layers: this model has no block 'up.7'"):
        Translator(model, settings(bank={part: {"layers": ["up.7"]}}))


def test_similar_frames_repeat_the_picture_and_keep_their_timestamps(
    model: Any, settings: Any, frames: Any
) -> None:
    """Frames a a a b a a: two repeats of a, then at most `max_skip` of the second a."""
    a, b = frames(1)[0], frames(1, seed=9)[0]
    order = [a, a, a, b, a, a, a, a, a]
    clip = [Frame(picture.pixels, pts=10 * i, duration=10) for i, picture in enumerate(order)]
    for steps, lookahead in ((1, 1), (3, 1), (2, "auto")):
        chosen = settings(
            diffusion={"steps": steps},
            lookahead=lookahead,
            skip_similar={"enabled": True, "max_skip": 3, "threshold": 0.95},
        )
        translator = Translator(model, chosen)
        out = run(translator, clip)
        assert stamps(out) == stamps(clip)
        same = [np.array_equal(x.pixels, y.pixels) for x, y in itertools.pairwise(out)]
        assert same == [True, True, False, False, True, True, True, False]
        assert translator.frames_skipped == 5
        every = settings(diffusion={"steps": steps}, lookahead=lookahead)
        alone = run(Translator(model, every), [clip[i] for i in (0, 3, 4, 8)])
        assert all(np.array_equal(out[i].pixels, x.pixels) for i, x in zip((0, 3, 4, 8), alone, strict=True))


def test_a_new_prompt_ends_the_repetition(model: Any, settings: Any, frames: Any) -> None:
    translator = Translator(
        model, settings(diffusion={"steps": 1}, lookahead=1, skip_similar={"enabled": True})
    )
    frame = frames(1)[0]
    first = translator.push(frame)[0]
    assert np.array_equal(translator.push(frame)[0].pixels, first.pixels)
    translator.set_prompt("pixel art")
    assert not np.array_equal(translator.push(frame)[0].pixels, first.pixels)
    assert translator.frames_skipped == 1


def test_the_bank_makes_a_difference_and_reports_its_size(
    precise_model: Any, settings: Any, frames: Any
) -> None:
    """In float64: keys that are there twice are added up otherwise, which rounding to bytes would show."""
    clip = frames(4)
    results = {}
    for kind in ("none", "queue", "dyme"):
        translator = Translator(precise_model, settings(bank={"kind": kind}, diffusion={"steps": 2}))
        assert translator.bank_bytes == 0
        results[kind] = run(translator, clip)
        assert (translator.bank_bytes > 0) == (kind != "none")
        translator.close()
    for kind in ("queue", "dyme"):
        assert np.array_equal(results[kind][0].pixels, results["none"][0].pixels)
        assert not np.array_equal(results[kind][3].pixels, results["none"][3].pixels)


def test_close_gives_the_unet_back(settings: Any, frames: Any) -> None:
    own = tiny_model()
    sample, prompt = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 16)

    def output() -> torch.Tensor:
        with torch.no_grad():
            return own.unet(sample, torch.tensor([9]), encoder_hidden_states=prompt).sample

    before = output()
    translator = Translator(own, settings())
    run(translator, frames(4))
    translator.close()
    assert torch.equal(output(), before)


def test_a_guidance_distilled_unet_gets_the_scale_as_an_input(settings: Any, frames: Any) -> None:
    own = tiny_model(time_cond_proj_dim=8)
    clip = frames(1)
    pictures = []
    for scale in (7.5, 7.5, 2.0):
        guidance = {"embedded_scale": scale}
        translator = Translator(own, settings(diffusion={"steps": 1, "guidance": guidance}))
        pictures.append(run(translator, clip)[0].pixels)
        translator.close()
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_a_very_long_prompt_is_cut_with_one_warning_of_our_own(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = PromptEncoder(tiny_model(), "never")
    caplog.clear()
    encoder.encode("a cat " * 60, "")
    assert not caplog.messages
    prompt = encoder.encode("a cat " * 200, "")
    (message,) = caplog.messages
    assert message.startswith(
        "the prompt has 6 pieces of at most 75 tokens, of which the first 4 are used: a cat a"
    )
    assert torch.equal(prompt.embedding.hidden, encoder.encode("a cat " * 150, "").embedding.hidden)
    assert "indexing errors" not in capfd.readouterr().err + caplog.text


@pytest.mark.parametrize(
    ("offload", "free", "leaves"),
    [("always", 0.9, True), ("never", 0.0, False), ("auto", 0.9, False), ("auto", 0.1, True)],
)
def test_the_text_encoder_makes_room(
    settings: Any, monkeypatch: pytest.MonkeyPatch, offload: str, free: float, leaves: bool
) -> None:
    """Without a GPU at hand: what would be asked of one, and where the encoder is sent."""
    own = tiny_model()
    encoder = PromptEncoder(own, offload)
    wanted = encoder.encode("a cat", "")
    sent: list[Any] = []
    monkeypatch.setattr(own.text_encoder, "to", sent.append)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * 1000), 1000))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(encoder, "embed", lambda text, **_: wanted.embedding)
    encoder.model = replace(own, device=torch.device("cuda"))
    encoder.encode("a cat", "")
    assert sent == []
    encoder.encode("a red cat", "")
    assert sent == (["cpu"] if leaves else [])


def test_an_engine_goes_at_once_when_nobody_needs_it(model: Any, settings: Any, frames: Any) -> None:
    """Its bank and its graphs may be gigabytes, and those of the next size are made right after."""
    import gc
    import weakref

    translator = Translator(model, settings())
    for frame in frames(3):
        translator.push(frame)
    gc.disable()
    try:
        gone = weakref.ref(translator.engine)
        translator.close()
        assert gone() is None
    finally:
        gc.enable()
