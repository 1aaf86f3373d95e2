"""Muon (Jordan et al., 2024) for convolutions: momentum whose update is made orthogonal by Newton-Schulz."""

from __future__ import annotations

from collections.abc import Iterable

import torch

__all__ = ["Muon", "orthogonalise", "split_parameters"]


def orthogonalise(matrix: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Bring the singular values of a matrix close to 1 with the quintic Newton-Schulz iteration.

    All steps are polynomials in the Gram matrix of the short side, so that the matrix itself is multiplied
    only twice: for wide convolution weights this is several times cheaper than the usual form.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    identity = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    total = identity
    for step in range(iterations):
        factor = a * identity + b * gram + c * gram @ gram
        total = factor @ total
        if step + 1 < iterations:
            gram = factor @ gram @ factor
    x = total @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum and orthogonalised updates, for weights of two or more dimensions.

    Weights are flattened to (out, rest). The update has a root mean square of about 0.2 times `lr`, so that
    learning rates of Adam carry over.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 2e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                direction = weight.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                update = orthogonalise(direction) * 0.2 * max(direction.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"])


def split_parameters(module: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The convolution weights of a module, which suit Muon, and all other parameters, which suit AdamW."""
    parameters = list(module.parameters())
    return [p for p in parameters if p.ndim == 4], [p for p in parameters if p.ndim != 4]
