"""The stream batch: frames in, restyled frames out (sections 3 and 4 of the StreamV2V paper)."""

from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.stream_batch import StreamBatch
from streamv2v_cli.diffusion.translator import Translator

__all__ = ["Schedule", "StreamBatch", "Translator"]
