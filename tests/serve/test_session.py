"""A session by itself: controls, recordings and failures, with tiny random models."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import number_of, numbered
from helpers.lora_files import random_updates, save_lora
from helpers.tiny import tiny_unet
from helpers.waiting import until
from PIL import Image

from streamv2v_cli import models
from streamv2v_cli.errors import ConfigError, DeviceError
from streamv2v_cli.frame import Closed
from streamv2v_cli.serve.controls import Controls, choices
from streamv2v_cli.serve.lobby import MOST_WAITING, PATIENCE, BusyError, Lobby, Ticket
from streamv2v_cli.serve.maker import TranslatorMaker
from streamv2v_cli.serve.meter import WINDOW, Meter
from streamv2v_cli.serve.recorder import Recorder
from streamv2v_cli.serve.session import Arrival, Session
from streamv2v_cli.serve.slot import NewestSlot
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.passthrough import PassthroughTranslator

WITHOUT_MODEL = Settings(translator="passthrough")


class Guest:
    """Takes results as a visitor does."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.results: list[av.VideoFrame] = []
        self.complaints: list[str] = []

    def show(self, frame: av.VideoFrame, received: float) -> None:
        self.results.append(frame)

    def complain(self, message: str) -> None:
        self.complaints.append(message)

    def send(self, session: Session, number: int, size: tuple[int, int] = (64, 48)) -> None:
        frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number * 3600, Fraction(1, 90000)
        session.put(Arrival(frame, time.monotonic(), self))

    def exchange(self, session: Session, number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
        """Send a frame and wait for its result."""
        before = len(self.results)
        self.send(session, number, size)
        return until(lambda: self.results[before:])[0].to_ndarray(format="rgb24")


@pytest.fixture
def started() -> Iterator[Callable[..., Session]]:
    sessions = []

    def started(settings: Settings, make: Callable[..., Any] | None = None) -> Session:
        session = Session(1, Controls(settings), make or TranslatorMaker())
        session.start()
        sessions.append(session)
        return session

    yield started
    for session in sessions:
        session.close()


@pytest.fixture
def tiny(tiny_folder: Callable[..., Path]) -> Callable[..., Settings]:
    def tiny(*sets: str) -> Settings:
        given = [f"model={tiny_folder()}", "prompt=a cat", "frame.size=48", "diffusion.steps=1", *sets]
        return resolve(sets=given).settings

    return tiny


def test_each_control_reaches_the_next_frame(started: Any, tiny: Any) -> None:
    session, guest = started(tiny("bank.kind=none", "bank.reset_on_cut=false")), Guest()
    first = guest.exchange(session, 1)
    assert np.array_equal(first, guest.exchange(session, 1))
    for change in ({"prompt": "pixel art"}, {"strength": 0.8}, {"mix": 0.2}, {"seed": 5}):
        session.change(change)
        changed = guest.exchange(session, 1)
        assert not np.array_equal(first, changed), change
        session.change({"prompt": "a cat", "strength": 0.4, "mix": 1.0, "seed": 0})
        assert np.array_equal(first, guest.exchange(session, 1)), change
    enlarged = guest.exchange(session, 1, (160, 120))
    session.change({"upscale": "nearest"})
    assert not np.array_equal(enlarged, guest.exchange(session, 1, (160, 120)))
    session.change({"size": 64})
    guest.exchange(session, 1)
    assert session.figures()["model_size"] == [88, 64]
    assert not guest.complaints


def test_a_transition_takes_its_time(started: Any, tiny: Any) -> None:
    session, guest = started(tiny("bank.kind=none", "bank.reset_on_cut=false")), Guest()

    def distance(number: int) -> float:
        """From the source, which is at a time of `number` / 25 s."""
        return float(np.abs(guest.exchange(session, number).astype(int) - numbered(number)).mean())

    distance(0)
    session.change({"mix": 0.0, "transition": 1.0})
    begins, halfway, ends = distance(1), distance(14), distance(26)
    assert begins > halfway > ends
    assert number_of(guest.exchange(session, 27)) == 27


def test_a_loras_weight_changes_the_picture(
    started: Any, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a seed, for which the translator is made anew; the model is loaded once."""
    loaded: list[Any] = []
    original = models.load_model

    def load_model(*arguments: Any, **options: Any) -> Any:
        loaded.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(models, "load_model", load_model)
    names = ["mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.attentions.0.proj_in"]
    lora = save_lora(tmp_path / "style.safetensors", random_updates(tiny_unet(), names))
    settings = tiny("bank.kind=none", "bank.reset_on_cut=false", f"weights.loras={lora}:0")
    assert choices(settings)["loras"] == ["style.safetensors"]
    session, guest = started(settings), Guest()
    without = guest.exchange(session, 1)
    session.change({"loras": [0.8]})
    assert not np.array_equal(without, guest.exchange(session, 1))
    session.change({"loras": [0]})
    assert np.array_equal(without, guest.exchange(session, 1))
    session.change({"loras": [0.8], "seed": 3})
    styled = guest.exchange(session, 1)
    session.change({"loras": [0]})
    assert not np.array_equal(styled, guest.exchange(session, 1))
    session.change({"seed": 0})
    assert np.array_equal(without, guest.exchange(session, 1))
    assert len(loaded) == 1
    with pytest.raises(ConfigError, match="list of 1 weights"):
        session.change({"loras": [1, 2]})


def test_a_reset_lets_the_bank_start_afresh(started: Any, tiny: Any) -> None:
    session, guest = started(tiny("bank.kind=queue", "bank.interval=1", "bank.reset_on_cut=false")), Guest()
    first = guest.exchange(session, 1)
    later = [guest.exchange(session, number) for number in (2000, 1)]
    assert not np.array_equal(first, later[1])  # it remembers
    session.reset()
    assert np.array_equal(first, guest.exchange(session, 1))


def test_another_visitor_sees_nothing_of_the_one_before(started: Any, tiny: Any) -> None:
    session = started(tiny("diffusion.steps=3", "bank.kind=queue"))
    one, other = Guest(), Guest()
    for number in range(4):
        one.send(session, number)
    until(lambda: one.meter.frames_dropped + len(one.results) >= 2)
    other.send(session, 0)
    pictures = until(lambda: other.results)
    assert [frame.pts for frame in pictures] == [0]
    alone, fresh = started(tiny("diffusion.steps=3", "bank.kind=queue")), Guest()
    fresh.send(alone, 0)
    assert np.array_equal(
        pictures[0].to_ndarray(format="rgb24"),
        until(lambda: fresh.results)[0].to_ndarray(format="rgb24"),
    )


def test_a_pause_brings_out_what_is_in_flight(started: Any, tiny: Any) -> None:
    session, guest = started(tiny("diffusion.steps=4")), Guest()
    guest.send(session, 7)
    (frame,) = until(lambda: guest.results)
    assert frame.pts == 7 * 3600


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DeviceError("There is too little memory."), "too little memory"),
        (ValueError("x"), "Unexpected ValueError"),
    ],
)
def test_a_failure_is_told_and_the_next_frame_goes_through(
    started: Any, error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(PassthroughTranslator):
        def push(self, frame: Any) -> Any:
            if number_of(frame.pixels) == 3:
                raise error
            return super().push(frame)

    session, guest = started(WITHOUT_MODEL, Failing), Guest()
    assert number_of(guest.exchange(session, 2)) == 2
    guest.send(session, 3)
    assert told in until(lambda: guest.complaints)[0]
    assert number_of(guest.exchange(session, 4)) == 4
    assert told.removeprefix("Unexpected ") in caplog.text


def test_odd_and_changing_sizes_pass(started: Any) -> None:
    session, guest = started(WITHOUT_MODEL), Guest()
    for number, size in enumerate(((64, 48), (67, 49), (128, 96), (64, 48)), 1):
        assert guest.exchange(session, number, size).shape == (size[1], size[0], 3)


def test_a_recording_keeps_the_shape_of_its_first_frame(started: Any, tmp_path: Path) -> None:
    session, guest = started(WITHOUT_MODEL), Guest()
    session.recorder = recorder = Recorder(tmp_path / "r.mp4", WITHOUT_MODEL, ())
    for number, size in enumerate(((64, 48), (96, 48), (64, 48)), 1):
        guest.exchange(session, number, size)
    until(lambda: recorder.frames_written == 3)
    session.recorder = None
    recorder.finish()
    assert recorder.is_saved
    with av.open(str(tmp_path / "r.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert "settings" in container.metadata["comment"]
    assert {picture.shape for picture in pictures} == {(48, 64, 3)}
    assert number_of(pictures[2]) == 3
    assert pictures[1][:6].mean() < 30  # a bar above the wide one
    assert not (tmp_path / "r.mp4.part").exists()


def test_a_recording_that_cannot_be_written_costs_no_result(
    started: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session, guest = started(WITHOUT_MODEL), Guest()
    session.recorder = recorder = Recorder(tmp_path / "gone" / "r.xyz", WITHOUT_MODEL, ())
    for number in range(1, 12):
        assert number_of(guest.exchange(session, number)) == number
    recorder.finish()
    assert not recorder.is_saved
    assert recorder.error
    assert "ended" in caplog.text


def test_an_empty_recording_leaves_no_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r.mp4", WITHOUT_MODEL, ())
    recorder.finish()
    assert (recorder.is_saved, list(tmp_path.iterdir())) == (False, [])


def test_the_slot_gives_the_newest() -> None:
    slot: NewestSlot[str] = NewestSlot()
    assert [slot.put(item) for item in "abc"] == [None, "a", "b"]
    assert slot.get(0) == "c"
    assert slot.get(0.01) is None
    slot.put("d")
    slot.close()
    with pytest.raises(Closed):
        slot.get(0)


def test_figures_are_those_of_the_last_seconds() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0])
    assert meter.figures()["fps"] is None
    for latency in (10.0, 1.0, 2.0, 3.0, 4.0):
        now[0] += 1.0
        meter.shown(now[0] - latency)
    assert WINDOW == 3.0
    # The first is older than the window.
    assert meter.figures() | {"fps": None} == {
        "frames_in": 0,
        "frames_out": 5,
        "frames_dropped": 0,
        "fps": None,
        "latency_p50_ms": 2000.0,
        "latency_p95_ms": 4000.0,
    }
    assert meter.figures()["fps"] == pytest.approx(4 / 3, abs=1e-3)
    now[0] += 10
    assert meter.figures()["latency_p50_ms"] is None


def test_the_lobby_keeps_the_order_and_forgets_the_silent() -> None:
    now = [0.0]
    sessions = [Session(number, Controls(WITHOUT_MODEL), PassthroughTranslator) for number in (1, 2)]
    lobby = Lobby(sessions, lambda: now[0])
    assert lobby.enter(wanted=2) is sessions[1]
    assert lobby.enter(wanted=2) is sessions[0]
    first, second = lobby.enter(), lobby.enter()
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    assert first.name != second.name
    now[0] += PATIENCE / 2
    assert lobby.enter(second.name) is second
    now[0] += PATIENCE * 0.6
    assert (lobby.waiting, lobby.place_of(second)) == (1, 1)  # the first one has gone
    lobby.give_back(sessions[0])
    newcomer = lobby.enter()
    assert isinstance(newcomer, Ticket)
    assert lobby.enter(second.name) is sessions[0]
    for _ in range(MOST_WAITING - 1):
        lobby.enter()
    with pytest.raises(BusyError):
        lobby.enter()


def test_controls_say_what_they_take() -> None:
    about = choices(resolve(sets=["model=mini"]).settings)
    assert about["controls"]["strength"]["range"] == (0.4, 0.6)
    assert "pencil sketch" in about["styles"]
    assert not about["negative_prompt_used"]
    assert choices(Settings(diffusion={"guidance": {"kind": "full"}}))["negative_prompt_used"]  # type: ignore[arg-type]
    unchanged = Controls(WITHOUT_MODEL)
    assert unchanged.changed({}) == unchanged
    with pytest.raises(ConfigError, match="too few for diffusion"):
        unchanged.changed({"strength": 0.01})
    settings = resolve(sets=["frame.upscale=/private/network.pth"]).settings
    named = Controls(settings)
    assert named.as_json()["upscale"] == "network.pth"
    assert named.changed({"upscale": "network.pth"}) == named
    with pytest.raises(ConfigError, match="upscale must be one of"):
        named.changed({"upscale": "/private/network.pth"})
    native = dataclasses.replace(
        unchanged,
        settings=WITHOUT_MODEL.model_copy(
            update={"frame": Settings().frame.model_copy(update={"size": "native"})}
        ),
    )
    assert native.changed({"seed": 1}).as_json()["size"] == "native"


def test_a_style_pictures_weight_changes_the_next_frame(started: Any, tiny: Any, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        tmp_path / "look.png"
    )
    settings = tiny("bank.kind=none", "bank.reset_on_cut=false", f"style.images={tmp_path}/look.png:0")
    assert choices(settings)["style_images"] == ["look.png"]
    session, guest = started(settings), Guest()
    without = guest.exchange(session, 1)
    session.change({"style": [3]})
    assert session.settings()["style"] == [3]
    assert not np.array_equal(without, guest.exchange(session, 1))
    session.change({"style": [0]})
    assert np.array_equal(without, guest.exchange(session, 1))
    for value, wanted in (([1, 2], "list of 1 weights"), ([11], "less than or equal|at most|10")):
        with pytest.raises(ConfigError, match=wanted):
            session.change({"style": value})
