"""What waits between a live source and who takes its frames, and what is dropped."""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.backlog import Backlog
from streamv2v_cli.pipeline import Closed, Discontinuity


def frame(number: int, side: int = 2) -> Frame:
    return Frame(np.zeros((side, side, 3), np.uint8), number, Fraction(1, 25), 1)


def rest(backlog: Backlog) -> list[object]:
    backlog.end()
    items: list[object] = []
    while True:
        try:
            item = backlog.get()
        except Closed:
            return items
        items.append(item.pts if isinstance(item, Frame) else item)


def test_a_second_may_wait() -> None:
    backlog = Backlog(25)
    backlog.put(frame(0))
    assert backlog.get().pts == 0
    for number in range(1, 26):
        backlog.put(frame(number))
    assert rest(backlog) == list(range(1, 26))
    assert backlog.frames_dropped == 0


def test_who_is_too_slow_gets_the_newest() -> None:
    backlog = Backlog(25)
    backlog.put(frame(0))
    backlog.get()
    for number in range(1, 31):
        backlog.put(frame(number))
    assert backlog.get().pts == 29
    for number in range(31, 41):
        backlog.put(frame(number))
    assert rest(backlog) == [39, 40]
    assert (backlog.frames_dropped, backlog.dropped_before) == (28 + 9, 0)


def test_who_keeps_up_again_may_let_wait_again() -> None:
    backlog = Backlog(5)
    backlog.put(frame(0))
    backlog.get()
    for number in range(1, 10):
        backlog.put(frame(number))
    assert backlog.frames_dropped == 7
    backlog.get()
    for number in range(10, 40):
        backlog.put(frame(number))
        backlog.get()
    for number in range(40, 44):
        backlog.put(frame(number))
    assert rest(backlog) == [39, 40, 41, 42, 43]
    assert backlog.frames_dropped == 7


def test_before_anybody_takes_two_seconds_may_wait() -> None:
    backlog = Backlog(5)
    for number in range(14):
        backlog.put(frame(number))
    assert backlog.get().pts == 4
    assert (backlog.frames_dropped, backlog.dropped_before) == (4, 4)
    backlog.put(frame(14))
    assert rest(backlog) == list(range(5, 15))


def test_large_frames_wait_in_small_numbers() -> None:
    backlog = Backlog(25)
    for number in range(10):
        backlog.put(frame(number, side=3600))
    assert rest(backlog) == [7, 8, 9]


def test_what_is_no_frame_stays() -> None:
    backlog, gap, packet = Backlog(2), Discontinuity(), av.Packet(3)
    for item in (packet, frame(0), gap, *map(frame, range(1, 9))):
        backlog.put(item)
    assert rest(backlog) == [packet, gap, 5, 6, 7, 8]


def test_packets_do_not_pile_up() -> None:
    backlog = Backlog(25)
    backlog.put(frame(0))
    for _ in range(5000):
        backlog.put(av.Packet(1))
    assert len(rest(backlog)) == 4097
    assert backlog.packets_dropped == 5000 - 4096


def test_the_end_wakes_who_waits() -> None:
    backlog, woken = Backlog(25), threading.Event()

    def wait() -> None:
        with pytest.raises(Closed):
            backlog.get()
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    backlog.end(at_once=True)
    assert woken.wait(10)
    backlog.put(frame(1))
    with pytest.raises(Closed):
        backlog.get()
