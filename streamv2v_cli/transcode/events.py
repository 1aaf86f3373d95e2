"""What happens during a run, for programs; `docs/events.md` describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from streamv2v_cli.prompting.state import PromptEvent

__all__ = [
    "EVENTS",
    "ConnectionEvent",
    "CutEvent",
    "Event",
    "ProgressEvent",
    "StartEvent",
    "SummaryEvent",
    "WarningEvent",
]


@dataclass(frozen=True)
class StartEvent:
    """Everything was checked and the first frame is about to be read."""

    name: ClassVar[str] = "start"
    version: str
    input: str
    output: str
    width: int
    height: int
    frames: int | None
    translator: str
    model: str | None
    prompt: str
    seed: int


@dataclass(frozen=True)
class ProgressEvent:
    """How far the run has come."""

    name: ClassVar[str] = "progress"
    frames_in: int
    frames_out: int
    frames_dropped: int
    fps: float | None
    elapsed: float
    remaining: float | None
    bank_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class CutEvent:
    """A scene begins."""

    name: ClassVar[str] = "cut"
    frame: int
    time: float | None


@dataclass(frozen=True)
class ConnectionEvent:
    """Something happened to the connection of a live source."""

    name: ClassVar[str] = "connection"
    state: Literal["lost", "restored", "given up"]
    time: float
    attempts: int
    reason: str


@dataclass(frozen=True)
class WarningEvent:
    """Something that the user should know."""

    name: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True)
class SummaryEvent:
    """The end of the run: always the last event."""

    name: ClassVar[str] = "summary"
    status: Literal["done", "interrupted", "failed"]
    exit_code: int
    output: str | None
    bytes: int | None
    frames_in: int
    frames_out: int
    frames_skipped: int
    frames_dropped: int
    reconnections: int
    cuts: int
    fps: float | None
    elapsed: float
    bank_bytes: int
    accel: str | None
    ticks: int
    ticks_plain: int
    plain_reason: str | None
    error: str | None


EVENTS = (
    StartEvent,
    ProgressEvent,
    CutEvent,
    PromptEvent,
    ConnectionEvent,
    WarningEvent,
    SummaryEvent,
)
Event = StartEvent | ProgressEvent | CutEvent | PromptEvent | ConnectionEvent | WarningEvent | SummaryEvent
