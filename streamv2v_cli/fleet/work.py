"""What is to be done, and who does it, as the scheduler sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamv2v_cli.fleet.output import SegmentedOutput
    from streamv2v_cli.fleet.plan import Segment

__all__ = ["OpenOutput", "Work", "Worker"]


@dataclass(eq=False)
class OpenOutput:
    """An output that is worked on.

    Attributes:
        place: among those that were given.
        left: surveys and segments that are not finished.
        failures: sentences on segments that failed for good.
        task, survey: in the object store; None until they are put there.
    """

    place: int
    output: SegmentedOutput
    left: int = 0
    failures: list[str] = field(default_factory=list)
    task: Any = None
    survey: Any = None


@dataclass(eq=False)
class Work:
    """A segment, or with None a survey, that is to be made.

    Attributes:
        tries: how often it was begun.
    """

    of: OpenOutput
    segment: Segment | None
    tries: int = 0

    @property
    def weight(self) -> int:
        """Frames; surveys go first, since others wait for them."""
        segment = self.segment
        return 1 << 62 if segment is None else segment.frames + segment.warm_up

    def __str__(self) -> str:
        name = self.of.output.task.input.address.name
        return f"'{name}'" if self.segment is None else f"segment {self.segment.index} of '{name}'"


@dataclass(eq=False)
class Worker:
    """An actor.

    Attributes:
        ready: what `prepare` gives; None once it has.
        host, node: where it is.
        work: what it does; None when idle.
        doing: what comes of that: an object of Ray's, or of a thread that sends or fetches files.
        state, asked_at: what the actor's `state` gives, and when it was asked; None while it is not.
    """

    actor: Any
    ready: Any
    host: str = ""
    node: str = ""
    work: Work | None = None
    doing: Any = None
    state: Any = None
    asked_at: float = 0.0
