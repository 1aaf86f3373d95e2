"""The tables in docs/performance.md are what the results in benchmarks/results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import tables

SUBJECT = {
    "name": "this", "fps": 12.345, "speed_against_first": 1.0, "frames_per_tick": 4, "size": [256, 128],
    "tick_ms": {"p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0}, "dtype": "bfloat16",
    "share_of_peak": 0.25, "matmul_peak_tflops": 0.5, "stage_ms_per_frame": {"unet": 1.25, "rest": 0.001},
    "settings": {"model": "mini", "diffusion": {"steps": 4}}, "accel": "compile", "accel_seconds": 21.3,
}  # fmt: skip
COMMON = {"processor": "a processor", "threads": 2, "versions": {"torch": "2", "diffusers": "0.42"}}


def test_the_document_is_up_to_date() -> None:
    document = tables.DOCUMENT.read_text(encoding="utf-8")
    assert tables.text(document) == document, "run python -m benchmarks.tables"


def test_results_become_tables(tmp_path: Path) -> None:
    transcode = {
        "kind": "transcode", "frames": 75, "fps": 3.21, "size": [456, 256], "dtype": "float32",
        "busy_share": {"decode": 0.1, "translate": 0.98}, "bottleneck": "translate",
        "settings": {"diffusion": {"steps": 1}}, **COMMON,
    }  # fmt: skip
    (tmp_path / "b.json").write_text(json.dumps({"kind": "ticks", "subjects": [SUBJECT], **COMMON}))
    (tmp_path / "a.json").write_text(json.dumps(transcode))
    row = {"accel": "graphs", "bank": "dyme", "frames": 60, "least_psnr": 58.7, "start_up_seconds": 0.25}
    agreement = {
        "kind": "agreement",
        "model": "mini",
        "size": 64,
        "steps": 4,
        "dtype": "float16",
        "rows": [row],
    }
    (tmp_path / "c.json").write_text(json.dumps({**agreement, **COMMON, "commit": "abc"}))
    way = {"ms": 12.34, "mebibytes": 300.0}
    matching = {"kind": "matching", "rows": [{"shape": [4, 9, 5], "at once": way, "in blocks": way}]}
    (tmp_path / "d.json").write_text(json.dumps({**matching, **COMMON}))
    apart = {"clip": "a dog", "steps": 4, "dtype": "bfloat16", "frames": 48, "psnr": 51.2, "least_psnr": 44.9}
    runs = {"kind": "lookahead", "model": "mini", "size": 128, "bank": {"kind": "dyme"}, "prompt": "neon"}
    runs["rows"] = [{**apart, "pixels_apart": 0.01234}]
    (tmp_path / "e.json").write_text(json.dumps({**runs, **COMMON}))
    old = f"before\n{tables.BEGIN}\nold figures\n{tables.END}\nafter\n"
    new = tables.text(old, tmp_path)
    assert new.startswith("before\n")
    assert new.endswith("after\n")
    assert "old figures" not in new
    assert new.index("### a") < new.index("### b")
    for expected in (
        "| this | mini, 4 steps, 256x128, bfloat16 | 81 | 12.35 | 1.00 | 4 | 1.0 | 2.0 | 3.0 | "
        "compile (21) | 25% of 0.5 TFLOP/s |",
        "* this: unet 1.25\n",
        "75 frames, 1 steps at 456x256 in float32: 3.21 frames a second. Busy: decode 10%, translate 98%; "
        "the others wait for translate.",
        "| graphs | dyme | 60 | 58.7 | 0.2 |",
        "| a dog | 4 | bfloat16 | 48 | 51.2 | 44.9 | 1.23% |",
        "mini at 128 pixels, bank dyme, prompt 'neon'.",
        "| 4 x 9 x 5 | 12.3 | 12.3 | 300 | 300 |",
        "diffusers 0.42. Commit abc.",
        "a processor, 2 threads; torch 2, diffusers 0.42.",
    ):
        assert expected in new
    assert tables.text(new, tmp_path) == new


def test_a_document_without_a_place_for_them(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no place"):
        tables.text("nothing", tmp_path)
