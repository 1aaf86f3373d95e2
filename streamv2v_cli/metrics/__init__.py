"""How steady, how sharp and how true to its source an edited video is: arithmetic on pairs of frames.

Nothing here knows of files or of the command line.
"""

from streamv2v_cli.metrics.comparison import Comparison, FrameFigures, Means
from streamv2v_cli.metrics.flow import DisFlow, FlowEstimator, choose_flow

__all__ = ["Comparison", "DisFlow", "FlowEstimator", "FrameFigures", "Means", "choose_flow"]
