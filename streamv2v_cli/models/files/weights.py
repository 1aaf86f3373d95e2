"""Reading tensors from files, without ever running code from them, and filling modules strictly.

Pickled files are read only where the user allows it, and then as plain data: the unpickler that is meant to run
nothing is a large piece of code that has had holes before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.files.layout import damaged
from streamv2v_cli.models.files.pickles import read_pickle
from streamv2v_cli.models.files.soundness import check_finite

if TYPE_CHECKING:
    import torch

__all__ = ["check_loaded", "check_pickle", "fill", "read_tensors", "shapes_of", "with_new_names"]

_INNER = ("state_dict", "params_ema", "params", "string_to_param")
"""Where checkpoints of Stable Diffusion, upscalers and embeddings have their tensors."""
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
_DEEPEST = 4
"""Tables within tables, the innermost of which holds the tensors."""
# Constants and training leftovers that modules of this kind do not have as parameters.
_IGNORED = ("position_ids", "logit_scale", "text_projection", "num_batches_tracked")


def check_pickle(path: Path, allow_pickle: bool) -> None:
    """Raise a ModelError if the file is a pickled one and those are not allowed."""
    if path.suffix.lower() in PICKLED and not allow_pickle:
        raise ModelError(
            f"{str(path)!r} is a pickled file, of a kind that can run code when it is read; it was not opened.",
            "Get the .safetensors version, or use --allow-pickle if you trust who made it: even then only tensors "
            "are read.",
        )


def read_tensors(path: Path, *, allow_pickle: bool = False) -> dict[str, torch.Tensor]:
    """All tensors of a .safetensors file, or of a .ckpt, .pt, .pth or .bin file if those are allowed, on the CPU.

    Raises:
        ModelError: the file is damaged, of another type, not allowed, or holds more than tensors.
    """
    from safetensors.torch import load_file

    suffix = path.suffix.lower()
    check_pickle(path, allow_pickle)
    if suffix == ".safetensors":
        try:
            tensors: dict[str, torch.Tensor] = load_file(path)
            return tensors
        except Exception as error:
            from streamv2v_cli.models.out_of_memory import ran_out_of_memory

            if ran_out_of_memory(error):
                raise
            raise damaged(path, error) from error
    if suffix not in PICKLED:
        raise ModelError(
            f"{str(path)!r} is not a weights file that can be read.",
            "Supported are .safetensors and, with --allow-pickle, .ckpt, .pt, .pth and .bin.",
        )
    return _tensors_only(read_pickle(path), path)


def _tensors_only(content: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for _ in range(_DEEPEST):  # one may hold itself
        if not isinstance(content, dict):
            break
        content = next((content[name] for name in _INNER if isinstance(content.get(name), dict)), content)
    if not isinstance(content, dict):
        raise ModelError(f"{str(path)!r} holds no table of tensors.", "Give a checkpoint of model weights.")
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def with_new_names(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of an old diffusers file under the names that its module has now.

    The attention of a VAE was named otherwise. A text encoder has `text_model.` in front or not, by the version of
    transformers.
    """
    prefix = "text_model."
    has_prefix = any(name.startswith(prefix) for name in module.state_dict())
    is_text = any(name.removeprefix(prefix).startswith("embeddings.") for name in tensors)
    named = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_ATTENTION.items():
            name = name.replace(old, new)
        if is_text and not name.startswith("text_projection"):
            name = (prefix if has_prefix else "") + name.removeprefix(prefix)
        named[name] = tensor
    return named


def fill(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], part: str, where: str) -> None:
    """Copy tensors into a module; every parameter must be given, in its shape.

    Raises:
        ModelError: something is missing, left over or of another shape.
    """
    wanted = module.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(_IGNORED)}
    for name, tensor in given.items():
        if name in wanted and tensor.shape != wanted[name].shape:
            raise ModelError(
                f"The {part} in {where} does not fit its config: {name} is {_shape(tensor)}, not "
                f"{_shape(wanted[name])}.",
                "Give the configs that belong to it with --model-config DIR.",
            )
    missing = {name for name in wanted.keys() - given.keys() if not name.endswith(_IGNORED)}
    check_loaded(part, where, missing, given.keys() - wanted.keys())
    check_finite(given.items(), where)
    module.load_state_dict({name: given.get(name, wanted[name]) for name in wanted})


def check_loaded(part: str, where: str, missing: Any, unexpected: Any, mismatched: Any = ()) -> None:
    """Refuse a part whose weights do not match its config one to one.

    Raises:
        ModelError: names one of the weights that are missing, left over or of another shape.
    """
    unexpected = [name for name in unexpected if not str(name).endswith(_IGNORED)]
    for what, names in (
        ("lacks", missing),
        ("has too much:", unexpected),
        ("has in another shape:", mismatched),
    ):
        if names:
            first = min(str(name[0] if isinstance(name, tuple) else name) for name in names)
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"The {part} in {where} does not match its config: it {what} {first}{more}.",
                "The file is incomplete or belongs to another architecture.",
            )


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape)
