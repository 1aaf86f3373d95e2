"""Textual inversions: new words whose embeddings are in files. Imports no torch until it reads tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ConfigError, ModelError
from streamv2v_cli.models.files.kinds import check_shapes, given_file
from streamv2v_cli.models.files.layout import read_header
from streamv2v_cli.models.files.soundness import check_finite, damaged_if_it_fails
from streamv2v_cli.models.files.weights import read_tensors, shapes_of
from streamv2v_cli.models.weighted_text import plain_text

if TYPE_CHECKING:
    import torch

    from streamv2v_cli.settings.schema import Embedding, Settings

__all__ = [
    "EmbeddingRequest",
    "add_embeddings",
    "embedding_path",
    "unused_embedding_notes",
    "with_all_vectors",
]

_OF_XL = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
_UNNAMED = ("emb_params", "*")
"""Where files of the web UIs have the vectors; those of diffusers have them under the word itself."""


@dataclass(frozen=True)
class EmbeddingRequest:
    """A textual inversion to add.

    Attributes:
        source: what the user called it.
        path: the file.
        token: the word for it; None for the one in the file, or the file's name.
        allow_pickle: it may be a pickled file.
    """

    source: str
    path: Path
    token: str | None = None
    allow_pickle: bool = False


def embedding_path(source: str) -> Path:
    """The file that --embedding names.

    Raises:
        ModelNotFoundError: it does not exist.
    """
    return given_file(source, "embedding", "--embedding FILE[:TOKEN]")


def add_embeddings(
    modules: Mapping[str, Any], tokenizers: Mapping[str, Any], requests: Sequence[EmbeddingRequest]
) -> list[str]:
    """Teach the tokenizers and text encoders of a model new words, in place.

    Args:
        modules: `text_encoder` and, of SDXL, `text_encoder_2`, among others.
        tokenizers: theirs, by the same names.
        requests: the words.

    Returns:
        One sentence for each.

    Raises:
        ModelError: a file is damaged, holds something else, or was made for another family of models.
        ConfigError: a word is one that the model or another file has.
    """
    notes = []
    for request in requests:
        with damaged_if_it_fails(f"The embedding {request.source!r}"):
            tensors = read_tensors(request.path, allow_pickle=request.allow_pickle)
            check_shapes(request.path, shapes_of(tensors), "embedding")
            vectors = _vectors(tensors, request.source)
            check_finite(vectors.items(), f"The embedding {request.source!r}")
        _check_fits(vectors, {part: modules[part] for part in tokenizers}, request.source)
        token = request.token or _word(tensors, request.path)
        for part, tokenizer in tokenizers.items():
            _add(token, vectors[part], tokenizer, modules[part], request.source)
        length = len(vectors["text_encoder"])
        notes.append(f"embedding {request.source}: '{token}', {length} vector{'' if length == 1 else 's'}")
    return notes


def _vectors(tensors: Mapping[str, torch.Tensor], source: str) -> dict[str, torch.Tensor]:
    """(n, width) vectors by the text encoder that reads them."""
    if not (tensors.keys() == _OF_XL.keys() or len(tensors) == 1) or any(
        tensor.ndim not in (1, 2) or not tensor.is_floating_point() or not tensor.numel()
        for tensor in tensors.values()
    ):
        example = f", such as {min(tensors)}" if tensors else ""
        raise ModelError(
            f"The file {source!r} is not a textual inversion: it holds {len(tensors)} tensors{example}.",
            "Give a file with the vectors of one word with --embedding, LoRAs with --lora and models with --model.",
        )
    return {
        _OF_XL.get(name, "text_encoder"): tensor.reshape(-1, tensor.shape[-1])
        for name, tensor in tensors.items()
    }


def _check_fits(vectors: Mapping[str, torch.Tensor], modules: Mapping[str, Any], source: str) -> None:
    """Refuse vectors of another width, and those for more or fewer text encoders, than the model's."""
    given = {part: tensor.shape[-1] for part, tensor in vectors.items()}
    wanted = {part: module.get_input_embeddings().weight.shape[-1] for part, module in modules.items()}
    if given != wanted:
        raise ModelError(
            f"The embedding {source!r} was made for another family of models: its vectors have "
            f"{_and(given)} numbers, those of the model's words {_and(wanted)}.",
            "Use one made for the model's own family (768 numbers are SD 1.x, 1024 SD 2.x, 768 and 1280 SDXL).",
        )
    if len({len(tensor) for tensor in vectors.values()}) > 1:
        raise ModelError(
            f"The embedding {source!r} has more vectors for one text encoder than for the other.",
            "Download it again.",
        )


def _and(widths: Mapping[str, int]) -> str:
    return " and ".join(str(width) for _, width in sorted(widths.items()))


def _add(token: str, vectors: torch.Tensor, tokenizer: Any, text_encoder: Any, source: str) -> None:
    """Add one word to one text encoder, by diffusers' loader."""
    from diffusers.loaders import TextualInversionLoaderMixin

    word = token.lower()  # as tokenizers of CLIP read prompts
    names = {word, *(f"{word}_{number}" for number in range(1, len(vectors)))}
    if taken := sorted(names & tokenizer.get_vocab().keys()):
        raise ConfigError(
            f"The embedding {source!r} would be called {token!r}, but the model has the word {taken[0]!r} already.",
            f"Give it another name with --embedding {source}:TOKEN.",
        )
    loader = TextualInversionLoaderMixin()
    loader.hf_device_map, loader.components = None, {}  # of the pipeline around it: there is none
    loader.load_textual_inversion({word: vectors}, token=word, tokenizer=tokenizer, text_encoder=text_encoder)
    # Old configurations let transformers take the largest token for the end of the text: now it is a new word.
    getattr(text_encoder, "text_model", text_encoder).eos_token_id = tokenizer.eos_token_id


def with_all_vectors(text: str, tokenizer: Any) -> str:
    """A text in which each new word of several vectors is followed by the words for its other vectors.

    diffusers' own way misses words with capitals, and words that begin like another one.
    """
    added = tokenizer.added_tokens_encoder
    longer = sorted((token for token in added if f"{token}_1" in added), key=len, reverse=True)
    if not longer:
        return text

    def all_vectors(found: re.Match[str]) -> str:
        word = found[0].lower()
        others = takewhile(added.__contains__, (f"{word}_{number}" for number in count(1)))
        return " ".join([word, *others])

    return re.sub("|".join(map(re.escape, longer)), all_vectors, text, flags=re.IGNORECASE)


def _word(names: Iterable[str], path: Path) -> str:
    """The word in a file, or else the file's name."""
    found = list(names)
    return found[0] if len(found) == 1 and found[0] not in _UNNAMED else path.stem


def unused_embedding_notes(settings: Settings, prompts: Iterable[str]) -> list[str]:
    """A sentence for each textual inversion that no prompt has the word of; those that cannot be read have none."""
    said = "\n".join(map(plain_text, prompts)).lower()
    notes = []
    for embedding in settings.weights.embeddings:
        token = _token(embedding, allow_pickle=settings.weights.allow_pickle)
        if token and token.lower() not in said:
            notes.append(f"The embedding {embedding.source} has no effect: no prompt has the word '{token}'.")
    return notes


def _token(embedding: Embedding, *, allow_pickle: bool) -> str | None:
    """The word for a textual inversion; None where its file cannot be read, which is an error later."""
    if embedding.token:
        return embedding.token
    try:
        path = embedding_path(embedding.source)
        if path.suffix.lower() == ".safetensors":
            return _word(read_header(path), path)
        return _word(read_tensors(path, allow_pickle=allow_pickle), path)
    except ModelError:
        return None
