"""CLIP's opinion: how alike consecutive frames are, and how well they fit a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..reasons import reason_of

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["ClipFigures", "ClipScore"]


@dataclass(frozen=True, slots=True)
class ClipFigures:
    """What CLIP makes of one frame, or of all of them in the mean.

    Attributes:
        consistency: cosine of the embeddings of this frame and the one before, times 100 (the paper's CLIP score,
            section 5.3.1); None for the first frame.
        prompt_score: cosine of the embeddings of the frame and of the prompt, times 100; None without a prompt.
    """

    consistency: float | None
    prompt_score: float | None


class ClipScore:
    """Takes in frames one by one and keeps one embedding and sums.

    Args:
        folder: of a CLIP model in the format of transformers.
        prompt: what the frames should show; empty for no prompt score.
        device: where it runs.

    Raises:
        ModelError: the model or its tokenizer cannot be loaded.
    """

    def __init__(self, folder: Path, prompt: str = "", device: torch.device | str = "cpu") -> None:
        self._device = device
        self._model, self._processor = _load(folder)
        self._model.to(device)
        self._prompt = self._embedded_prompt(folder, prompt) if prompt else None
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._before: torch.Tensor | None = None
        self._consistency, self._changes, self._fit, self._frames = 0.0, 0, 0.0, 0

    def push(self, pixels: np.ndarray) -> ClipFigures:
        """Take in the next frame, (height, width, 3) uint8, RGB."""
        import torch

        with torch.inference_mode():
            picture = self._processor(images=pixels, return_tensors="pt", input_data_format="channels_last")
            features = self._model.vision_model(pixel_values=picture["pixel_values"].to(self._device))
            embedding = _unit(self._model.visual_projection(features.pooler_output))
        consistency = None if self._before is None else 100 * float(embedding @ self._before)
        prompt_score = None if self._prompt is None else 100 * float(embedding @ self._prompt)
        self._before = embedding
        self._frames += 1
        self._fit += prompt_score or 0.0
        if consistency is not None:
            self._changes, self._consistency = self._changes + 1, self._consistency + consistency
        return ClipFigures(consistency, prompt_score)

    def means(self) -> ClipFigures:
        """Over all frames so far."""
        has_fit = self._prompt is not None and self._frames
        return ClipFigures(
            self._consistency / self._changes if self._changes else None,
            self._fit / self._frames if has_fit else None,
        )

    def _embedded_prompt(self, folder: Path, prompt: str) -> torch.Tensor:
        import torch
        from transformers import CLIPTokenizer

        length = self._model.config.text_config.max_position_embeddings
        try:
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:
            raise ModelError(
                f"The tokenizer of the CLIP model '{folder}' cannot be loaded: {error}."
            ) from error
        tokens = tokenizer(prompt, truncation=True, max_length=length, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            features = self._model.text_model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            return _unit(self._model.text_projection(features.pooler_output))


def _load(folder: Path) -> tuple[Any, Any]:
    """The model in float32 on the CPU, and what prepares pictures for it."""
    from transformers import CLIPImageProcessor, CLIPModel

    try:
        model, report = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelError(f"The CLIP model '{folder}' cannot be loaded: {reason_of(error)}.") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"The CLIP model '{folder}' is incomplete: '{missing[0]}' is missing.")
    return model.float().eval(), processor


def _unit(features: torch.Tensor) -> torch.Tensor:
    """(1, channels) to a vector of length 1."""
    unit: torch.Tensor = features[0] / features[0].norm()
    return unit
