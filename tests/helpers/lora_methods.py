"""Random updates of every method that LyCORIS and PEFT train, and their formulas written out in float64.

Formulas: LoRA (arXiv 2106.09685), LoHa and LoKr (LyCORIS, arXiv 2309.14859), DoRA (arXiv 2402.09353); Tucker cores of
convolutions as in LoHa's paper (FedPara, arXiv 2108.06098).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Tensors = dict[str, torch.Tensor]
Change = Callable[[torch.Tensor], torch.Tensor]
"""What is added to a weight in float64, at weight 1."""

RANK, ALPHA = 4, 2.0
METHODS = (
    "lora",
    "locon-tucker",
    "dora",
    "dora-inputs",
    "loha",
    "loha-tucker",
    "lokr",
    "lokr-full",
    "lokr-tucker",
    "diff",
)


def random_method(method: str, weight: torch.Tensor, seed: int = 0) -> tuple[Tensors, Change]:
    """The tensors of a layer by the names that LyCORIS gives them, and what they do.

    Args:
        method: one of `METHODS`.
        weight: of the layer: (outputs, inputs) or (outputs, inputs, height, width).
        seed: of the numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, columns, *kernel = weight.shape
    tucker = method.endswith("tucker") and kernel != [1] * len(kernel)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    alpha = {"alpha": torch.tensor(ALPHA)}
    ones = [1] * len(kernel)
    if method == "diff":
        tensors = {"diff": draw(*weight.shape)}
        return tensors, lambda base: tensors["diff"].double()
    if method.startswith(("lora", "locon", "dora")):
        tensors = {"lora_up.weight": draw(rows, RANK, *ones)}
        if tucker:
            tensors |= {
                "lora_down.weight": draw(RANK, columns, *ones),
                "lora_mid.weight": draw(RANK, RANK, *kernel),
            }
        else:
            tensors |= {"lora_down.weight": draw(RANK, columns, *kernel)}
    elif method.startswith("loha"):
        tensors = {}
        for half in "12":
            if tucker:
                tensors |= {f"hada_w{half}_a": draw(RANK, rows), f"hada_w{half}_b": draw(RANK, columns)}
                tensors |= {f"hada_t{half}": draw(RANK, RANK, *kernel)}
            else:
                tensors |= {f"hada_w{half}_a": draw(rows, RANK)}
                tensors |= {f"hada_w{half}_b": draw(RANK, weight[0].numel())}
    else:
        tensors = {"lokr_w1": draw(2, 4)}
        inner = rows // 2, columns // 4
        if method == "lokr-full":
            tensors |= {"lokr_w2": draw(*inner, *kernel)}
        elif tucker:
            tensors |= {"lokr_w2_a": draw(RANK, inner[0]), "lokr_w2_b": draw(RANK, inner[1])}
            tensors |= {"lokr_t2": draw(RANK, RANK, *kernel)}
        else:
            tensors |= {"lokr_w2_a": draw(inner[0], RANK), "lokr_w2_b": draw(RANK, inner[1], *kernel)}
    if method.startswith("dora"):
        by_inputs = method.endswith("inputs")
        shape = (1, columns, *ones) if by_inputs else (rows, 1, *ones)
        tensors["dora_scale"] = draw(*shape).abs() + 0.5
    return tensors | alpha, lambda base: _change(method, tensors, base)


def _change(method: str, tensors: Tensors, base: torch.Tensor) -> torch.Tensor:
    t = {name: tensor.double() for name, tensor in tensors.items()}
    scale = 1.0 if method == "lokr-full" else ALPHA / RANK
    if method.startswith("loha"):
        delta = _half(t, "1", base) * _half(t, "2", base)
    elif method.startswith("lokr"):
        second = t.get("lokr_w2")
        if "lokr_t2" in t:
            second = torch.einsum("ijhw,ip,jq->pqhw", t["lokr_t2"], t["lokr_w2_a"], t["lokr_w2_b"])
        elif second is None:
            second = torch.tensordot(t["lokr_w2_a"], t["lokr_w2_b"], 1)
        rows = [torch.cat([x * second for x in row], 1) for row in t["lokr_w1"]]
        delta = torch.cat(rows, 0)
    elif "lora_mid.weight" in t:
        up, down = t["lora_up.weight"].flatten(1), t["lora_down.weight"].flatten(1)
        delta = torch.einsum("or,rshw,si->oihw", up, t["lora_mid.weight"], down)
    else:
        delta = t["lora_up.weight"].flatten(1) @ t["lora_down.weight"].flatten(1)
    delta = scale * delta.reshape(base.shape)
    if "dora_scale" not in t:
        return delta
    whole, by_inputs = base + delta, method.endswith("inputs")
    sides = [side for side in range(base.ndim) if side != (1 if by_inputs else 0)]
    norms = whole.square().sum(sides, keepdim=True).sqrt()
    return t["dora_scale"].reshape(norms.shape) / norms * whole - base


def _half(t: Tensors, half: str, base: torch.Tensor) -> torch.Tensor:
    a, b = t[f"hada_w{half}_a"], t[f"hada_w{half}_b"]
    if f"hada_t{half}" in t:
        return torch.einsum("ijhw,ip,jq->pqhw", t[f"hada_t{half}"], a, b)
    return (a @ b).reshape(base.shape)
