"""What happens while it serves, for programs; `docs/events.md` describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

__all__ = ["EVENTS", "Event", "FiguresEvent", "RecordingEvent", "ServeEvent", "SessionEvent"]


@dataclass(frozen=True)
class ServeEvent:
    """The models are loaded and requests are answered."""

    name: ClassVar[str] = "serve"
    version: str
    host: str
    port: int
    sessions: int
    translator: str
    model: str | None


@dataclass(frozen=True)
class SessionEvent:
    """Somebody comes to a session or leaves it."""

    name: ClassVar[str] = "session"
    session: int
    state: Literal["begins", "ends"]


@dataclass(frozen=True)
class FiguresEvent:
    """How fast a session is."""

    name: ClassVar[str] = "figures"
    session: int
    frames_in: int
    frames_out: int
    frames_dropped: int
    fps: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    bank_bytes: int
    memory_bytes: int
    recording: str | None
    recorded_frames: int


@dataclass(frozen=True)
class RecordingEvent:
    """A recording has ended."""

    name: ClassVar[str] = "recording"
    session: int
    file: str
    frames: int
    error: str | None


EVENTS = (ServeEvent, SessionEvent, FiguresEvent, RecordingEvent)
Event = ServeEvent | SessionEvent | FiguresEvent | RecordingEvent
