"""How steady, how sharp and how true to its source an edited video is: arithmetic on pairs of frames.

Nothing here knows of files or of the command line.
"""

from .comparison import Comparison, FrameFigures, Means
from .flow import DisFlow, FlowEstimator, choose_flow

__all__ = ["Comparison", "DisFlow", "FlowEstimator", "FrameFigures", "Means", "choose_flow"]
