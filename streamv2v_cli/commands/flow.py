"""Options that choose the optical flow, shared by the commands that measure along it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ..errors import UsageError

__all__ = ["FlowName", "FlowOption", "FlowWeights", "check_flow"]

FlowName = Literal["dis", "raft"]
FlowOption = Annotated[
    FlowName,
    typer.Option(
        "--flow",
        metavar="NAME",
        help="How motion is found: dis (OpenCV's, without weights), or raft, which the paper uses, takes seconds a "
        "frame on a CPU, and needs pip install 'streamv2v\\[raft]' \\[default dis].",
        show_default=False,
    ),
]
FlowWeights = Annotated[
    str | None,
    typer.Option(
        "--flow-weights",
        metavar="FILE",
        help="Weights of torchvision's RAFT-large, .safetensors or .pth, of which only tensors are taken; without it "
        "those that torchvision publishes, which are fetched once.",
        show_default=False,
    ),
]


def check_flow(flow: FlowName, weights: str | None) -> None:
    """Raise a UsageError for weights that nothing would read."""
    if weights is not None and flow != "raft":
        raise UsageError("--flow-weights is for RAFT, and the flow is DIS.", "Add --flow raft.")
