"""Feature banks: what a frame remembers of the past (section 4 of the StreamV2V paper)."""

from streamv2v_cli.bank.attention import choose_backend
from streamv2v_cli.bank.feature_bank import FeatureBank, RowEvent
from streamv2v_cli.bank.layer_bank import BankStep, LayerBank
from streamv2v_cli.bank.pinned import LayerPins, PinnedBank, PinStep
from streamv2v_cli.bank.processor import (
    PictureFeatures,
    PromptFeatures,
    StreamAttnProcessor,
    install,
    join_projections,
    restore,
)

__all__ = [
    "BankStep",
    "FeatureBank",
    "LayerBank",
    "LayerPins",
    "PictureFeatures",
    "PinStep",
    "PinnedBank",
    "PromptFeatures",
    "RowEvent",
    "StreamAttnProcessor",
    "choose_backend",
    "install",
    "join_projections",
    "restore",
]
