"""CLIP's opinion: how alike consecutive frames are, and how well they fit a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError, reason_of
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.files.layout import read_header
from streamv2v_cli.models.files.selection import names_below
from streamv2v_cli.models.files.soundness import check_finite, check_sizes
from streamv2v_cli.models.hub.fetch import fetch
from streamv2v_cli.models.hub.needs import Need
from streamv2v_cli.models.hub.sources import find_source
from streamv2v_cli.models.out_of_memory import explaining_lack_of_memory, too_little_memory_for

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["ClipFigures", "ClipScore", "obtain_clip"]


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
        DeviceError: there is too little memory.
    """

    def __init__(self, folder: Path, prompt: str = "", device: torch.device | str = "cpu") -> None:
        self._device = device
        self._what = f"the CLIP model '{folder}'"
        with self._explaining_lack_of_memory("load"):
            self._model, self._processor = _load(folder)
            self._model.to(device)
            self._prompt = self._embedded_prompt(folder, prompt) if prompt else None
        self.reset()

    def _explaining_lack_of_memory(self, verb: str) -> AbstractContextManager[None]:
        return explaining_lack_of_memory(lambda: too_little_memory_for(self._what, self._device, verb))

    def reset(self) -> None:
        """Forget all frames."""
        self._before: torch.Tensor | None = None
        self._consistency, self._changes, self._fit, self._frames = 0.0, 0, 0.0, 0

    def push(self, pixels: np.ndarray) -> ClipFigures:
        """Take in the next frame, (height, width, 3) uint8, RGB.

        Raises:
            DeviceError: there is too little memory.
        """
        import torch

        with torch.inference_mode(), self._explaining_lack_of_memory("run"):
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
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    config = read_json(folder / "config.json")
    shapes = {
        name: shape for file in folder.glob("*.safetensors") for name, shape in read_header(file).items()
    }
    what = f"The CLIP model '{folder}'"
    check_sizes(config, shapes, lambda: CLIPModel(CLIPConfig.from_dict(config)), what)
    try:
        model, report = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelError(f"The CLIP model '{folder}' cannot be loaded: {reason_of(error)}.") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"The CLIP model '{folder}' is incomplete: '{missing[0]}' is missing.")
    check_finite(model.state_dict().items(), what)
    return model.float().eval(), processor


def _unit(features: torch.Tensor) -> torch.Tensor:
    """(1, channels) to a vector of length 1."""
    unit: torch.Tensor = features[0] / features[0].norm()
    return unit


_WEIGHTS = ("model.safetensors", "model-?????-of-?????.safetensors", "model.safetensors.index.json")
_SMALL = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
_REMEDY = "give a local folder with --clip DIR"


def obtain_clip(text: str) -> Path:
    """The folder of a CLIP model in the format of transformers: a path, or fetched from the Hub.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it is no CLIP model, or has no safetensors weights.
    """
    source = find_source(text, "CLIP model", "--clip")
    if source.kind == "file":
        raise ModelError(f"The CLIP model '{text}' is a file.", "Give the folder that holds its config.json.")
    need = Need(
        source,
        "CLIP model",
        _REMEDY,
        choose=lambda names: _choose(names, text),
        complete=lambda folder: _is_complete(names_below(folder)),
    )
    path = need.path or fetch(need)
    names = names_below(path)
    _choose(names, text)
    try:
        kind = read_json(path / "config.json").get("model_type")
    except ModelError as error:
        raise ModelError(f"The config.json of the CLIP model '{text}' cannot be read: {error}") from error
    if kind != "clip":
        raise ModelError(
            f"The model in '{text}' is not a CLIP model: its config.json says {kind!r}.",
            "Name one such as openai/clip-vit-large-patch14.",
        )
    return path


def _choose(names: Sequence[str], where: str) -> list[str]:
    """What is needed of a repository's files."""
    weights = [name for name in names if any(fnmatch(name, pattern) for pattern in _WEIGHTS)]
    if not weights:
        raise ModelError(
            f"The CLIP model '{where}' has no safetensors weights (model.safetensors).",
            "Name another, such as openai/clip-vit-large-patch14.",
        )
    if "config.json" not in names:
        raise ModelError(
            f"The CLIP model '{where}' has no config.json.", "Name a model in transformers' format."
        )
    return [*weights, *(name for name in names if name in _SMALL)]


def _is_complete(names: Sequence[str]) -> bool:
    tokenizer = "tokenizer.json" in names or "vocab.json" in names
    weights = any(fnmatch(name, pattern) for name in names for pattern in _WEIGHTS[:2])
    return tokenizer and weights and "config.json" in names and "preprocessor_config.json" in names
