"""Which frames go through the stream batch together: segments, groups and what each group does to the bank."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from streamv2v_cli.diffusion.motion import Trace
    from streamv2v_cli.diffusion.prompts import Prompt
    from streamv2v_cli.diffusion.schedule import Schedule
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.settings.schema import Bank

__all__ = ["Group", "GroupBuilder", "InFlightFrame", "bank_updates", "largest_group"]


def bank_updates(bank: Bank, steps: int, index: int) -> tuple[bool, ...]:
    """At which denoising steps a frame enters the bank.

    Args:
        bank: every interval-th frame enters at all steps, or every interval-th tick what each step then works on.
        steps: denoising steps; the frame is at step s in tick `index + s` of its segment.
        index: the frame's place in its segment.
    """
    ticks = range(index, index + steps) if bank.update == "tick" else (index,) * steps
    return tuple(tick % bank.interval == 0 for tick in ticks)


def largest_group(bank: Bank, steps: int) -> int:
    """Frames between two that enter a bank, the latter included: those that do not depend on each other."""
    return max(1, bank.interval - steps + 1) if bank.update == "tick" else bank.interval


@dataclass(slots=True, eq=False)
class InFlightFrame:
    """A frame on its way through the denoising steps, with all that belongs to it.

    Attributes:
        frames: the frame, followed by the similar ones that wait for its picture; each with its mix.
        source: (1, 3, height, width) source picture from -1 to 1.
        prompt, schedule: the prompt and the denoising schedule that were set when it entered.
        number: that of the first frame of its segment among all frames of the source, and its place in the segment,
            in one sum: what was skipped before the segment does not matter.
        starts: it is the first of a segment.
        updates: for each denoising step, whether it enters the bank there.
        control: (nets, 3, height, width) uint8 control pictures, until it has entered; None without ControlNets.
        style: weights of the style pictures.
        trace: where its content comes from, if motion fusion wants to know.
        picture: (1, 3, height, width) result from -1 to 1, once it has left.
    """

    frames: list[tuple[Frame, float]]
    source: torch.Tensor
    prompt: Prompt
    schedule: Schedule
    number: int
    starts: bool
    updates: tuple[bool, ...]
    control: torch.Tensor | None = None
    style: tuple[float, ...] = ()
    trace: Trace | None = None
    picture: torch.Tensor | None = None


@dataclass(slots=True, eq=False)
class Group:
    """Frames that go through the denoising steps side by side; only the last one can change the bank."""

    members: list[InFlightFrame] = field(default_factory=list)

    @property
    def last(self) -> InFlightFrame:
        """The frame that may start a segment or enter the bank."""
        return self.members[-1]


class GroupBuilder:
    """Numbers the frames that enter and cuts them into groups.

    Between two updates of the bank frames do not depend on each other, so a group may hold all frames up to and
    including the next one that enters the bank: {0}, {1 ... I}, {I+1 ... 2I}, ... for an interval I. Any other cut
    would show a frame another bank than it meets on its own. Where all rows take in what they hold at one tick, a
    frame that enters at any step ends its group: as many steps as the interval has frames leave groups of one.

    Args:
        bank: which frames enter; without a bank (`none`) only the group's size counts.
        steps: denoising steps.
        group: frames in a group at most.
    """

    def __init__(self, bank: Bank, steps: int, group: int) -> None:
        self._bank, self._steps = bank, steps
        self._looks_back = bank.kind != "none"
        self._group = min(group, largest_group(bank, steps)) if self._looks_back else group
        self.reset()

    @property
    def group_size(self) -> int:
        """Frames in a group at most."""
        return self._group

    @property
    def waiting(self) -> int:
        """Frames that wait for their group to fill up."""
        return len(self._open.members)

    def reset(self, first: int = 0) -> None:
        """Start a new run with the frame of that number."""
        self._given = self._start = first
        self._index = 0
        self._open = Group()

    def start_segment(self) -> None:
        """Let the next frame be the first of a segment: it does not look back."""
        self._index = 0

    def pass_over(self) -> None:
        """Count a frame that does not enter."""
        self._given += 1

    @property
    def at_start(self) -> bool:
        """Whether the next frame is the first of a segment."""
        return self._index == 0

    def enter(
        self, frame: Frame, source: torch.Tensor, prompt: Prompt, schedule: Schedule, mix: float = 1.0
    ) -> InFlightFrame:
        """Give a frame its number and its place in the segment, and put it into the open group."""
        if self._index == 0:
            self._start = self._given
        member = InFlightFrame(
            frames=[(frame, mix)],
            source=source,
            prompt=prompt,
            schedule=schedule,
            number=self._start + self._index,
            starts=self._index == 0,
            updates=bank_updates(self._bank, self._steps, self._index),
        )
        self._given += 1
        self._index += 1
        self._open.members.append(member)
        return member

    def full_group(self) -> Group | None:
        """The open group, if no further frame may join it."""
        if not self._open.members:
            return None
        complete = len(self._open.members) == self._group
        if complete or (self._looks_back and any(self._open.last.updates)):
            return self.close_group()
        return None

    def close_group(self) -> Group | None:
        """The open group as it is; None if it is empty."""
        group, self._open = self._open, Group()
        return group if group.members else None
