"""Crops as the numbers that networks were trained with."""

import pytest
import torch

from vitpose_cli.models.normalisation import normalise


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)],
)
def test_normalisation_is_that_of_imagenet(dtype: torch.dtype, tolerance: float) -> None:
    crops = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    result = normalise(crops, dtype)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
    expected = ((crops.double() / 255 - mean) / std).permute(0, 3, 1, 2)
    assert result.dtype == dtype
    assert result.shape == (1, 3, 16, 16)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert (result.double() - expected).abs().max() <= tolerance


def test_normalisation_made_while_labelling_serves_training() -> None:
    crops = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    with torch.inference_mode():
        normalise(crops)
    weight = torch.ones(4, 3, 8, 8, requires_grad=True)
    total = torch.nn.functional.conv2d(normalise(crops), weight).sum()
    (gradient,) = torch.autograd.grad(total, weight)
    assert gradient.abs().sum() > 0


def test_no_crop_at_all() -> None:
    assert normalise(torch.zeros(0, 256, 192, 3, dtype=torch.uint8)).shape == (0, 3, 256, 192)
