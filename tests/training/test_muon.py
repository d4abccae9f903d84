"""Muon on stacks of matrices, against torch's, matrix by matrix."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vitpose_cli.training.muon import Muon, orthogonal

SHAPES = [(48, 16), (16, 48), (48, 16), (16, 16), (48, 16)]


def matrices() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def groups(parameters: list[Tensor]) -> list[dict[str, Any]]:
    return [
        {"params": parameters[:2], "weight_decay": 0.1, "lr": 1e-2},
        {"params": parameters[2:], "weight_decay": 0.0, "lr": 3e-3},
    ]


def give_gradients(parameters: list[Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch's Muon came with 2.9")
def test_steps_are_those_of_torch() -> None:
    start, ours, theirs = matrices(), matrices(), matrices()
    optimizers: list[Any] = [
        Muon(groups(ours)),
        torch.optim.Muon(groups(theirs), adjust_lr_fn="match_rms_adamw"),
    ]
    for seed in range(4):
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            give_gradients(parameters, seed)
            optimizer.step()
    for first, one, other in zip(start, ours, theirs, strict=True):
        # Products of 8-bit mantissas, summed in another order.
        assert (one - other).norm() < 0.02 * (other - first).norm()


def test_a_skipped_step_changes_nothing() -> None:
    plain, ours = matrices(), matrices()
    expected, optimizer = Muon(groups(plain)), Muon(groups(ours))
    for seed, parameters, each in ((0, plain, expected), (0, ours, optimizer)):
        give_gradients(parameters, seed)
        each.step()
    give_gradients(ours, 1)
    assert ours[3].grad is not None
    ours[3].grad[0, 0] = torch.nan
    optimizer.found_inf = torch.tensor(2.0)
    optimizer.step()
    for one, other in zip(ours, plain, strict=True):
        assert torch.equal(one, other)
    optimizer.found_inf = torch.tensor(0.0)
    for seed, parameters, each in ((2, plain, expected), (2, ours, optimizer)):
        give_gradients(parameters, seed)
        each.step()
    for one, other in zip(ours, plain, strict=True):
        assert torch.equal(one, other)


def test_a_matrix_without_gradient_is_left_alone() -> None:
    plain, ours = matrices(), matrices()
    expected, optimizer = Muon(groups(plain)), Muon(groups(ours))
    for parameters, each in ((plain, expected), (ours, optimizer)):
        give_gradients(parameters, 0)
        each.step()
    give_gradients(ours, 1)
    ours[2].grad = torch.zeros_like(ours[2])
    optimizer.step()
    assert torch.equal(ours[2], plain[2])
    assert not torch.equal(ours[0], plain[0])  # of the same shape
    for parameters, each in ((plain, expected), (ours, optimizer)):
        give_gradients(parameters, 2)
        each.step()
    assert torch.equal(ours[2], plain[2])  # so its momentum was left alone, too


@pytest.mark.parametrize("shape", [(3, 64, 16), (3, 16, 64)])
def test_the_orthogonal_part_of_a_matrix(shape: tuple[int, int, int]) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    lengths = torch.linalg.svdvals(orthogonal(given).float())
    assert ((lengths > 0.6) & (lengths < 1.3)).all()
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    expected = left @ right
    overlap = (orthogonal(given).float() * expected).sum(dim=(1, 2)) / expected.norm(dim=(1, 2))
    assert (overlap / orthogonal(given).float().norm(dim=(1, 2)) > 0.97).all()
