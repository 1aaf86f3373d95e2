"""A plugin that keeps what failed in the last run, and lets that be run once more where a second try may count.

Tests of servers, processes and the clock, which carry the marker `timing`, may fail on a machine that stalls.
`pytest --again` runs those that failed in the last run. It refuses where anything else failed, where a module could
not be collected, and where the last run did not come to its end, so that what was never run cannot pass.
"""

from __future__ import annotations

from typing import Any

import pytest

RECORD = "streamv2v/last-run"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --again."""
    parser.addoption(
        "--again",
        action="store_true",
        help="run only what failed in the last run, if all of it is marked timing",
    )


class LastRun:
    """Writes the record in the process that sees all reports.

    Args:
        config: of that process.
        again: what to run; None for everything.
    """

    def __init__(self, config: pytest.Config, again: set[str] | None) -> None:
        self._cache: Any = config.cache
        self._again = again
        self._failed: set[str] = set()

    def _write(self, finished: bool) -> None:
        self._cache.set(RECORD, {"finished": finished, "failed": sorted(self._failed)})

    def pytest_sessionstart(self) -> None:
        """A run that is killed leaves this."""
        self._write(finished=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that failed, in whatever phase."""
        if report.failed:
            self._failed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that cannot be collected; it is no test, so that --again refuses it."""
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep only what failed."""
        if self._again is None:
            return
        chosen = [item for item in items if item.nodeid in self._again]
        unmarked = [item.nodeid for item in chosen if item.get_closest_marker("timing") is None]
        missing = sorted(self._again - {item.nodeid for item in chosen})
        if unmarked or missing:
            self._failed |= self._again
            raise pytest.UsageError(
                "no second try: not marked as timing, or no test at all: " + ", ".join(unmarked + missing)
            )
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """All tests have been run, whatever came of them; not so after an interruption or an error of pytest."""
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        self._write(finished=ended)


def pytest_configure(config: pytest.Config) -> None:
    """Begin the record; xdist's workers, and runs without a cache, have none."""
    again = config.getoption("--again")
    if hasattr(config, "workerinput") or not hasattr(config, "cache"):
        if again:
            raise pytest.UsageError("--again needs the cache, and no workers")
        return
    wanted = None
    if again:
        if config.getoption("numprocesses", None):
            raise pytest.UsageError("--again runs in one process")
        record = config.cache.get(RECORD, {"finished": False, "failed": []})
        if not record["finished"]:
            raise pytest.UsageError("no second try: the last run did not come to its end")
        wanted = set(record["failed"])
    config.pluginmanager.register(LastRun(config, wanted), "streamv2v-last-run")
