"""What the StreamV2V paper publishes, and which of our tables stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["HEADINGS", "TABLES", "PaperTable"]

HEADINGS = {
    "warp_error": "warp error",
    "consistency": "CLIP",
    "milliseconds": "ms a frame",
    "gibibytes": "GiB",
}
"""Figures by name: of the paper, and of ours."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        title: what it compares.
        measured: how the paper measured it.
        table: of `streamv2v ablate`, whose rows are ours.
        figures: of `HEADINGS`, in order.
        rows: name of each row -> the published figures; rows of the same name as one of ours have both.
        names: what the paper calls rows of ours, where that is another name.
    """

    title: str
    measured: str
    table: str
    figures: tuple[str, ...]
    rows: Mapping[str, Mapping[str, float]]
    names: Mapping[str, str]


_CLIPS = "18 clips of the authors with cartoon prompts"
TABLES = (
    PaperTable(
        "Table 1: other methods",
        "67 pairs of 19 DAVIS clips and prompts",
        "bank",
        ("consistency", "warp_error"),
        {
            "CoDeF": {"consistency": 96.33, "warp_error": 116.17},
            "Rerender": {"consistency": 96.20, "warp_error": 107.00},
            "TokenFlow": {"consistency": 97.04, "warp_error": 114.25},
            "FlowVid": {"consistency": 96.68, "warp_error": 111.09},
            "none": {"consistency": 95.24, "warp_error": 117.01},
            "DyMe": {"consistency": 96.58, "warp_error": 102.99},
        },
        {"none": "StreamDiffusion", "DyMe": "StreamV2V"},
    ),
    PaperTable(
        "Table 2: feature banks",
        f"{_CLIPS}; NVIDIA A100, 512x512; memory as nvidia-smi shows it",
        "bank",
        ("milliseconds", "gibibytes", "warp_error", "consistency"),
        {
            "none": {"milliseconds": 60, "gibibytes": 3.68, "warp_error": 85.2},
            "queue 1": {"milliseconds": 70, "gibibytes": 4.03, "warp_error": 76.4},
            "queue 2": {"milliseconds": 79, "gibibytes": 4.17, "warp_error": 74.8},
            "queue 4": {"milliseconds": 100, "gibibytes": 4.77, "warp_error": 72.4},
            "DyMe": {"milliseconds": 75, "gibibytes": 4.07, "warp_error": 73.4},
        },
        {},
    ),
    PaperTable(
        "Figure 8: extended attention (EA) and feature fusion (FF)",
        _CLIPS,
        "features",
        ("warp_error", "consistency"),
        {
            "neither": {"warp_error": 85.2},
            "EA": {"warp_error": 74.0},
            "FF": {"warp_error": 80.4},
            "EA and FF": {"warp_error": 73.4},
        },
        {},
    ),
    PaperTable(
        "Appendix A.4: denoising steps",
        "NVIDIA A100, 512x512",
        "steps",
        ("milliseconds", "warp_error", "consistency"),
        {"1": {"milliseconds": 41}, "2": {}, "4": {"milliseconds": 75}},
        {},
    ),
)
