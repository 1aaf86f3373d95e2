"""Many workers, many files and few programs that give out the work: which of them has to wait for which.

    python -m benchmarks.fleet_simulation [--figures FILE] [--workers 100 1000 4000] [--hours-a-day 8760]

A discrete simulation of `streamv2v batch --workers`: files of an hour arrive evenly; a worker looks each through, and
workers make its segments. One program (a driver) hands out all its work and joins what comes back, one thing after
the other, so that a worker waits while the driver is busy. Its costs are those that `benchmarks.fleet` has measured.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

DAY = 86_400.0


@dataclass(frozen=True)
class Costs:
    """What things take, in seconds unless it says otherwise.

    Attributes:
        fps: frames a second that a worker restyles.
        survey_fps: that it looks through.
        overhead: of a segment on its worker.
        segment: the length of one.
        rate: frames a second of the video.
        join: of a segment on the driver.
        bytes_a_second: that the driver joins.
        bit_rate: of the outputs, in bits a second.
        question: to a worker, on the driver; two a second each, 200 a second in all at most.
    """

    fps: float = 30.0
    survey_fps: float = 400.0
    overhead: float = 1.2
    segment: float = 60.0
    rate: float = 25.0
    join: float = 0.025
    bytes_a_second: float = 115e6
    bit_rate: float = 8e6
    question: float = 0.0003

    @property
    def of_segment(self) -> float:
        """On a worker."""
        return self.segment * self.rate / self.fps + self.overhead

    @property
    def of_join(self) -> float:
        """On the driver."""
        return self.join + self.segment * self.bit_rate / 8 / self.bytes_a_second

    def asking(self, busy: int) -> float:
        """Share of the driver's time for questions to so many workers."""
        return min(2.0 * busy, 200.0) * self.question


@dataclass
class Driver:
    """A program with its workers and its queue.

    Attributes:
        idle: workers without work.
        surveys, segments: work that waits: seconds of each survey, and how many segments.
        inbox: results that it has not seen.
        busy_seconds, worker_seconds: spent on results, and by workers on work.
        finished: segments.
    """

    idle: int
    surveys: deque[int] = field(default_factory=deque)
    segments: int = 0
    inbox: deque[int] = field(default_factory=deque)
    working: bool = False
    busy_seconds: float = 0.0
    worker_seconds: float = 0.0
    finished: int = 0
    waited: float = 0.0


def simulate(
    workers: int, drivers: int, hours_a_day: float, costs: Costs, seconds: float
) -> dict[str, float]:
    """A time of so many seconds, of which the first quarter, in which the queues fill, does not count."""
    fleet = [Driver(workers // drivers) for _ in range(drivers)]
    events: list[tuple[float, int, str, int, int]] = []
    order = 0

    def at(time: float, kind: str, driver: int, content: int = 0) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (time, order, kind, driver, content))

    between = DAY / hours_a_day
    for number in range(int(seconds / between)):
        at(number * between, "file", number % drivers)
    segments_a_file = round(3600 / costs.segment)
    counted_from, now = seconds / 4, 0.0
    before = 0
    while events:
        now, _, kind, which, content = heapq.heappop(events)
        if now > seconds:
            break
        driver = fleet[which]
        if not before and now >= counted_from:
            before = sum(one.finished for one in fleet) or 1
            for one in fleet:
                one.busy_seconds = one.worker_seconds = one.waited = 0.0
        if kind == "file":
            driver.surveys.append(1)
        elif kind == "made":
            driver.inbox.append(content)
        else:  # the driver has settled a result: its worker is free
            driver.working = False
            driver.idle += 1
            driver.finished += content
            driver.segments += 0 if content else segments_a_file
        while driver.idle and (driver.surveys or driver.segments):
            driver.idle -= 1
            is_segment = not driver.surveys
            if is_segment:
                driver.segments -= 1
            else:
                driver.surveys.popleft()
            work = costs.of_segment if is_segment else 3600 * costs.rate / costs.survey_fps
            driver.worker_seconds += work
            at(now + work, "made", which, int(is_segment))
        if driver.inbox and not driver.working:
            driver.working = True
            result = driver.inbox.popleft()
            busy = workers // drivers - driver.idle
            took = (costs.of_join if result else costs.join) / max(0.05, 1 - costs.asking(busy))
            driver.busy_seconds += took
            driver.waited += len(driver.inbox) * took
            at(now + took, "settled", which, result)
    span = now - counted_from
    done = sum(one.finished for one in fleet) - before
    return {
        "hours_a_day": done * costs.segment / 3600 / span * DAY,
        "workers_busy": sum(one.worker_seconds for one in fleet) / span / workers,
        "driver_busy": sum(one.busy_seconds for one in fleet) / span / drivers,
        "workers_waiting": sum(one.waited for one in fleet) / span / workers,
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent / "results" / "cpu-fleet.json")
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 300, 400, 1000])
    parser.add_argument("--drivers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument(
        "--hours-a-day", type=float, default=8760, help="of video that arrive; 8760 are a year"
    )
    parser.add_argument("--fps", type=float, default=Costs.fps, help="of a worker")
    parser.add_argument("--hours", type=float, default=6, help="that are simulated")
    options = parser.parse_args()
    figures = json.loads(options.figures.read_text()) if options.figures.exists() else {}
    costs = Costs(
        fps=options.fps,
        overhead=figures.get("overhead_a_segment_seconds", Costs.overhead),
        join=figures.get("join_a_segment_seconds", Costs.join),
        bytes_a_second=figures.get("join_bytes_a_second", Costs.bytes_a_second),
        question=figures.get("question_seconds", Costs.question),
    )
    print(costs)
    print("| workers | drivers | video a day | workers busy | workers waiting for a driver | drivers busy |")
    print("|---|---|---|---|---|---|")
    for workers in options.workers:
        for drivers in options.drivers:
            found = simulate(workers, drivers, options.hours_a_day, costs, options.hours * 3600)
            print(
                f"| {workers} | {drivers} | {found['hours_a_day']:.0f} h | {found['workers_busy']:.0%} | "
                f"{found['workers_waiting']:.0%} | {found['driver_busy']:.0%} |"
            )


if __name__ == "__main__":
    main()
