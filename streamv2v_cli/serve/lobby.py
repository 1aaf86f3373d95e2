"""Who is at which session, and who waits for one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.serve.session import Session

__all__ = ["BusyError", "Lobby", "Ticket"]

PATIENCE = 5.0
"""Seconds without a request after which a waiting visitor loses the place in the queue."""
MOST_WAITING = 64


class BusyError(StreamV2VError):
    """Too many wait already."""


@dataclass(slots=True)
class Ticket:
    """Somebody who waits.

    Attributes:
        name: by which they ask again; cannot be guessed.
        heard: when they last asked.
    """

    name: str
    heard: float


class Lobby:
    """The sessions, each for one visitor, and a queue for them: first come, first served.

    Args:
        sessions: all of them.
        clock: seconds that pass.
    """

    def __init__(self, sessions: Sequence[Session], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = list(sessions)
        self._queue: list[Ticket] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        self._forget_the_silent()
        return len(self._queue)

    def enter(self, ticket: str | None = None, wanted: int | None = None) -> Session | Ticket:
        """Give somebody a session, which is theirs until it is given back, or a ticket to ask again with.

        Args:
            ticket: what they were given when they asked before.
            wanted: number of the session that they had before; they get it if it is free.

        Raises:
            BusyError: too many wait.
        """
        self._forget_the_silent()
        mine = next((one for one in self._queue if ticket is not None and one.name == ticket), None)
        ahead = self._queue.index(mine) if mine else len(self._queue)
        if ahead < len(self._free):
            if mine:
                self._queue.remove(mine)
            session = next((one for one in self._free if one.number == wanted), self._free[0])
            self._free.remove(session)
            return session
        if mine is None:
            if len(self._queue) >= MOST_WAITING:
                raise BusyError(f"{len(self._queue)} others are waiting already.", "Try again later.")
            mine = Ticket(secrets.token_urlsafe(12), 0.0)
            self._queue.append(mine)
        mine.heard = self._clock()
        return mine

    def place_of(self, ticket: Ticket) -> int:
        """The place in the queue, from 1."""
        return self._queue.index(ticket) + 1

    def forget(self, ticket: str) -> None:
        """Somebody does not wait any more."""
        self._queue = [one for one in self._queue if one.name != ticket]

    def give_back(self, session: Session) -> None:
        """A visitor has left."""
        self._free.append(session)
        self._free.sort(key=lambda one: one.number)

    def _forget_the_silent(self) -> None:
        now = self._clock()
        self._queue = [one for one in self._queue if now - one.heard <= PATIENCE]
