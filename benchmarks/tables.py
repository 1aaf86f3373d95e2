"""The tables in docs/performance.md, from the JSON files in benchmarks/results: no figure is typed by hand.

python -m benchmarks.tables           # write them
python -m benchmarks.tables --check   # fail if they are not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- tables: begin, written by python -m benchmarks.tables -->", "<!-- tables: end -->"
_NOTHING = "Nothing has been measured yet.\n"


def tables(folder: Path) -> str:
    """All results of a folder as Markdown: the machine, then one table a row of the standard table."""
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))
    }
    if not results:
        return _NOTHING
    parts = []
    for name, result in results.items():
        body = _BODIES[result["kind"]](result)
        parts.append(f"### {name}\n\n{_machine(result)}\n\n{body}")
    return "\n".join(parts)


def text(document: str, folder: Path = RESULTS) -> str:
    """The document with its tables renewed."""
    before, _, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{DOCUMENT.name} has no place for the tables: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{tables(folder)}\n{END}{after}"


def _ticks(result: dict[str, Any]) -> str:
    head = (
        "| settings | model | ms a frame | frames a second | of the first | frames a tick "
        "| tick p50 | p90 | p99 (ms) | accel (s to start) | of the matmul peak |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    rows, stages = [], []
    for one in result["subjects"]:
        tick, (width, height) = one["tick_ms"], one["size"]
        rows.append(
            f"| {one['name']} | {one['settings']['model']}, {one['settings']['diffusion']['steps']} steps, "
            f"{width}x{height}, {one['dtype']} "
            f"| {1000 / one['fps']:.0f} | {one['fps']:.2f} | {one['speed_against_first']:.2f} "
            f"| {one['frames_per_tick']} | {tick['p50']:.1f} | {tick['p90']:.1f} | {tick['p99']:.1f} "
            f"| {one['accel']} ({one['accel_seconds']:.0f}) "
            f"| {one['share_of_peak']:.0%} of {one['matmul_peak_tflops']:.3g} TFLOP/s |"
        )
        spent = ", ".join(
            f"{stage} {ms:.2f}" for stage, ms in one["stage_ms_per_frame"].items() if ms >= 0.005
        )
        stages.append(f"* {one['name']}: {spent}")
    return f"{head}{chr(10).join(rows)}\n\nMilliseconds a frame by stage:\n\n{chr(10).join(stages)}\n"


def _transcode(result: dict[str, Any]) -> str:
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in result["busy_share"].items())
    width, height = result["size"]
    return (
        f"{result['frames']} frames, {result['settings']['diffusion']['steps']} steps at {width}x{height} in "
        f"{result['dtype']}: {result['fps']:.2f} frames a second. Busy: {shares}; "
        f"the others wait for {result['bottleneck']}.\n"
    )


def _agreement(result: dict[str, Any]) -> str:
    head = "| accel | bank | frames | least PSNR against plain ticks (dB) | start-up (s) |\n|---|---|---|---|---|\n"
    rows = [
        f"| {row['accel']} | {row['bank']} | {row['frames']} | {row['least_psnr']} | {row['start_up_seconds']:.1f} |"
        for row in result["rows"]
    ]
    what = f"{result['model']} at {result['size']} pixels, {result['steps']} steps, {result['dtype']}"
    return f"Each tick from the same latents and bank; {what}.\n\n{head}{chr(10).join(rows)}\n"


def _matching(result: dict[str, Any]) -> str:
    head = (
        "| rows x tokens x channels | all at once (ms) | in blocks (ms) | all at once (MiB) | in blocks (MiB) |\n"
        "|---|---|---|---|---|\n"
    )
    rows = [
        f"| {' x '.join(map(str, row['shape']))} | {row['at once']['ms']:.1f} | {row['in blocks']['ms']:.1f} "
        f"| {row['at once']['mebibytes']:.0f} | {row['in blocks']['mebibytes']:.0f} |"
        for row in result["rows"]
    ]
    return f"Nearest tokens by cosine.\n\n{head}{chr(10).join(rows)}\n"


def _lookahead(result: dict[str, Any]) -> str:
    head = (
        "| clip | steps | format | frames | PSNR of all (dB) | of the worst frame (dB) "
        "| pixels more than one of 255 apart |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    rows = [
        f"| {row['clip']} | {row['steps']} | {row['dtype']} | {row['frames']} | {row['psnr']} | {row['least_psnr']} "
        f"| {row['pixels_apart']:.2%} |"
        for row in result["rows"]
    ]
    what = f"{result['model']} at {result['size']} pixels, bank {result['bank']['kind']}, prompt {result['prompt']!r}"
    return f"`--lookahead auto` against `--lookahead 1`; {what}.\n\n{head}{chr(10).join(rows)}\n"


def upscale_table(result: dict[str, Any]) -> str:
    """Of `benchmarks.upscale`."""
    columns = ("the model works at", "enlarged by", "ms a frame (least)", "frames a second with the model")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    rows = [
        f"| {row['size']} | {row['method']} | {row['ms']:.1f} ({row['least_ms']:.1f}) | {row['fps']:.2f} |"
        for row in result["rows"]
    ]
    return f"Enlarging results of the embedded model to {result['output']}.\n\n{head}{chr(10).join(rows)}\n"


_BODIES = {
    "transcode": _transcode,
    "agreement": _agreement,
    "ticks": _ticks,
    "matching": _matching,
    "lookahead": _lookahead,
    "upscale": upscale_table,
}


def _machine(result: dict[str, Any]) -> str:
    where = result.get("name") or f"{result['processor']}, {result['threads']} threads"
    commit = f" Commit {result['commit']}." if "commit" in result else ""
    return (
        f"{where}; torch {result['versions']['torch']}, diffusers {result['versions']['diffusers']}.{commit}"
    )


def main() -> int:
    """Write the tables; with --check exit code 1 if they are stale."""
    now = DOCUMENT.read_text(encoding="utf-8")
    wanted = text(now)
    if "--check" in sys.argv[1:]:
        return int(now != wanted)
    DOCUMENT.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
