import math

import pytest
import torch

from vitpose_cli.training.config import LossOptions
from vitpose_cli.training.losses import (
    heatmap_loss,
    heatmap_loss_size,
    spatial_cross_entropy,
    weighted_squares,
)

SHAPE = (3, 5, 8, 6)


def maps(seed: int) -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def joints_mse(said: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """mmpose 0.24's JointsMSELoss, keypoint by keypoint."""
    total = torch.zeros((), dtype=said.dtype)
    for keypoint in range(said.shape[1]):
        factor = weights[:, keypoint, None]
        total = total + torch.nn.functional.mse_loss(
            said[:, keypoint].flatten(1) * factor, truth[:, keypoint].flatten(1) * factor
        )
    return total / said.shape[1]


def test_mse_is_the_loss_of_the_original() -> None:
    said, truth = maps(0).requires_grad_(), maps(1)
    weights = (maps(2)[..., 0, 0] > 0.4).double()
    expected = joints_mse(said, truth, weights)
    options = LossOptions()
    size = heatmap_loss_size(15, 48, float(weights.sum()), options)
    ours = heatmap_loss(said, truth, weights, options) / size
    assert ours.item() == pytest.approx(expected.item(), rel=1e-12)
    (ours_gradient,) = torch.autograd.grad(ours, said, retain_graph=True)
    (gradient,) = torch.autograd.grad(expected, said)
    torch.testing.assert_close(ours_gradient, gradient, rtol=1e-12, atol=0)


def test_a_weight_multiplies_the_squared_error() -> None:
    said, truth = maps(0), maps(1)
    whole = weighted_squares(said, truth, torch.ones(SHAPE[:2]), 0)
    assert weighted_squares(said, truth, torch.full(SHAPE[:2], 0.3), 0) == pytest.approx(
        0.3 * whole
    )


def test_foreground_counts_more() -> None:
    said, truth = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    said[..., 1] = 1
    assert weighted_squares(said, truth, torch.ones(1, 1), 4.0) == 5 + 1


def test_what_a_teacher_says_below_zero_counts_as_background() -> None:
    """And never less: the loss would have no least value."""
    said, truth = torch.tensor([[[[0.5, 2.0]]]]), torch.tensor([[[[-0.3, -0.3]]]])
    squares = weighted_squares(said, truth, torch.ones(1, 1), 8.0)
    assert squares.item() == pytest.approx(0.8**2 + 2.3**2)


def test_cross_entropy_is_that_of_a_choice_among_pixels() -> None:
    targets = torch.zeros(2, 1, 4, 3)
    targets[:, 0, 2, 1] = 0.5  # scaled to 1
    logits = torch.zeros(2, 1, 4, 3)
    weights = torch.tensor([[1.0], [0.5]])
    assert spatial_cross_entropy(logits, targets, weights) == pytest.approx(1.5 * math.log(12))
    logits[:, 0, 2, 1] = 50
    assert spatial_cross_entropy(logits, targets, weights) == pytest.approx(0, abs=1e-5)


def test_an_empty_map_without_weight_has_no_gradient() -> None:
    logits = torch.randn(1, 2, 4, 3, requires_grad=True)
    loss = heatmap_loss(
        logits, torch.zeros(1, 2, 4, 3), torch.zeros(1, 2), LossOptions(kind="cross_entropy")
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss == 0
    assert (gradient == 0).all()
    assert heatmap_loss_size(2, 12, 0.0, LossOptions(kind="cross_entropy")) == 1
