"""The figures of a benchmark as text."""

from __future__ import annotations

from typing import Any

from streamv2v_cli.reports.text import bytes_text, folded

__all__ = ["report_text"]


def report_text(result: dict[str, Any]) -> str:
    """What was measured, for people."""
    blocks = [_transcode(result)] if result["kind"] == "transcode" else map(_subject, result["subjects"])
    return "\n\n".join([*blocks, _rows(_machine(result))])


def _subject(figures: dict[str, Any]) -> str:
    tick, stages = figures["tick_ms"], figures["stage_ms_per_frame"]
    total = sum(stages.values()) or 1
    width, height = figures["size"]
    spent = ", ".join(
        f"{stage} {milliseconds:.1f} ({milliseconds / total:.0%})"
        for stage, milliseconds in stages.items()
        if milliseconds / total >= 0.005
    )
    against = figures["speed_against_first"]
    return _rows(
        [
            (figures["name"], f"{figures['fps']:.2f} frames a second" + _times(against)),
            ("model", f"{figures['settings']['model']} at {width}x{height}, {figures['dtype']}"),
            (
                "tick",
                f"p50 {tick['p50']:.1f} ms, p90 {tick['p90']:.1f}, p99 {tick['p99']:.1f}, most {tick['max']:.1f}; "
                f"{figures['ticks']} ticks of {figures['frames_per_tick']} frames",
            ),
            ("spent", f"ms a frame: {spent}"),
            (
                "computed",
                f"{figures['tflop_per_frame']:.3g} TFLOP a frame, {figures['tflops']:.3g} TFLOP/s: "
                f"{figures['share_of_peak']:.0%} of the {figures['matmul_peak_tflops']:.3g} of a large product",
            ),
            (
                "start",
                f"loaded in {figures['load_seconds']:.1f} s, warm after {figures['warm_up_seconds']:.1f} s more"
                + _accel(figures),
            ),
            *_ticks(figures),
            (
                "memory",
                f"weights {bytes_text(figures['weight_bytes'])}, bank {bytes_text(figures['bank_bytes'])}",
            ),
            (
                "left out",
                "decoding, other sizes than the model's, scene cuts, encoding; --video measures them too",
            ),
        ]
    )


def _accel(figures: dict[str, Any]) -> str:
    if figures["accel"] == "none":
        return ""
    return f", of which accel {figures['accel']} took {figures['accel_seconds']:.1f} s"


def _ticks(figures: dict[str, Any]) -> list[tuple[str, str]]:
    return [("ran", figures["accel_ticks"])] if figures["accel_ticks"] else []


def _times(ratio: float) -> str:
    return "" if ratio == 1 else f", {ratio:.2f} times the first"


def _transcode(result: dict[str, Any]) -> str:
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in result["busy_share"].items())
    return _rows(
        [
            (
                "transcode",
                f"{result['fps']:.2f} frames a second: {result['frames']} in {result['seconds']:.1f} s",
            ),
            (
                "model",
                f"{result['settings']['model']} at {result['size'][0]}x{result['size'][1]}, {result['dtype']}",
            ),
            ("busy", f"{shares}; the others wait for {result['bottleneck']}"),
            (
                "alone",
                f"{result['alone_fps']:.2f} frames a second without decoding and encoding, "
                f"of which the transcode reaches {result['fps'] / result['alone_fps']:.2f}",
            ),
            (
                "start",
                f"loaded in {result['load_seconds']:.1f} s, warm after {result['warm_up_seconds']:.1f} s more"
                + _accel(result),
            ),
            *_ticks(result),
        ]
    )


def _machine(result: dict[str, Any]) -> list[tuple[str, str]]:
    where = result.get("name") or f"{result['processor']}, {result['threads']} threads"
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return [
        ("device", f"{result['device']}: {where}"),
        ("peak", f"{bytes_text(result['peak_memory_bytes'])} of memory"),
        ("versions", f"Python {result['python']}, {versions}"),
    ]


def _rows(rows: list[tuple[str, str]]) -> str:
    return "\n".join(folded(f"{word:10}  ", meaning) for word, meaning in rows)
