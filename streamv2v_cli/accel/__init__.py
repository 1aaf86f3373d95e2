"""Running the tick: as it is written, compiled, or replayed from a CUDA graph."""

from streamv2v_cli.accel.choose import choose_accel
from streamv2v_cli.accel.ticks import CompiledTicks, GraphTicks, PlainTicks, Ticks, Variant, make_ticks

__all__ = [
    "CompiledTicks",
    "GraphTicks",
    "PlainTicks",
    "Ticks",
    "Variant",
    "choose_accel",
    "make_ticks",
]
