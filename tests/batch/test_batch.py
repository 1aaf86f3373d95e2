"""`streamv2v batch`: which files, where to, what is skipped, and what one failure does to the others."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, make_clip
from helpers.commands import before_each_frame
from helpers.tiny import make_tiny_pipeline
from helpers.waiting import until_written
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from streamv2v_cli.app import app
from streamv2v_cli.batch.items import Task, read_manifest
from streamv2v_cli.batch.ledger import Ledger
from streamv2v_cli.errors import UsageError

Run = Callable[..., Any]
SHORT = range(0, 512 * 4, 512)


@pytest.fixture
def batch(streamv2v: Run) -> Run:
    """`streamv2v batch` with the pass-through translator."""
    return lambda *arguments: streamv2v(
        "batch", "--translator", "passthrough", "--preset", "ultrafast", *arguments
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two clips, one deeper, and a file that is no video."""
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    make_clip(folder / "a.mp4", pts=SHORT)
    make_clip(folder / "b.mkv", pts=SHORT)
    make_clip(folder / "deep" / "a.mp4", pts=SHORT)
    (folder / "notes.txt").write_text("no video")
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".mp4", ".mkv")}


def test_a_folder_is_mirrored(tree: Path, batch: Run, tmp_path: Path) -> None:
    result = batch("clips", "-o", "out")
    assert (result.code, result.out) == (0, "out/a.mp4\nout/b.mkv\n"), result.err
    assert names(tmp_path / "out") == {"a.mp4", "b.mkv"}
    assert result.err.splitlines()[-1] == "2 done"
    assert batch("clips", "-o", "all", "-r", "--suffix", "_x").code == 0
    assert names(tmp_path / "all") == {"a_x.mp4", "b_x.mkv", "deep/a_x.mp4"}
    assert look(tmp_path / "all" / "deep" / "a_x.mp4").numbers == [0, 1, 2, 3]
    assert batch("clips", "-o", "some", "-r", "--pattern", "*.mkv").code == 0
    assert names(tmp_path / "some") == {"b.mkv"}


def test_files_and_patterns(tree: Path, batch: Run, tmp_path: Path) -> None:
    assert batch("clips/b.mkv", "clips/*.mp4", "-o", "out").code == 0
    assert names(tmp_path / "out") == {"a.mp4", "b.mkv"}


def test_outputs_inside_the_folder_are_no_inputs(tree: Path, batch: Run) -> None:
    for _ in range(2):
        assert batch("clips", "-r", "-o", "clips/out", "-y").code == 0
    assert names(tree / "out") == {"a.mp4", "b.mkv", "deep/a.mp4"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-o", "out"), 2, "nothing to do"),
        (("clips/none.mp4", "-o", "out"), 1, "does not exist"),
        (("clips", "--pattern", "*.webm", "-o", "out"), 1, "holds no video"),
        (("clips/a.mp4", "clips/deep/a.mp4", "-o", "out"), 2, "would both become"),
        (("clips", "-o", "clips"), 2, "is an input"),
        (("clips", "-o", "clips/notes.txt"), 2, "is not a folder"),
        (("--manifest", "none.yaml", "-o", "out"), 2, "cannot be read"),
        (("rtsp://joe:hush@127.0.0.1:9/x", "-o", "out"), 2, "'rtsp://***@127.0.0.1:9/x' is not a file"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(
    arguments: tuple[str, ...], code: int, words: str, tree: Path, batch: Run, tmp_path: Path
) -> None:
    before = names(tmp_path)
    result = batch(*arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert "hush" not in result.err
    assert names(tmp_path) == before


def test_one_failure_does_not_stop_the_rest(tree: Path, batch: Run, tmp_path: Path) -> None:
    (tree / "aa.mp4").write_text("no video")
    result = batch("clips", "-o", "out")
    assert (result.code, result.out) == (3, "out/a.mp4\nout/b.mkv\n")
    assert "error: clips/aa.mp4: The input 'clips/aa.mp4' cannot be opened" in result.err
    rows = [line.split() for line in result.err.splitlines()[-4:-1]]
    assert [row[:2] for row in rows] == [
        ["clips/a.mp4", "done"],
        ["clips/aa.mp4", "failed"],
        ["clips/b.mkv", "done"],
    ]
    assert result.err.splitlines()[-1] == "2 done, 1 failed"
    assert batch("clips/aa.mp4", "-o", "none").code == 1
    quiet = batch("clips", "-o", "out", "-y", "-q")
    assert quiet.err.count("\n") == 1


def test_existing_outputs_are_refused_one_by_one(tree: Path, batch: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_text("precious")
    assert batch("clips", "-o", "out").code == 3
    assert (tmp_path / "out" / "a.mp4").read_text() == "precious"
    assert batch("clips", "-o", "out", "--resume").code == 3
    assert (tmp_path / "out" / "a.mp4").read_text() == "precious"
    assert batch("clips", "-o", "out", "-y").code == 0


def test_resume_goes_by_the_ledger(tree: Path, batch: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert batch("clips", "-o", "out").code == 0
    again = batch("clips", "-o", "out", "--resume")
    assert (again.code, again.out) == (0, "")
    assert again.err.splitlines()[-1] == "2 finished before"

    (out / "a.mp4").write_bytes((out / "a.mp4").read_bytes()[:-10])
    assert batch("clips", "-o", "out", "--resume").out == "out/a.mp4\n"
    make_clip(tree / "b.mkv", pts=range(0, 512 * 3, 512))
    assert batch("clips", "-o", "out", "--resume").out == "out/b.mkv\n"
    (out / "a.mp4").unlink()
    assert batch("clips", "-o", "out", "--resume").out == "out/a.mp4\n"
    other = batch("clips", "-o", "out", "--resume", "--crf", "30")
    assert other.out == "out/a.mp4\nout/b.mkv\n"


@pytest.mark.parametrize("content", ["", "[]", '{"outputs": {"a.mp4": 1}}', "\xff", "[" * 10**5])
def test_a_damaged_ledger_is_told_and_kept(
    content: str, tree: Path, here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    damaged = content.encode("latin-1")
    ledger, kept = out / ".streamv2v-batch.json", out / ".streamv2v-batch.json.damaged"
    ledger.write_bytes(damaged)
    command = ("batch", "clips", "-o", "out", "--translator", "passthrough", "--preset", "ultrafast")
    resumed = here(*command, "--resume")
    assert (resumed.code, resumed.out) == (1, "")
    assert "error: The ledger of finished files, 'out/.streamv2v-batch.json', cannot be read" in resumed.err
    assert "leave out --resume and use -y" in resumed.err
    listed = here(*command, "--dry-run")
    assert "warning: The ledger of finished files, 'out/.streamv2v-batch.json', cannot be" in listed.err
    assert {path.name for path in out.iterdir()} == {ledger.name}
    anew = here(*command)
    assert (anew.code, anew.out) == (0, "out/a.mp4\nout/b.mkv\n")
    assert "is kept as '.streamv2v-batch.json.damaged'" in anew.err
    assert kept.read_bytes() == damaged
    again = here(*command, "--resume")
    assert (again.code, again.err.splitlines()[-1]) == (0, "2 finished before")
    assert kept.read_bytes() == damaged


def test_dry_run_lists_and_does_nothing(tree: Path, batch: Run, tmp_path: Path) -> None:
    result = batch("clips", "-o", "out", "--dry-run")
    assert (result.code, result.out) == (0, "clips/a.mp4 -> out/a.mp4\nclips/b.mkv -> out/b.mkv\n")
    assert not (tmp_path / "out").exists()
    assert batch("clips/a.mp4", "-o", "out").code == 0
    assert "a.mp4 (finished)" in batch("clips", "-o", "out", "--dry-run", "--resume").out


ROWS = [{"input": "a.mp4", "prompt": "ink, wet", "output": "x/ink.mp4"}, {"input": "b.mkv", "prompt": None}]
YAML = '- input: a.mp4\n  prompt: "ink, wet"\n  output: x/ink.mp4\n- input: b.mkv\n'
CSV = 'input,prompt,output\na.mp4,"ink, wet",x/ink.mp4\nb.mkv,,\n'


@pytest.mark.parametrize(("name", "text"), [("j.json", json.dumps(ROWS)), ("j.yaml", YAML), ("j.csv", CSV)])
def test_manifests(name: str, text: str, tree: Path, batch: Run, tmp_path: Path) -> None:
    (tree / name).write_text(text, encoding="utf-8")
    assert batch("--manifest", f"clips/{name}", "-o", "out", "--prompt", "oil").code == 0
    prompts = {}
    for path in ("x/ink.mp4", "b.mkv"):
        metadata = {key.lower(): value for key, value in look(tmp_path / "out" / path).metadata.items()}
        prompts[path] = json.loads(metadata["comment"])["settings"]["prompt"]
    assert prompts == {"x/ink.mp4": "ink, wet", "b.mkv": "oil"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1", "holds no list"),
        ("- a.mp4", "row 1 is not a mapping"),
        ("- prompt: x", "row 1 has no input"),
        ("- input: a.mp4\n- input: b.mkv\n  seed: 3", "row 2: unknown column 'seed'"),
        ("- input: a.mp4\n  prompt: [x]", "prompt must be a text"),
        ("- input: a.mp4\n  output: ../x.mp4", "is not below"),
        ("- input: a.mp4\n  : :", "mani"),
    ],
)
def test_mistakes_in_a_manifest(text: str, words: str, tree: Path, batch: Run) -> None:
    (tree / "mani.yaml").write_text(text)
    result = batch("--manifest", "clips/mani.yaml", "-o", "out")
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err


def test_a_file_without_a_prompt_is_named(tree: Path, streamv2v: Run) -> None:
    result = streamv2v("batch", "clips", "-o", "out")
    assert result.code == 2
    assert "no prompt for 'clips/a.mp4'" in result.err


def test_one_model_for_all_gives_what_single_runs_give(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clips and prompts through one translator are, bit for bit, those of a run each; it is loaded once."""
    from streamv2v_cli.transcode import translators

    model = make_tiny_pipeline(tmp_path / "tiny")
    flags = [
        "--model",
        str(model),
        "--size",
        "64x64",
        "--lcm-lora",
        "none",
        "--codec",
        "ffv1",
        "--metadata",
        "none",
    ]
    make_clip(
        tree / "c.mkv", pts=SHORT, size=(96, 48), picture=lambda i: np.full((48, 96, 3), 40 * i, np.uint8)
    )
    (tree / "jobs.yaml").write_text(
        "- {input: b.mkv, prompt: ink}\n- {input: c.mkv, prompt: oil}\n- {input: b.mkv, output: d.mkv}\n"
    )
    loads = []
    make_translator = translators.make_translator
    monkeypatch.setattr(
        translators,
        "make_translator",
        lambda *given, **rest: loads.append(1) or make_translator(*given, **rest),
    )
    out = tmp_path / "out"
    command = ["batch", "--manifest", str(tree / "jobs.yaml"), "-o", str(out), "--prompt", "sea", *flags]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert len(loads) == 1
    for source, output, prompt in (("b", "b", "ink"), ("c", "c", "oil"), ("b", "d", "sea")):
        alone = tmp_path / f"{output}.mkv"
        single = CliRunner().invoke(
            app, ["run", str(tree / f"{source}.mkv"), "--prompt", prompt, "-o", str(alone), *flags]
        )
        assert single.exit_code == 0, single.output
        assert (out / f"{output}.mkv").read_bytes() == alone.read_bytes(), output


SCRIPT = "- {time: 0.04, prompt: pixel art, strength: 0.6}\n- {time: 9, prompt: neon}\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_file_follows_the_prompts_from_its_own_beginning(
    jobs: int, tree: Path, streamv2v: Run, tmp_path: Path
) -> None:
    """Bit for bit as a run each; what an earlier file came to does not reach the next one."""
    flags = ["--model", str(make_tiny_pipeline(tmp_path / "tiny")), "--size", "64x64", "--lcm-lora", "none"]
    flags += ["--codec", "ffv1", "--steps", "1", "--prompts", "p.yaml"]
    (tmp_path / "p.yaml").write_text(SCRIPT)
    make_clip(tree / "c.mkv", pts=SHORT)
    (tree / "jobs.yaml").write_text("- {input: b.mkv, prompt: ink}\n- {input: c.mkv}\n")
    command = ["batch", "--manifest", "clips/jobs.yaml", "-o", "out", "--prompt", "sea", *flags, "-j", jobs]
    result = streamv2v(*command, "--json", "events")
    assert result.code == 0, result.err
    assert "entry 2 lies beyond the end" in result.err
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    told = [
        (event["input"], event["frame"], event["prompt"], event["strength"])
        for event in events
        if event["event"] == "prompt"
    ]
    assert sorted(told) == [("clips/b.mkv", 1, "pixel art", 0.6), ("clips/c.mkv", 1, "pixel art", 0.6)]
    for name, prompt in (("b.mkv", "ink"), ("c.mkv", "sea")):
        assert streamv2v("run", tree / name, "--prompt", prompt, "-o", name, *flags).code == 0
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / name).read_bytes()
        metadata = {key.lower(): value for key, value in look(tmp_path / "out" / name).metadata.items()}
        assert json.loads(metadata["comment"])["prompts"][0]["time"] == 0.04


def test_resume_and_prompts_over_time(tree: Path, batch: Run, tmp_path: Path) -> None:
    command = ["clips", "-o", "out", "--prompt", "sea", "--prompts", "p.yaml", "--resume"]
    (tmp_path / "p.yaml").write_text(SCRIPT)
    assert batch(*command).out == "out/a.mp4\nout/b.mkv\n"
    assert batch(*command).out == ""
    (tmp_path / "p.yaml").write_text(SCRIPT.replace("neon", "ink"))
    assert batch(*command).out == "out/a.mp4\nout/b.mkv\n"
    assert batch(*command[:5], "--resume").out == "out/a.mp4\nout/b.mkv\n"
    assert batch(*command, "--dry-run").out.endswith("  9 s: 'ink'\n")


def test_a_manifest_and_a_script_that_contradict_each_other(tree: Path, batch: Run, tmp_path: Path) -> None:
    (tree / "jobs.yaml").write_text("- {input: b.mkv, prompt: ink}\n")
    (tmp_path / "p.yaml").write_text("- {time: 0, prompt: pixel art}\n")
    result = batch("--manifest", "clips/jobs.yaml", "-o", "out", "--prompts", "p.yaml")
    assert result.code == 2
    assert "Both the manifest and --prompts p.yaml give the first prompt of 'clips/b.mkv'" in result.err


def test_a_file_finds_nothing_of_a_failed_one(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamv2v_cli.transcode import translators
    from streamv2v_cli.transcode.passthrough import PassthroughTranslator

    class Delay(PassthroughTranslator):
        """Gives each frame back one late, and fails once with one in flight."""

        waiting: Any = None
        failed = False

        def push(self, frame: Any) -> list[Any]:
            if frame.pts == 1024 and not self.failed:
                self.failed = True
                raise RuntimeError("out of memory")
            given, self.waiting = [self.waiting] if self.waiting else [], frame
            return given

        def flush(self) -> list[Any]:
            given, self.waiting = [self.waiting] if self.waiting else [], None
            return given

        def reset(self, *_: Any) -> None:
            self.waiting = None

    monkeypatch.setattr(translators, "make_translator", lambda settings, **_: Delay(settings))
    command = ["batch", str(tree), "-r", "-o", str(tmp_path / "out"), "--translator", "passthrough"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 3
    assert "RuntimeError: out of memory" in result.stderr
    assert result.stderr.splitlines()[-1] == "1 failed, 2 done"


@pytest.mark.timing
def test_ctrl_c_ends_the_batch_and_resume_goes_on(tmp_path: Path, background: Run, batch: Run) -> None:
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_clip(tmp_path / "clips" / name)
    process = background(
        *("batch", "clips", "-o", "out", "--translator", "passthrough", "--preset", "ultrafast"),
        change=before_each_frame("time.sleep(0.3 if frame.pts else 0)"),
    )
    until_written(tmp_path / "out" / "a.mp4.part")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "1 interrupted, 2 not begun"
    assert 0 < len(look(tmp_path / "out" / "a.mp4").times) < 24
    result = batch("clips", "-o", "out", "--resume")
    assert (result.code, result.out) == (0, "out/a.mp4\nout/b.mp4\nout/c.mp4\n"), result.err
    assert look(tmp_path / "out" / "a.mp4").numbers == list(range(24))


@pytest.mark.parametrize("jobs", [1, 2])
def test_names_that_are_not_utf8_go_through(
    jobs: int, tmp_path: Path, background: Run, environment: dict[str, str]
) -> None:
    """As the file system has them: in the ledger, the events, the table and on a strict standard output."""
    folder = tmp_path / "clips"
    folder.mkdir()
    name = os.fsdecode(b"b\xff.mkv")
    for clip in ("a.mkv", name, "c.mkv"):
        make_clip(folder / "clip.mkv", pts=SHORT)
        (folder / "clip.mkv").rename(folder / clip)
    command = ("batch", "clips", "-o", "out", "--translator", "passthrough", "--preset", "ultrafast")
    options = ("--jobs", str(jobs), "--json", "events.ndjson")
    environment["PYTHONIOENCODING"] = "ascii:strict"
    process = background(*command, *options, text=False)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert sorted(out.splitlines()) == [b"out/a.mkv", b"out/b\xff.mkv", b"out/c.mkv"]
    assert rb"clips/b\xff.mkv  done" in err
    assert (tmp_path / "out" / name).is_file()
    entries = json.loads((tmp_path / "out" / ".streamv2v-batch.json").read_text(encoding="utf-8"))["outputs"]
    assert set(entries) == {"a.mkv", name, "c.mkv"}
    events = [
        json.loads(line) for line in (tmp_path / "events.ndjson").read_text(encoding="utf-8").splitlines()
    ]
    assert {event["input"] for event in events if event["event"] == "summary"} == {
        *("clips/a.mkv", f"clips/{name}", "clips/c.mkv"),
    }
    again = background(*command, "--resume", text=False)
    assert b"3 finished before" in again.communicate(timeout=280)[1]


def test_a_second_batch_in_a_folder_waits_for_the_first(
    tree: Path, here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ledgers of one folder would overwrite each other."""
    command = ("batch", "clips", "-o", "out", "--translator", "passthrough", "--preset", "ultrafast", "-y")
    with Ledger.open(tmp_path / "out").locked():
        second = here(*command)
        assert (second.code, second.out) == (1, "")
        assert "error: Another batch is writing into 'out'." in second.err
        assert names(tmp_path / "out") == set()
    assert not (tmp_path / "out").exists()
    assert here(*command).code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.mp4", "b.mkv", ".streamv2v-batch.json"}


def test_a_batch_knows_what_another_finished_before_it_had_the_folder(
    tree: Path, here: Run, tmp_path: Path
) -> None:
    stale = Ledger.open(tmp_path / "out")
    assert (
        here("batch", "clips", "-o", "out", "--translator", "passthrough", "--preset", "ultrafast").code == 0
    )
    with stale.locked():
        assert set(stale.entries) == {"a.mp4", "b.mkv"}


def test_a_pipe_in_the_place_of_the_ledger_is_not_waited_for(tree: Path, here: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / ".streamv2v-batch.json")
    made = here("batch", "clips", "-o", "out", "--translator", "passthrough", "--preset", "ultrafast")
    assert (made.code, made.out) == (0, "out/a.mp4\nout/b.mkv\n")
    assert "cannot be read: it is not a regular file" in made.err


def test_links_in_a_circle_are_not_followed(tree: Path, here: Run, tmp_path: Path) -> None:
    """Two of them have 2^40 paths before the system says that these are too many."""
    for name in ("one", "two"):
        (tree / "deep" / name).symlink_to(tree)
    (tree / ".hidden").mkdir()
    make_clip(tree / ".hidden" / "no.mp4", pts=SHORT)
    command = ("batch", "-o", "out", "--translator", "passthrough", "--dry-run", "--suffix", "_x")
    listed = here(*command, "clips/**/*.mkv")
    assert (listed.code, listed.out) == (0, "clips/b.mkv -> out/b_x.mkv\n"), listed.err
    assert here(*command, f"{tree}/deep/**/*.mp4").out == f"{tree}/deep/a.mp4 -> out/a_x.mp4\n"
    assert here(*command, "clips", "-r", "--pattern", "*.mkv").out == "clips/b.mkv -> out/b_x.mkv\n"
    assert here(*command, "clips/.hid*/*.mp4").out == "clips/.hidden/no.mp4 -> out/no_x.mp4\n"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"input": "a\0b.mp4"}, "has the character U\\+0000 in it"),
        ({"input": "\ud800.mp4"}, "has an unpaired surrogate, U\\+D800, in it"),
        ({"input": "a.mp4", "output": "a\0.mp4"}, "output has the character"),
        ({"input": "a.mp4", "prompt": "\udcff"}, "prompt has an unpaired surrogate"),
    ],
)
def test_manifests_with_texts_that_are_none(row: dict[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps([row]))
    with pytest.raises(UsageError, match=words):
        read_manifest(tmp_path / "m.json")


def test_a_manifest_names_files_that_are_not_utf8(tree: Path, here: Run, tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xff.mkv")
    (tree / "b.mkv").rename(tree / name)
    (tmp_path / "m.json").write_text(json.dumps([{"input": f"clips/{name}"}]))
    made = here("batch", "--manifest", "m.json", "-o", "out", "--translator", "passthrough")
    assert made.code == 0, made.err
    assert (tmp_path / "out" / name).is_file()


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    ).map(json.dumps)
    | st.text()
)
def test_whatever_a_ledger_says(content: str) -> None:
    """It is a ledger, or it is told that it is none."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ".streamv2v-batch.json").write_text(content, encoding="utf-8", errors="surrogatepass")
        Path(folder, "a.mp4").write_text("x")
        task = Task(Path(folder, "a.mp4"), Path("a.mp4"))
        for text in (content, f'{{"outputs": {{"a.mp4": {content}}}}}'):
            Path(folder, ".streamv2v-batch.json").write_text(text, encoding="utf-8", errors="surrogatepass")
            ledger = Ledger.open(Path(folder))
            assert not ledger.has_finished(task, {})
