"""Whether the files of a model can be what they say: one boundary for all that fails, sizes, and finite weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError, StreamV2VError, reason_of

if TYPE_CHECKING:
    import torch

__all__ = ["Shapes", "check_finite", "check_sizes", "damaged_if_it_fails"]

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

_USUAL_SIDE = 4096
_COUNTS = re.compile(r"layers|blocks")
"""Keys of a configuration that say how many modules there are, not how large they are."""
_FEW = 250_000_000
"""Numbers, a gigabyte, that may be missing: which they are is told once the part is built."""
_NO_SIZE = re.compile(r".*_token_id")


@contextmanager
def damaged_if_it_fails(what: str) -> Iterator[None]:
    """Whatever fails inside without having been foreseen makes it a damaged file; lack of memory does not.

    Args:
        what: such as `The LoRA 'a.safetensors'`.

    Raises:
        ModelError: something failed inside.
    """
    try:
        yield
    except (StreamV2VError, ImportError):
        raise
    except Exception as error:
        from streamv2v_cli.models.out_of_memory import ran_out_of_memory  # it imports torch

        if ran_out_of_memory(error):
            raise
        reason = reason_of(error)
        if isinstance(error, LookupError | AttributeError | TypeError):
            reason = f"{type(error).__name__}, {reason}"
        raise ModelError(f"{what} is damaged: {reason}.", "Download it again.") from error


def check_sizes(config: Mapping[str, Any], shapes: Shapes, build: Callable[[], Any], what: str) -> None:
    """Refuse a configuration that asks for more than its weights have, before memory is taken for it.

    Args:
        config: of a part of a model.
        shapes: of all its tensors.
        build: makes the part of the configuration; called where tensors take no memory.
        what: the part, for messages.

    Raises:
        ModelError: it does.
    """
    import torch

    largest = max((_USUAL_SIDE, *(side for shape in shapes.values() for side in shape)))
    for key, size in _sizes_in(config):
        if size > (len(shapes) if _COUNTS.search(key) else largest):
            raise ModelError(
                f"{what} does not match its weights: its config says {key} {size}.", "Download it again."
            )
    with damaged_if_it_fails(what), torch.device("meta"):
        wanted = sum(parameter.numel() for parameter in build().parameters())
    if wanted > (there := sum(map(prod, shapes.values()))) + _FEW:
        raise ModelError(
            f"{what} does not match its weights: its config asks for {wanted} numbers, and there are {there}.",
            "The file is incomplete or belongs to another architecture.",
        )


def _sizes_in(config: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Every whole number of a configuration and the length of every list, each with its key."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from _sizes_in(value, str(name))
    elif isinstance(config, list | tuple):
        yield f"{key} (blocks)", len(config)
        for value in config:
            yield from _sizes_in(value, key)
    elif isinstance(config, int) and not _NO_SIZE.fullmatch(key):
        yield key, int(config)


def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], where: str) -> None:
    """Refuse weights with NaN or infinity among them: every picture would be black.

    Args:
        tensors: names and weights.
        where: the file, for messages.

    Raises:
        ModelError: there are such.
    """
    import torch

    for name, tensor in tensors:
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        # The sum needs one pass and no memory; where it is not finite, the numbers may be nothing but large.
        total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
        if not torch.isfinite(total) and not torch.isfinite(tensor).all():
            raise ModelError(
                f"{where} is damaged: its weight {name} is not a number (NaN) or infinite in places.",
                "Download it again, or get a version in another number format.",
            )
