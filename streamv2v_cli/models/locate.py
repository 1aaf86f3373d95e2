"""Where a model's parts are, without loading them: for `--dry-run`.

Imports neither torch nor diffusers, and never touches the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.adapters.controlnets import choose_controlnet, choose_preprocessor
from streamv2v_cli.models.adapters.embeddings import embedding_path
from streamv2v_cli.models.adapters.ip_adapter_files import find_adapter_files
from streamv2v_cli.models.adapters.style_pictures import picture_path
from streamv2v_cli.models.catalog import LAYOUTS, LCM_LORAS, SD15_LAYOUT, SD_TINY_VAE
from streamv2v_cli.models.choices import choose_kind, choose_lcm_lora, choose_vae, find_model
from streamv2v_cli.models.facts import Kind, ModelFacts, read_facts
from streamv2v_cli.models.files.kinds import check_place, given_file
from streamv2v_cli.models.files.layout import layout_of, read_header
from streamv2v_cli.models.files.selection import holds_files
from streamv2v_cli.models.files.soundness import damaged_if_it_fails
from streamv2v_cli.models.files.weights import check_pickle
from streamv2v_cli.models.hub.fetch import found
from streamv2v_cli.models.hub.needs import Need, adapter_need, lora_need, model_need, part_need
from streamv2v_cli.models.hub.sources import ModelSource
from streamv2v_cli.models.vae import other_half
from streamv2v_cli.settings.picture_options import UPSCALE_METHODS

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import ControlNet, Embedding, Settings, Style, StyleImage, Weights

__all__ = ["ModelPlan", "PlannedPart", "describe_model", "upscaler_path"]

OWN_VAE = "the model's own"
_FORMS = {"file": "single file", "folder": "diffusers folder", "hub": "in the Hugging Face cache"}
FETCHED = "not on this machine; fetched from the Hugging Face Hub when it is needed"


@dataclass(frozen=True)
class PlannedPart:
    """One thing that would be loaded.

    Attributes:
        role: `model`, `VAE`, `LCM-LoRA`, `LoRA`, `ControlNet`, `style picture`, `IP-Adapter` and so on.
        source: the path or Hub id that it comes from.
        path: where it is on this machine; None if it would have to be fetched or cannot be found.
        remark: a word on it, or why there is no path.
        missing: it was given as a path or file that is not there or cannot be used.
        need: what would be fetched of it; None for what comes from no repository.
    """

    role: str
    source: str
    path: Path | None
    remark: str = ""
    missing: bool = False
    need: Need | None = None


@dataclass(frozen=True)
class ModelPlan:
    """What loading the model would take.

    Attributes:
        name: what the user called the model.
        kind: `diffusion`, `consistency` or `turbo`; None where only its files can tell.
        parts: in the order in which they would be loaded.
    """

    name: str
    kind: Kind | None
    parts: tuple[PlannedPart, ...]

    @property
    def complete(self) -> bool:
        """Whether everything is on this machine."""
        return all(part.path is not None for part in self.parts)


def describe_model(settings: Settings) -> ModelPlan:
    """Say what would be loaded and from where; what cannot be found is a remark, not an error."""
    with damaged_if_it_fails(f"The model {settings.model!r}"):
        return _described(settings)


def _described(settings: Settings) -> ModelPlan:
    weights = settings.weights
    try:
        source, entry = find_model(settings.model)
    except ModelError as error:
        return ModelPlan(settings.model, None, (_missing("model", settings.model, error),))
    try:
        if source.kind == "file" and source.path is not None:
            check_pickle(source.path, weights.allow_pickle)
        elif source.path is not None:
            check_place(source.path, "model", allow_pickle=weights.allow_pickle)
        facts = _facts(source, weights.config)
        if facts is None and entry is not None and entry.family is not None:
            facts = read_facts(LAYOUTS[entry.family])
    except ModelError as error:
        return ModelPlan(settings.model, None, (_missing("model", settings.model, error),))
    kind = choose_kind(source, entry, facts) if facts else (entry.kind if entry else None)
    vae = _vae_parts(source, facts, weights)
    parts = [
        _model_part(source, kind, facts, weights, own_vae=vae[0].source == OWN_VAE),
        *vae,
        *_lcm_parts(facts, kind, weights),
        *_upscaler_parts(settings),
        *(_lora_part("LoRA", lora.source, f"weight {lora.weight:g}", weights) for lora in weights.loras),
        *(_embedding_part(embedding, weights) for embedding in weights.embeddings),
        *(_control_part(control, facts, weights) for control in settings.control.nets),
        *(_picture_part(image) for image in settings.style.images),
        *_adapter_parts(settings.style, facts),
    ]
    return ModelPlan(settings.model, kind, tuple(parts))


def _facts(source: ModelSource, config: str | None) -> ModelFacts | None:
    """The configurations; None for a Hub model of which nothing is cached."""
    if source.kind == "file" and source.path is not None:
        folder = Path(config).expanduser() if config else None
        if source.path.suffix.lower() == ".safetensors":
            return read_facts(layout_of(source.path, read_header(source.path), folder))
        # What a pickled file holds is not known before it is read.
        return read_facts(folder or SD15_LAYOUT)
    if source.path is None or (source.kind == "hub" and not holds_files(source.path, ())):
        return None
    return read_facts(source.path)


def _model_part(
    source: ModelSource, kind: Kind | None, facts: ModelFacts | None, weights: Weights, *, own_vae: bool
) -> PlannedPart:
    form = _FORMS[source.kind]
    parts = () if facts is None else facts.weighty_parts
    needed = (*parts, "vae") if own_vae else parts
    need = model_need(source, needed, own_vae=own_vae, allow_pickle=weights.allow_pickle)
    path = need.path
    remark = ", ".join([*([f"{kind} model"] if kind else []), form if path else FETCHED])
    return PlannedPart("model", source.hub_id or str(source.path), path, remark, need=need)


def _vae_parts(source: ModelSource, facts: ModelFacts | None, weights: Weights) -> list[PlannedPart]:
    """The VAE, which may be two files; of a model that is not here, `auto` is most likely the tiny one."""
    wanted = weights.vae
    try:
        likely = {"auto": SD_TINY_VAE, "own": None}.get(wanted, wanted)
        vae = choose_vae(wanted, facts) if facts else likely
        if vae is None:
            name = facts.vae.get("_class_name", "") if facts and facts.vae else ""
            return [PlannedPart("VAE", OWN_VAE, source.path, str(name))]
        need = part_need(vae, "VAE", allow_pickle=weights.allow_pickle)
        path = found(need)
        if path is not None:
            check_place(path, "VAE", allow_pickle=weights.allow_pickle)
    except ModelError as error:
        return [_missing("VAE", wanted, error)]
    parts = [PlannedPart("VAE", vae, path, "" if path else FETCHED, need=need)]
    other = other_half(path) if path is not None and path.is_file() else None
    if other is not None and other.is_file():
        parts.append(PlannedPart("VAE", str(other), other))
    return parts


def _lcm_parts(facts: ModelFacts | None, kind: Kind | None, weights: Weights) -> list[PlannedPart]:
    """The LCM-LoRA, or nothing if none would be applied; of a model that is not here, the likely one."""
    wanted = weights.lcm_lora
    guess = LCM_LORAS[768] if wanted == "auto" and kind in (None, "diffusion") else wanted
    lora = choose_lcm_lora(wanted, kind, facts) if facts and kind else guess
    if lora in (None, "auto", "none"):
        return []
    remark = "unless the model turns out to be distilled already" if wanted == "auto" and kind is None else ""
    return [_lora_part("LCM-LoRA", str(lora), remark, weights)]


def _upscaler_parts(settings: Settings) -> list[PlannedPart]:
    """The network that enlarges the results, or nothing if none does."""
    name = settings.frame.upscale
    if name in UPSCALE_METHODS:
        return []
    try:
        path = upscaler_path(name)
        check_place(path, "upscaler", allow_pickle=settings.weights.allow_pickle)
    except ModelError as error:
        return [_missing("upscaler", name, error)]
    return [PlannedPart("upscaler", name, path)]


def upscaler_path(name: str) -> Path:
    """The file that --upscale names.

    Raises:
        ModelNotFoundError: it does not exist.
    """
    return given_file(name, "upscaler", "--upscale")


def _lora_part(role: Literal["LoRA", "LCM-LoRA"], text: str, remark: str, weights: Weights) -> PlannedPart:
    try:
        need = lora_need(text, role)
        path = found(need)
        if path is not None:
            check_place(path, role, allow_pickle=weights.allow_pickle)
    except ModelError as error:
        return _missing(role, text, error)
    remark = ", ".join(filter(None, [remark, "" if path else FETCHED]))
    return PlannedPart(role, text, path, remark, need=need)


def _embedding_part(embedding: Embedding, weights: Weights) -> PlannedPart:
    try:
        path = embedding_path(embedding.source)
        check_place(path, "embedding", allow_pickle=weights.allow_pickle)
    except ModelError as error:
        return _missing("embedding", embedding.source, error)
    return PlannedPart("embedding", embedding.source, path, embedding.token or "")


def _control_part(options: ControlNet, facts: ModelFacts | None, weights: Weights) -> PlannedPart:
    """A ControlNet; for a model that is not here, the likely one."""
    try:
        text = choose_controlnet(options.source, facts.family if facts else "SD 1.x")
        need = part_need(text, "ControlNet", allow_pickle=weights.allow_pickle)
        path = found(need)
        if path is not None:
            check_place(path, "ControlNet", allow_pickle=weights.allow_pickle)
    except ModelError as error:
        return _missing("ControlNet", options.source, error)
    remark = f"weight {options.weight:g}, pictures by {choose_preprocessor(options)}"
    remark = ", ".join(filter(None, [remark, "" if path else FETCHED]))
    return PlannedPart("ControlNet", text, path, remark, need=need)


def _picture_part(image: StyleImage) -> PlannedPart:
    try:
        return PlannedPart(
            "style picture", image.source, picture_path(image.source), f"weight {image.weight:g}"
        )
    except ModelError as error:
        return _missing("style picture", image.source, error)


def _adapter_parts(style: Style, facts: ModelFacts | None) -> list[PlannedPart]:
    """An IP-Adapter and its image encoder, or nothing without; for a model that is not here, the likely ones."""
    if style.adapter is None or not style.images:
        return []
    family = facts.family if facts else "SD 1.x"
    try:
        need = adapter_need(style.adapter, family)
        path = found(need)
        if path is None:
            return [PlannedPart("IP-Adapter", style.adapter, None, FETCHED, need=need)]
        files = find_adapter_files(path, style.encoder, family)
    except ModelError as error:
        return [_missing("IP-Adapter", style.adapter, error)]
    return [
        PlannedPart("IP-Adapter", style.adapter, files.weights),
        PlannedPart("image encoder", str(files.encoder), files.encoder),
    ]


def _missing(role: str, source: str, error: ModelError) -> PlannedPart:
    return PlannedPart(role, source, None, str(error), missing=True)
