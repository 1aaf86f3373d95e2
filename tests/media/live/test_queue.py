"""What waits between a live source and who takes its frames, and what is dropped."""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from streamv2v_cli.frame import Closed, Discontinuity, Frame
from streamv2v_cli.media.live.queue import DropOldestQueue


def frame(number: int, side: int = 2) -> Frame:
    return Frame(np.zeros((side, side, 3), np.uint8), number, Fraction(1, 25), 1)


def rest(queue: DropOldestQueue) -> list[object]:
    queue.end()
    items: list[object] = []
    while True:
        try:
            item = queue.get()
        except Closed:
            return items
        items.append(item.pts if isinstance(item, Frame) else item)


def test_a_second_may_wait() -> None:
    queue = DropOldestQueue(25)
    queue.put(frame(0))
    assert queue.get().pts == 0
    for number in range(1, 26):
        queue.put(frame(number))
    assert rest(queue) == list(range(1, 26))
    assert queue.frames_dropped == 0


def test_who_is_too_slow_gets_the_newest() -> None:
    queue = DropOldestQueue(25)
    queue.put(frame(0))
    queue.get()
    for number in range(1, 31):
        queue.put(frame(number))
    assert queue.get().pts == 29
    for number in range(31, 41):
        queue.put(frame(number))
    assert rest(queue) == [39, 40]
    assert (queue.frames_dropped, queue.dropped_before) == (28 + 9, 0)


def test_who_keeps_up_again_may_let_wait_again() -> None:
    queue = DropOldestQueue(5)
    queue.put(frame(0))
    queue.get()
    for number in range(1, 10):
        queue.put(frame(number))
    assert queue.frames_dropped == 7
    queue.get()
    for number in range(10, 40):
        queue.put(frame(number))
        queue.get()
    for number in range(40, 44):
        queue.put(frame(number))
    assert rest(queue) == [39, 40, 41, 42, 43]
    assert queue.frames_dropped == 7


def test_before_anybody_takes_two_seconds_may_wait() -> None:
    queue = DropOldestQueue(5)
    for number in range(14):
        queue.put(frame(number))
    assert queue.get().pts == 4
    assert (queue.frames_dropped, queue.dropped_before) == (4, 4)
    queue.put(frame(14))
    assert rest(queue) == list(range(5, 15))


def test_large_frames_wait_in_small_numbers() -> None:
    queue = DropOldestQueue(25)
    for number in range(10):
        queue.put(frame(number, side=3600))
    assert rest(queue) == [7, 8, 9]


def test_what_is_no_frame_stays() -> None:
    queue, gap, packet = DropOldestQueue(2), Discontinuity(), av.Packet(3)
    for item in (packet, frame(0), gap, *map(frame, range(1, 9))):
        queue.put(item)
    assert rest(queue) == [packet, gap, 5, 6, 7, 8]


def test_packets_do_not_pile_up() -> None:
    queue = DropOldestQueue(25)
    queue.put(frame(0))
    for _ in range(5000):
        queue.put(av.Packet(1))
    assert len(rest(queue)) == 4097
    assert queue.packets_dropped == 5000 - 4096


def test_the_end_wakes_who_waits() -> None:
    queue, woken = DropOldestQueue(25), threading.Event()

    def wait() -> None:
        with pytest.raises(Closed):
            queue.get()
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    queue.end(at_once=True)
    assert woken.wait(10)
    queue.put(frame(1))
    with pytest.raises(Closed):
        queue.get()
