"""Muon: the steps of matrices, made orthogonal.

Computes what `torch.optim.Muon` does (since torch 2.9), which takes matrix after matrix in twenty
small kernels each, and makes a GPU wait before a step may be skipped. Here matrices of one shape go
together.

Sources: kellerjordan.github.io/posts/muon for the iteration and its coefficients, arXiv 2502.16982,
section 2.2, for the length of a step: that of AdamW, so that both take the same rate.

Every step has this length, however small the gradient. So a matrix that has none in a step, as an
expert of ViTPose+ with nobody there, is left alone, or its old momentum would drive it for hundreds
of full steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
ADAMW_LENGTH = 0.2
"""Root mean square of AdamW's step, in learning rates."""

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon:
    """Changes matrices; to the rest of training it looks like an optimiser of torch.

    Attributes:
        param_groups: As torch's: `params`, each (A, B) with a gradient, `lr`, `weight_decay`.
    """

    _step_supports_amp_scaling = True
    found_inf: Tensor
    """Set while a step is taken by torch's `GradScaler`: not 0 if it shall change nothing."""

    def __init__(self, param_groups: Sequence[dict[str, Any]]) -> None:
        self.param_groups = list(param_groups)
        shapes: dict[torch.Size, list[tuple[dict[str, Any], Tensor]]] = {}
        for group in self.param_groups:
            for matrix in group["params"]:
                shapes.setdefault(matrix.shape, []).append((group, matrix))
        self._stacks = [_Stack.of(members) for members in shapes.values()]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for stack in self._stacks:
            for matrix in stack.matrices:
                matrix.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change all matrices; their gradients are as they are, no longer scaled."""
        found_inf = getattr(self, "found_inf", None)
        for stack in self._stacks:
            stack.step(found_inf)

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers."""
        return {"momenta": [stack.momentum for stack in self._stacks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        for stack, momentum in zip(self._stacks, state["momenta"], strict=True):
            stack.momentum.copy_(momentum)


@dataclass(frozen=True, slots=True)
class _Stack:
    """Matrices of one shape (A, B), each with the group it is of; their momentum (N, A, B)."""

    groups: list[dict[str, Any]]
    matrices: list[Tensor]
    momentum: Tensor

    @classmethod
    def of(cls, members: Sequence[tuple[dict[str, Any], Tensor]]) -> _Stack:
        groups, matrices = (list(part) for part in zip(*members, strict=True))
        momentum = torch.zeros((len(matrices), *matrices[0].shape), device=matrices[0].device)
        return cls(groups, matrices, momentum)

    def step(self, found_inf: Tensor | None) -> None:
        gradients = torch.stack([matrix.grad for matrix in self.matrices])  # type: ignore[misc]
        taken = gradients.flatten(1).any(dim=1)[:, None, None]
        if found_inf is not None:
            taken = taken & (found_inf == 0)
            gradients = torch.where(taken, gradients, 0)
        kept = taken.to(gradients.dtype)
        self.momentum.lerp_(gradients, (1 - MOMENTUM) * kept)
        turned = orthogonal(gradients.lerp(self.momentum, MOMENTUM)).float()
        length = ADAMW_LENGTH * math.sqrt(max(turned.shape[1:]))
        steps = list(turned.unbind())
        torch._foreach_mul_(steps, [length * group["lr"] for group in self.groups])
        decays = [group["lr"] * group["weight_decay"] for group in self.groups]
        torch._foreach_add_(steps, torch._foreach_mul(self.matrices, decays))
        turned.mul_(kept)
        torch._foreach_sub_(self.matrices, steps)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the orthogonal parts of matrices, by Newton and Schulz.

    Args:
        matrices: (N, A, B) float32.

    Returns:
        (N, A, B) bfloat16, with singular values of 0.7 to 1.2 in place of all but the smallest.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    turned = (matrices.mT if tall else matrices).bfloat16()
    turned = turned / turned.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    linear, cubic, quintic = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = turned @ turned.mT
        change = torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic)
        turned = torch.baddbmm(turned, change, turned, beta=linear)
    return turned.mT if tall else turned
