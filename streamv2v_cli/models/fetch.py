"""Fetching from the Hugging Face Hub: only what is needed, never pickles, and quick to say no."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamv2v_cli.errors import ModelError, StreamV2VError
from streamv2v_cli.models.adapter_files import choose_adapter_files, find_adapter_files
from streamv2v_cli.models.facts import read_json
from streamv2v_cli.models.lora_file import choose_lora_file
from streamv2v_cli.models.sources import ModelSource, find_source, not_found, not_kept

__all__ = [
    "CONFIG_FILES",
    "cached_adapter",
    "cached_lora",
    "cached_part",
    "choose_files",
    "fetch",
    "holds_files",
    "names_below",
    "obtain_adapter",
    "obtain_controlnet",
    "obtain_lcm_lora",
    "obtain_lora",
    "obtain_model",
    "obtain_vae",
    "weight_files",
]

TIMEOUT = 10.0
_log = logging.getLogger(__name__)


def fetch(hub_id: str, choose: Callable[[Sequence[str]], list[str]], *, role: str, remedy: str) -> Path:
    """Download some files of a repository into the Hub's cache.

    Args:
        hub_id: `owner/name` on the Hub.
        choose: picks the wanted ones from the repository's file names; its own errors pass through.
        role: what it is, for messages.
        remedy: how to do without the download, for messages.

    Returns:
        The snapshot folder.

    Raises:
        ModelNotFoundError: offline, unreachable, unknown or gated.
        ModelError: it cannot be written to the cache.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    with _plain_errors(hub_id, role, remedy):
        siblings = HfApi().model_info(hub_id, timeout=TIMEOUT).siblings or []
        names = choose([sibling.rfilename for sibling in siblings])
        _log.info("fetching %s %s from the Hugging Face Hub (%d files)", role, hub_id, len(names))
        return Path(
            snapshot_download(
                hub_id, cache_dir=constants.HF_HUB_CACHE, allow_patterns=names, etag_timeout=TIMEOUT
            )
        )


@contextmanager
def _plain_errors(hub_id: str, role: str, remedy: str) -> Iterator[None]:
    """Turn whatever the Hub client and its HTTP library raise into one sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except StreamV2VError:
        raise
    except OfflineModeIsEnabled as error:
        raise not_found(role, hub_id, "HF_HUB_OFFLINE forbids fetching it", remedy) from error
    except GatedRepoError as error:
        reason = "its owner gives access only to those who ask for it on its page and then `hf auth login`"
        raise not_found(role, hub_id, reason, remedy) from error
    except RepositoryNotFoundError as error:
        reason = "the Hugging Face Hub has no public model of that name"
        raise not_found(role, hub_id, reason, remedy) from error
    except Exception as error:
        if full := not_kept(error, f"The {role} {hub_id!r}", constants.HF_HUB_CACHE, "HF_HOME"):
            raise full from error
        # The client's HTTP library, and with it the class of a refused connection, changes between versions.
        detail = (str(error).strip().splitlines() or [""])[0][:200].rstrip(". ")
        reason = f"the Hugging Face Hub cannot be reached ({type(error).__name__}: {detail})"
        raise not_found(role, hub_id, reason, remedy) from error


MODEL_REMEDY = "give a local folder or file with --model PATH"
VAE_REMEDY = "give a local one with --vae PATH, or use the model's own with --vae own"
LCM_REMEDY = "give a local file with --lcm-lora PATH, or do without with --lcm-lora none"
LORA_REMEDY = "give a local file with --lora PATH"
ADAPTER_REMEDY = "give a local file with --ip-adapter FILE"
CONTROL_REMEDY = "give a local folder with --controlnet DIR"


def obtain_model(source: ModelSource, parts: Sequence[str], *, own_vae: bool = False) -> Path:
    """The model's folder in diffusers format, with its configs and the weights of `parts`.

    Args:
        source: where it is.
        parts: whose weights are needed now.
        own_vae: its VAE will be needed, as messages say.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it has no safetensors weights, or is in another format.
    """

    def choose(names: Sequence[str]) -> list[str]:
        return choose_files(names, parts, source.text)

    role = "model with its VAE" if own_vae else "model"
    return _obtain(source, lambda folder: holds_files(folder, parts), choose, role, MODEL_REMEDY)


def obtain_vae(text: str) -> Path:
    """The folder or file of a VAE.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: it has no safetensors weights.
    """
    return _obtain_part(find_source(text, "VAE", "--vae"), "VAE", VAE_REMEDY)


def obtain_controlnet(text: str) -> Path:
    """The folder of a ControlNet; errors as `obtain_vae`."""
    return _obtain_part(find_source(text, "ControlNet", "--controlnet"), "ControlNet", CONTROL_REMEDY)


def obtain_adapter(text: str, family: str) -> Path:
    """The file or folder of an IP-Adapter for a family of models, with its image encoder; errors as `obtain_vae`."""

    def choose(names: Sequence[str]) -> list[str]:
        return choose_adapter_files(names, family, text)

    source = find_source(text, "IP-Adapter", "--ip-adapter")
    return _obtain(source, lambda folder: holds_adapter(folder, family), choose, "IP-Adapter", ADAPTER_REMEDY)


def holds_adapter(folder: Path, family: str) -> bool:
    """Whether a cached snapshot has the IP-Adapter for a family of models, with its image encoder."""
    try:
        find_adapter_files(folder, None, family)
    except ModelError:
        return False
    return True


def cached_adapter(source: ModelSource, family: str) -> Path | None:
    """The file or folder of the IP-Adapter if it is on this machine."""
    missing = source.path is None or (source.hub_id is not None and not holds_adapter(source.path, family))
    return None if missing else source.path


def obtain_lora(text: str) -> Path:
    """The file of a LoRA.

    Raises:
        ModelNotFoundError: it is neither here nor to be fetched.
        ModelError: its folder does not say which file is meant.
    """
    return _obtain_lora(find_source(text, "LoRA", "--lora"), "LoRA", LORA_REMEDY)


def obtain_lcm_lora(text: str) -> Path:
    """The file of the LCM-LoRA; errors as `obtain_lora`, with the way to do without it."""
    return _obtain_lora(find_source(text, "LCM-LoRA", "--lcm-lora"), "LCM-LoRA", LCM_REMEDY)


def cached_part(source: ModelSource) -> Path | None:
    """The VAE or ControlNet if it is on this machine."""
    return (
        source.path
        if source.path is not None and (source.hub_id is None or _holds_part(source.path))
        else None
    )


def cached_lora(source: ModelSource) -> Path | None:
    """The LoRA's file if it is on this machine."""
    if source.path is None or (source.hub_id is not None and not _holds_lora(source.path)):
        return None
    return source.path if source.kind == "file" else _lora_in(source.path, source.text)


def _obtain_part(source: ModelSource, role: str, remedy: str) -> Path:
    """What a repository holds at its top: a config and weights."""

    def choose(names: Sequence[str]) -> list[str]:
        return ["config.json", *weight_files(names, "", source.text)[1]]

    return _obtain(source, _holds_part, choose, role, remedy)


def _obtain_lora(source: ModelSource, role: str, remedy: str) -> Path:
    def choose(names: Sequence[str]) -> list[str]:
        return [
            choose_lora_file(names, source.text),
            *(name for name in names if name == "adapter_config.json"),
        ]

    path = _obtain(source, _holds_lora, choose, role, remedy)
    return path if source.kind == "file" else _lora_in(path, source.text)


def _lora_in(folder: Path, where: str) -> Path:
    return folder / choose_lora_file(names_below(folder), where)


def _holds_lora(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _holds_part(folder: Path) -> bool:
    try:
        weight_files(names_below(folder), "", str(folder))
    except ModelError:
        return False
    return (folder / "config.json").is_file()


def _obtain(
    source: ModelSource,
    complete: Callable[[Path], bool],
    choose: Callable[[Sequence[str]], list[str]],
    role: str,
    remedy: str,
) -> Path:
    """A local path as it is, the cached snapshot if it is complete, else what `choose` picks from the Hub."""
    if source.path is not None and (source.hub_id is None or complete(source.path)):
        return source.path
    return fetch(source.hub_id or source.text, choose, role=role, remedy=remedy)


CONFIG_FILES = (
    "model_index.json",
    "streamv2v.yaml",
    "styles.yaml",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "tokenizer/merges.txt",
    "tokenizer_2/*.json",
    "tokenizer_2/merges.txt",
    "unet/config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
    "vae/config.json",
)
_STEMS = {"text_encoder": "model", "text_encoder_2": "model"}
_DEFAULT_STEM = "diffusion_pytorch_model"


def weight_files(
    names: Iterable[str], part: str, where: str, stem: str | None = None
) -> tuple[str | None, list[str]]:
    """Choose the weights of one part among file names.

    Args:
        names: paths relative to the model's folder, with forward slashes.
        part: `unet`, `text_encoder`, `text_encoder_2`, `vae`, or "" for files at the top.
        where: the folder or Hub id, for messages.
        stem: the name of the weights without its end; None for that of the part.

    Returns:
        The variant (None or "fp16") and the files: one, or an index and its shards.

    Raises:
        ModelError: there are no weights, or only pickled ones.
    """
    present = set(names)
    prefix = f"{part}/" if part else ""
    stem = prefix + (stem or _STEMS.get(part, _DEFAULT_STEM))
    for variant in (None, "fp16"):
        ending = f".{variant}" if variant else ""
        if f"{stem}{ending}.safetensors" in present:
            return variant, [f"{stem}{ending}.safetensors"]
        index = f"{stem}.safetensors.index{ending}.json"
        shards = sorted(fnmatch.filter(present, f"{stem}{ending}-?????-of-?????.safetensors"))
        if index in present and shards:
            return variant, [index, *shards]
    what = part or "model"
    pickled = sorted(
        name for name in present if name.startswith(prefix) and name.endswith((".bin", ".ckpt", ".pt"))
    )
    if pickled:
        raise ModelError(
            f"The {what} in {where!r} has only pickled weights ({pickled[0]}), which can run code when read.",
            "Use a version with .safetensors files, or convert it where you trust it: load it with diffusers "
            "and call save_pretrained.",
        )
    raise ModelError(
        f"{where!r} has no {what} weights ({stem}.safetensors).", "Download the model completely."
    )


def choose_files(names: Sequence[str], parts: Sequence[str], where: str) -> list[str]:
    """The configs and tokenizer, and the weights of `parts`, among the files of a repository.

    Raises:
        ModelError: it is no diffusers model, or a part has no safetensors weights.
    """
    if "model_index.json" not in names:
        raise ModelError(
            f"{where!r} on the Hugging Face Hub is not in diffusers format (it has no model_index.json).",
            "Download one of its .safetensors files and give it with --model PATH.",
        )
    chosen = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in CONFIG_FILES)]
    for part in parts:
        chosen += weight_files(names, part, where)[1]
    return chosen


def names_below(folder: Path) -> list[str]:
    """Paths of the files in a folder and its direct subfolders, relative to it, with forward slashes."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


def holds_files(folder: Path, parts: Sequence[str]) -> bool:
    """Whether a cached snapshot has the configs and the weights of `parts`."""
    names = names_below(folder)
    needed = {"model_index.json", "scheduler/scheduler_config.json", "unet/config.json"}
    if not needed <= set(names):
        return False
    second = "text_encoder_2" in read_json(folder / "model_index.json")
    for number in ("", "_2") if second else ("",):
        words = {f"tokenizer{number}/{name}" for name in ("tokenizer.json", "vocab.json")}
        if f"text_encoder{number}/config.json" not in names or not words & set(names):
            return False
    try:
        for part in parts:
            weight_files(names, part, str(folder))
    except ModelError:
        return False
    return True
