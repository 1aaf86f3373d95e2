"""The parts of a model: every one is found, or fetched, before any weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import ConfigError, ModelError
from streamv2v_cli.models.adapters.controlnets import choose_controlnet, choose_preprocessor
from streamv2v_cli.models.adapters.embeddings import EmbeddingRequest, embedding_path
from streamv2v_cli.models.adapters.ip_adapter_files import AdapterFiles, find_adapter_files
from streamv2v_cli.models.adapters.style_pictures import read_pictures
from streamv2v_cli.models.choices import choose_kind, choose_lcm_lora, choose_vae, find_model
from streamv2v_cli.models.facts import Kind, ModelFacts
from streamv2v_cli.models.files.checkpoint import Checkpoint, FileCheckpoint, FolderCheckpoint
from streamv2v_cli.models.files.kinds import check_place
from streamv2v_cli.models.hub.fetch import (
    obtain_adapter,
    obtain_controlnet,
    obtain_lcm_lora,
    obtain_lora,
    obtain_model,
    obtain_vae,
)
from streamv2v_cli.models.hub.sources import ModelSource
from streamv2v_cli.models.loras.fused import LoraRequest
from streamv2v_cli.models.model import StylePicture

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import ControlNet as ControlNetOptions
    from streamv2v_cli.settings.schema import Settings, Style, Weights

__all__ = ["Parts", "gather_parts"]


@dataclass(frozen=True)
class Parts:
    """Everything that will be loaded.

    Attributes:
        checkpoint: the model itself, without its LoRAs.
        kind: what it was trained or distilled for.
        vae: a VAE of its own file or folder; None for that of the checkpoint.
        allow_pickle: pickled files may be read.
        vae_name: for messages.
        loras: those of the settings, after the LCM-LoRA.
        lcm_lora: which one; None without.
        controls: for each ControlNet its options, its preprocessor and its file or folder.
        embeddings: textual inversions.
        styles: the style pictures.
        adapter: the IP-Adapter that reads them; None for reference-only attention.
    """

    checkpoint: Checkpoint
    kind: Kind
    vae: Path | None
    allow_pickle: bool
    vae_name: str
    loras: tuple[LoraRequest, ...]
    lcm_lora: str | None
    controls: tuple[tuple[ControlNetOptions, str, Path], ...]
    embeddings: tuple[EmbeddingRequest, ...]
    styles: tuple[StylePicture, ...] = ()
    adapter: AdapterFiles | None = None


def gather_parts(settings: Settings) -> Parts:
    """Find every part and fetch what is only on the Hub: configs first, weights once those are accepted."""
    weights = settings.weights
    source, entry = find_model(settings.model)
    styles = read_pictures(settings.style.images)
    checkpoint = _open(source, weights, ())
    kind = choose_kind(source, entry, checkpoint.facts)
    vae = choose_vae(weights.vae, checkpoint.facts)
    lcm_lora = choose_lcm_lora(weights.lcm_lora, kind, checkpoint.facts)
    pickle = weights.allow_pickle
    loras = [
        LoraRequest(lora.source, obtain_lora(lora.source), lora.weight, pickle) for lora in weights.loras
    ]
    if lcm_lora is not None:
        loras.insert(0, LoraRequest(lcm_lora, obtain_lcm_lora(lcm_lora), 1.0, pickle, fixed=True))
    vae_path = None if vae is None else obtain_vae(vae, allow_pickle=pickle)
    controls = tuple(
        (
            net,
            choose_preprocessor(net),
            obtain_controlnet(choose_controlnet(net.source, checkpoint.facts.family), allow_pickle=pickle),
        )
        for net in settings.control.nets
    )
    adapter = _find_adapter(settings.style, checkpoint.facts)
    embeddings = tuple(
        EmbeddingRequest(word.source, embedding_path(word.source), word.token, pickle)
        for word in weights.embeddings
    )
    places: dict[str, list[Path | None]] = {
        "VAE": [vae_path],
        "LoRA": [x.path for x in loras],
        "ControlNet": [path for *_, path in controls],
        "embedding": [x.path for x in embeddings],
    }
    for role, paths in places.items():
        for path in filter(None, paths):
            check_place(path, role, allow_pickle=pickle)
    if source.kind == "hub":
        needed = checkpoint.facts.weighty_parts
        checkpoint = _open(source, weights, (*needed, "vae") if vae is None else needed)
    own = f"the model's own {(checkpoint.facts.vae or {}).get('_class_name', 'VAE')}"
    return Parts(
        checkpoint,
        kind,
        vae_path,
        pickle,
        vae or own,
        tuple(loras),
        lcm_lora,
        controls,
        embeddings,
        styles,
        adapter,
    )


def _find_adapter(style: Style, facts: ModelFacts) -> AdapterFiles | None:
    """The IP-Adapter, fetched if need be; None if none is asked for, or no picture for it."""
    if style.adapter is None or not style.images:
        return None
    return find_adapter_files(obtain_adapter(style.adapter, facts.family), style.encoder, facts.family)


def _open(source: ModelSource, weights: Weights, parts: tuple[str, ...]) -> Checkpoint:
    """The checkpoint; of one on the Hub, the configs and the weights of `parts` are fetched."""
    if source.kind == "file" and source.path is not None:
        return _open_file(source.path, weights.config, weights.allow_pickle)
    if weights.config is not None:
        raise ConfigError(
            f"weights.config is {weights.config!r}, but {source.text!r} has its own configs.",
            "Leave out --model-config.",
        )
    pickle = weights.allow_pickle
    folder = obtain_model(source, parts, own_vae=weights.vae == "own", allow_pickle=pickle)
    check_place(folder, "model", allow_pickle=pickle)
    return FolderCheckpoint(folder, allow_pickle=pickle)


def _open_file(path: Path, config: str | None, allow_pickle: bool) -> FileCheckpoint:
    if config is None:
        return FileCheckpoint(path, None, allow_pickle=allow_pickle)
    folder = Path(config).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"The folder {config!r} given for the configs does not exist.",
            "Check the path given with --model-config.",
        )
    return FileCheckpoint(path, folder, allow_pickle=allow_pickle)
