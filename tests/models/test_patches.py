"""The patch projection and what carries its weights to another input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vitpose_cli.models.patches import PatchEmbedding, grow_patch_kernel, resize_position_table

OPTIONS: dict[str, Any] = {"img_size": (64, 48), "patch_size": 16, "in_chans": 3, "embed_dim": 8}


@pytest.fixture(name="images")
def random_images() -> Tensor:
    return torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_the_patch_shift_is_a_moved_image(images: Tensor) -> None:
    images = images.double()  # sums of float32 differ by the order that a processor takes
    shifted = PatchEmbedding(**OPTIONS, stride=16, shifted=True).double()
    straight = PatchEmbedding(**OPTIONS, stride=16, shifted=False).double()
    straight.load_state_dict(shifted.state_dict())
    moved = F.pad(images, (2, -2, 2, -2))
    torch.testing.assert_close(shifted(images), straight(moved), rtol=0, atol=1e-12)
    assert (shifted(images) - straight(images)).abs().max() > 0.1


@torch.no_grad()
def test_overlapping_patches_are_centred_on_their_cells(images: Tensor) -> None:
    fine = PatchEmbedding(**OPTIONS, stride=8, shifted=False)
    assert fine.grid_size == (8, 6)
    tokens = fine(images).reshape(2, 8, 6, 8)
    # Cell (2, 3) covers rows 16-23 and columns 24-31; its patch reaches 4 px further.
    patch = images[:, :, 12:28, 20:36]
    expected = F.conv2d(patch, fine.proj.weight, fine.proj.bias).flatten(1)
    torch.testing.assert_close(tokens[:, 2, 3], expected, rtol=0, atol=1e-5)


def test_the_position_table_follows_another_grid() -> None:
    torch.manual_seed(0)
    table = torch.randn(1, 12, 5)
    assert resize_position_table(table, (3, 4), (3, 4)) is table
    grid = table.reshape(1, 4, 3, 5).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, (8, 7), mode="bicubic", align_corners=False)
    resized = resize_position_table(table, (3, 4), (7, 8))
    assert resized.shape == (1, 56, 5)
    torch.testing.assert_close(resized[0, 2 * 7 + 5], expected[0, :, 2, 5])


def test_a_grown_kernel_answers_the_same() -> None:
    torch.manual_seed(0)
    kernel, images = torch.randn(4, 3, 14, 14), torch.randn(1, 3, 16, 16)
    grown = F.conv2d(images, grow_patch_kernel(kernel))
    torch.testing.assert_close(grown, F.conv2d(images[:, :, 1:15, 1:15], kernel))


def test_another_input_size_is_refused(images: Tensor) -> None:
    patches = PatchEmbedding(**OPTIONS, stride=16, shifted=False)
    with pytest.raises(ValueError, match="reads 48 x 64 px, not 64 x 48"):
        patches(images.transpose(2, 3))
