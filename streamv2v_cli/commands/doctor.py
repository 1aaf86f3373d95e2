"""`streamv2v doctor`: does everything work on this machine?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Look over this machine: Python, PyTorch, devices, attention, FFmpeg, encoders, decoders, models, what to do.

    Encoders and decoders are opened and GPUs are made to compute. Exit code 1 if something will make runs fail.
    """
    from dataclasses import asdict

    from streamv2v_cli.bench.doctor import examine
    from streamv2v_cli.logs import shown
    from streamv2v_cli.reports.text import folded

    problems = 0
    for finding in examine():
        problems += finding.state == "problem"
        if as_json:
            print(json.dumps(asdict(finding)), flush=True)
            continue
        print(folded(f"{finding.state:8} {finding.topic:10} ", shown(finding.text)), flush=True)
        if finding.remedy:
            print(folded(f"{'':20}-> ", shown(finding.remedy)), flush=True)
    if problems:
        raise typer.Exit(1)
