"""Running the tick: as it is written, compiled, or replayed from a CUDA graph."""

from streamv2v_cli.accel.choose import choose_accel
from streamv2v_cli.accel.runners import (
    CompiledRunner,
    CudaGraphRunner,
    PlainRunner,
    TickRunner,
    TickVariant,
    make_runner,
)

__all__ = [
    "CompiledRunner",
    "CudaGraphRunner",
    "PlainRunner",
    "TickRunner",
    "TickVariant",
    "choose_accel",
    "make_runner",
]
