"""`run --json` against what docs/events.md promises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from helpers.clips import make_clip, mosaic

from streamv2v_cli.batch.events import BatchEvent
from streamv2v_cli.serve.events import EVENTS as SERVE_EVENTS
from streamv2v_cli.transcode.event_log import EventLog
from streamv2v_cli.transcode.events import EVENTS, WarningEvent

Run = Callable[..., Any]
DOCUMENT = ROOT / "docs" / "events.md"
TYPES = {"string": str, "integer": int, "number": (int, float), "null": type(None), "list": list}


def documented() -> dict[str, dict[str, str]]:
    """Event -> field -> type, as the document's tables say."""
    schema: dict[str, dict[str, str]] = {}
    for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.MULTILINE)
        schema[section.splitlines()[0]] = dict(rows)
    return schema


def checked(lines: str, *, batch: bool = False) -> list[dict[str, Any]]:
    """The events of a log, each with exactly the documented fields and types."""
    events = [json.loads(line) for line in lines.splitlines()]
    schema = documented()
    for event in events:
        expected = schema[event["event"]]
        if batch and event["event"] != "batch":
            expected = {"input": "string or null"} | expected
        assert list(event) == ["event", *expected]
        for name, kind in expected.items():
            allowed = tuple(TYPES[word] for word in kind.split(" or "))
            flat = [t for item in allowed for t in (item if isinstance(item, tuple) else (item,))]
            assert type(event[name]) in flat, (event["event"], name, event[name])
    return events


def test_the_document_lists_every_event_and_field() -> None:
    every_event = (*EVENTS, BatchEvent, *SERVE_EVENTS)
    assert documented().keys() == {event.name for event in every_event}
    for event in every_event:
        written = {field.name: field.type.replace(" | ", " or ") for field in fields(event)}
        for name, kind in {"str": "string", "int": "integer", "float": "number", "None": "null"}.items():
            written = {key: re.sub(rf"\b{name}\b", kind, value) for key, value in written.items()}
        written = {key: "list" if value.startswith("tuple[") else value for key, value in written.items()}
        written = {key: "string" if "Literal" in value else value for key, value in written.items()}
        assert documented()[event.name] == written


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes of eight frames, of odd height: that is a warning."""
    return make_clip(
        tmp_path / "scenes.mp4", size=(64, 47), pix_fmt="yuv444p", picture=lambda i: mosaic(i // 8)[:47]
    )


def test_the_events_of_a_run(scenes: Path, passthrough: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("- {time: 0.4, prompt: comic}")
    result = passthrough(
        *(scenes, "-o", "out.mp4", "--prompt", "größer", "--prompts", "p.yaml", "--json", "events.ndjson")
    )
    assert (result.code, result.out) == (0, "out.mp4\n")
    assert "24 frames of 64x48" in result.err
    events = checked((tmp_path / "events.ndjson").read_text(encoding="utf-8"))
    names = [event["event"] for event in events]
    assert names[-1] == "summary"
    assert set(names) == {event.name for event in EVENTS} - {"connection"}
    start, summary = events[names.index("start")], events[-1]
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert (start["frames"], start["width"], start["height"], start["prompt"]) == (24, 64, 48, "größer")
    assert any("even sides" in message for message in warnings)
    assert [(cut["frame"], cut["time"]) for cut in events if cut["event"] == "cut"] == [(8, 0.32), (16, 0.64)]
    (prompt,) = [event for event in events if event["event"] == "prompt"]
    assert (prompt["frame"], prompt["time"], prompt["prompt"]) == (10, 0.4, "comic")
    assert (summary["status"], summary["exit_code"], summary["cuts"]) == ("done", 0, 2)
    assert (summary["frames_in"], summary["frames_out"]) == (24, 24)
    assert summary["output"] == str(tmp_path / "out.mp4")
    assert summary["bytes"] == (tmp_path / "out.mp4").stat().st_size


def test_on_stderr_there_is_nothing_else(scenes: Path, passthrough: Run) -> None:
    result = passthrough(scenes, "-o", "out.mp4", "--json", "-", "-v")
    assert (result.code, result.out) == (0, "out.mp4\n")
    assert [event["event"] for event in checked(result.err)][-1] == "summary"


def test_quiet_keeps_the_warnings_in_the_file(scenes: Path, passthrough: Run, tmp_path: Path) -> None:
    assert passthrough(scenes, "-o", "out.mp4", "--json", "events", "-q").err == ""
    assert any(event["event"] == "warning" for event in checked((tmp_path / "events").read_text()))


def test_a_failure_is_a_summary(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    result = passthrough("missing.mp4", "--json", "events")
    assert result.code == 1
    (summary,) = checked((tmp_path / "events").read_text())
    assert (summary["status"], summary["exit_code"], summary["output"]) == ("failed", 1, None)
    assert "no such file" in summary["error"]
    (tmp_path / "out.mp4").touch()
    passthrough(clip, "-o", "out.mp4", "--json", "events")
    (summary,) = checked((tmp_path / "events").read_text())
    assert summary["exit_code"] == 2


def test_the_events_overwrite_no_video(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    before = clip.read_bytes()
    for name in ("clip.mp4", "./clip.mp4", "out.mp4", "out.mp4.part"):
        result = passthrough(clip, "-o", "out.mp4", "--json", name)
        assert result.code == 2
        assert "would overwrite" in result.err
    assert clip.read_bytes() == before
    assert passthrough(clip, "--json", "no/events").code == 1
    Path(clip.parent, "link").symlink_to(clip.parent / "elsewhere")
    result = passthrough(clip, "--json", "link")
    assert (result.code, "which does not exist" in result.err) == (2, True)
    assert not (clip.parent / "elsewhere").exists()


def test_a_log_that_breaks_costs_no_video(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    result = passthrough(clip, "-o", "out.mp4", "--json", "/dev/full")
    assert result.code == 0
    assert result.err.count("Events cannot be written") == 1


def test_the_log_level(scenes: Path, passthrough: Run) -> None:
    assert "even sides" in passthrough(scenes, "-y", "-o", "out.mp4", "-q", "--log-level", "warning").err
    assert "even sides" not in passthrough(scenes, "-y", "-o", "out.mp4", "--log-level", "error").err
    assert passthrough(scenes, "-o", "out.mp4", "--log-level", "loud").code == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_events_of_a_batch(jobs: str, scenes: Path, streamv2v: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    batch = ("batch", scenes, "bad.mp4", "-o", "out", "--translator", "passthrough", "--seed", "4")
    result = streamv2v(*batch, "--json", "events", "--jobs", jobs)
    assert result.code == 3, result.err
    events = checked((tmp_path / "events").read_text(encoding="utf-8"), batch=True)
    assert events[-1]["event"] == "batch"
    counts = [events[-1][name] for name in ("exit_code", "files", "done", "failed", "not_begun")]
    assert counts == [3, 2, 1, 1, 0]
    good = [event for event in events[:-1] if event["input"] == str(scenes)]
    assert {event["event"] for event in good} == {event.name for event in EVENTS} - {"connection", "prompt"}
    assert (good[-1]["event"], good[-1]["status"], good[-1]["cuts"]) == ("summary", "done", 2)
    (failed,) = (event for event in events[:-1] if event["input"] == "bad.mp4")
    assert (failed["status"], failed["exit_code"]) == ("failed", 1)
    (common,) = (event for event in events[:-1] if event["input"] is None)
    assert "seed has no effect" in common["message"]


def test_a_batch_on_stderr_and_over_its_files(scenes: Path, streamv2v: Run, tmp_path: Path) -> None:
    batch = ("batch", scenes, "-o", "out", "--translator", "passthrough", "--preset", "ultrafast")
    before = scenes.read_bytes()
    for name in (scenes, "out/scenes.mp4"):
        assert streamv2v(*batch, "--json", name).code == 2
    assert scenes.read_bytes() == before
    result = streamv2v(*batch, "--json", "-", "-v")
    assert (result.code, result.out) == (0, "out/scenes.mp4\n")
    assert checked(result.err, batch=True)[-1]["event"] == "batch"


def test_a_log_that_cannot_be_written_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(str(tmp_path / "events"))
    file = log._file
    assert file is not None
    log._file = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 - the log closes it
    full = log._file
    log.write(WarningEvent("one"))
    log.write(WarningEvent("two"))
    assert full.closed
    assert caplog.text.count("Events cannot be written any more: No space left on device.") == 1
    log.close_file()
    file.close()
