"""Running the tick: as it is written, compiled, or replayed from a CUDA graph."""

from streamv2v_cli.accel.choose import choose_accel, make_runner
from streamv2v_cli.accel.counts import PlainReason, TickCounts
from streamv2v_cli.accel.graph_runner import CudaGraphRunner
from streamv2v_cli.accel.runners import CompiledRunner, PlainRunner, TickRunner, TickVariant

__all__ = [
    "CompiledRunner",
    "CudaGraphRunner",
    "PlainReason",
    "PlainRunner",
    "TickCounts",
    "TickRunner",
    "TickVariant",
    "choose_accel",
    "make_runner",
]
