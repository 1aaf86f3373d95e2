"""One text encoder of a model: prompts with weights, of any length, to what the UNet's cross-attention reads.

compel cuts long prompts into pieces and weights tokens. Its own syntax is left aside: it is not what people write,
and gives signs in plain prompts a meaning, such as plus, minus and quotation marks. So is its way with weights below
1, which encodes the text once more for each: here they are what weights above 1 are, in the other direction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.models.adapters.embeddings import with_all_vectors
from streamv2v_cli.models.quiet import quiet
from streamv2v_cli.models.weighted_text import WeightedText

__all__ = ["MOST_PIECES", "TextEncoder"]

logger = logging.getLogger(__name__)

MOST_PIECES = 4
"""Pieces, each as long as the encoder reads, that a prompt is cut into: what comes after them is left out."""


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A text encoder with its tokenizer.

    Attributes:
        tokenizer: prompt to tokens.
        module: tokens to hidden states.
        penultimate: the UNet reads the layer before the last, without the final norm, as that of SDXL does.
        clip_skip: layers at the end that are left out beside.

    Raises:
        ConfigError: the encoder does not have as many layers.
    """

    tokenizer: Any
    module: Any
    penultimate: bool = False
    clip_skip: int = 0

    def __post_init__(self) -> None:
        layers = self.module.config.num_hidden_layers - self.penultimate
        if self.clip_skip > layers:
            raise ConfigError(
                f"clip_skip is {self.clip_skip}, but the model's text encoder has {layers} layers to leave out."
            )

    @torch.no_grad()
    def encode(self, parts: Sequence[WeightedText]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode a prompt, by itself, so that its bits do not depend on what it is encoded with.

        Args:
            parts: the text and its weights.

        Returns:
            (tokens, width) hidden states, where tokens are a multiple of what the encoder reads at once; (width,) the
            projection of the beginning of the text, without weights, or None if the encoder has none.
        """
        parts = [WeightedText(with_all_vectors(part.text, self.tokenizer), part.weight) for part in parts]
        text = "".join(part.text for part in parts)
        fits = len(self.tokenizer(text, verbose=False).input_ids) <= self.tokenizer.model_max_length
        output = self._run(*self._tokens(text))
        pooled = getattr(output, "text_embeds", None)
        plain = fits and all(part.weight == 1 for part in parts)
        hidden = self._hidden(output)[0] if plain else self._weighted(parts, text)
        return hidden, None if pooled is None else pooled[0]

    def _tokens(self, text: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The ids of the beginning of a text, and the mask that the encoder asks for."""
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(
            [text], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        return tokens.input_ids, tokens.attention_mask if self._masks_padding else None

    @property
    def _masks_padding(self) -> bool:
        return bool(getattr(self.module.config, "use_attention_mask", False))

    def _run(self, ids: torch.Tensor, mask: torch.Tensor | None) -> Any:
        device = next(self.module.parameters()).device
        return self.module(
            ids.to(device),
            attention_mask=None if mask is None else mask.to(device),
            output_hidden_states=self.penultimate or self.clip_skip > 0,
        )

    def _hidden(self, output: Any) -> torch.Tensor:
        """(1, tokens, width) of what the module gives: the layer that the UNet reads."""
        if self.penultimate:
            return output.hidden_states[-2 - self.clip_skip]  # type: ignore[no-any-return]
        if self.clip_skip:
            norm = getattr(self.module, "text_model", self.module).final_layer_norm
            return norm(output.hidden_states[-1 - self.clip_skip])  # type: ignore[no-any-return]
        return output[0]  # type: ignore[no-any-return]

    def _weighted(self, parts: Sequence[WeightedText], text: str) -> torch.Tensor:
        """(tokens, width) of a prompt in pieces, with each token as far from the empty prompt as its weight says."""
        from compel import EmbeddingsProvider, SplitLongTextMode

        parameter = next(self.module.parameters())
        provider = EmbeddingsProvider(
            self.tokenizer,
            _ForCompel(self),
            truncate=False,
            padding_attention_mask_value=0 if self._masks_padding else 1,
            split_long_text_mode=SplitLongTextMode.PHRASES,
            dtype_for_device_getter=lambda _: torch.promote_types(parameter.dtype, torch.float32),
            device=parameter.device,
        )
        with quiet():  # transformers warns of every text that is longer than one piece
            ids, weights, mask = provider.get_token_ids_and_expand_weights(
                [part.text for part in parts], [part.weight for part in parts], device=parameter.device
            )
        length = self.tokenizer.model_max_length
        if len(ids) > (most := MOST_PIECES * length):
            logger.warning(
                "the prompt has %d pieces of at most %d tokens, of which the first %d are used: %s",
                len(ids) // length,
                length - 2,
                MOST_PIECES,
                text,
            )
        ids, weights, mask = ids[:most], weights[:most], mask[:most]
        hidden: torch.Tensor = provider.build_weighted_embedding_tensor(ids, weights, mask)
        return hidden[0]


class _ForCompel:
    """A text encoder as compel calls it, which gives the layer that the UNet reads."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None = None, **_: bool) -> SimpleNamespace:
        encoder = self._encoder
        return SimpleNamespace(last_hidden_state=encoder._hidden(encoder._run(ids, mask)))
