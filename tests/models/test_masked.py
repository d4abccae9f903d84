"""Masked autoencoding: what is hidden, what the loss is of, and where gradients go."""

import numpy as np
import pytest
import torch

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.masked import MaskedAutoencoder, PixelDecoderConfig
from vitpose_cli.models.vitpose import VARIANTS, ViTPoseConfig

TINY = VARIANTS["tiny-test"]


def network(input_wh: tuple[int, int] = (48, 64), shift: bool = False) -> MaskedAutoencoder:
    torch.manual_seed(0)
    config = ViTPoseConfig(TINY, {}, input_wh, patch_shift=shift)
    return MaskedAutoencoder(config, PixelDecoderConfig())


def batch(model: MaskedAutoencoder, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    width, height = model.config.input_wh
    num_patches = model.config.grid_wh[0] * model.config.grid_wh[1]
    order = torch.stack([torch.randperm(num_patches) for _ in range(count)])
    return torch.randn(count, 3, height, width), order


@pytest.mark.parametrize("input_wh", [(48, 64), (96, 128), (192, 256), (288, 384)])
def test_exactly_three_quarters_are_hidden(input_wh: tuple[int, int]) -> None:
    model = network(input_wh)
    num_patches = input_wh[0] * input_wh[1] // 256
    assert model.num_hidden == 0.75 * num_patches


@pytest.mark.parametrize("shift", [False, True])
def test_the_loss_is_of_hidden_patches_alone(shift: bool) -> None:
    model = network(shift=shift).double().eval()
    images, order = batch(model)
    images = images.double().requires_grad_()
    errors = model(images, order)
    assert errors.shape == (3, 9)
    # float64 by hand: patch (row, column) of the picture, moved by 2 px where patches are.
    drawn = model._drawn(images, order).double().detach().numpy()
    padded = np.zeros((3, 3, 66, 50))
    offset = 2 if shift else 0
    padded[:, :, offset : offset + 64, offset : offset + 48] = images.detach().numpy()
    for row in range(3):
        for number, place in enumerate(order[row, 3:].tolist()):
            top, left = place // 3 * 16, place % 3 * 16
            patch = padded[row, :, top : top + 16, left : left + 16].ravel()
            wanted = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 1e-6)
            by_hand = np.mean((drawn[row, number] - wanted) ** 2)
            # Targets are made in float32.
            assert errors[row, number].item() == pytest.approx(by_hand, rel=1e-5)


def test_hidden_pixels_are_not_seen_and_shown_ones_are_not_asked_for() -> None:
    model = network().eval()
    images, order = batch(model)
    patches = model.patches(images)
    with torch.no_grad():
        before = model._drawn(images, order)
        hidden = order[:, 3:, None].expand(-1, -1, patches.shape[-1])
        other = patches.scatter(1, hidden, 7.0).transpose(1, 2)
        blotted = torch.nn.functional.fold(other, (64, 48), 16, stride=16)
        torch.testing.assert_close(model._drawn(blotted, order), before)
        whole = model.draw(images, order)
    shown = order[:, :3, None].expand(-1, -1, patches.shape[-1])
    assert torch.equal(model.patches(whole).gather(1, shown), patches.gather(1, shown))
    assert not torch.equal(model.patches(whole), patches)


def test_the_order_within_the_hidden_does_not_matter() -> None:
    model = network().eval()
    images, order = batch(model, 1)
    turned = torch.cat([order[:, :3], order[:, 3:].flip(1)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(model(images, order).flip(1), model(images, turned))


def test_gradients_reach_all_but_nothing_else() -> None:
    model = network().train()
    images, order = batch(model)
    model(images, order).sum().backward()
    assert [name for name, one in model.named_parameters() if one.grad is None] == []
    # Positions of patches that no crop shows have no gradient.
    shown = set(order[:, :3].flatten().tolist())
    moved = model.encoder.pos_embed.grad[0].abs().sum(dim=1) > 0
    assert set(torch.nonzero(moved).flatten().tolist()) == shown


def test_a_decoder_is_light() -> None:
    shape = ViTPoseConfig(VARIANTS["base"], {})
    with torch.device("meta"):
        model = MaskedAutoencoder(shape, PixelDecoderConfig())
    assert model.decoder.embed.out_features == 512  # as MAE's of ViT-B
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model.decoder, model.encoder)]
    assert sizes[0] < 0.1 * sizes[1]


@pytest.mark.parametrize(
    "change", [{"attention": AttentionConfig("window")}, {"stride": 8}, {"num_experts": 2}]
)
def test_what_cannot_hide_patches_is_refused(change: dict[str, object]) -> None:
    config = ViTPoseConfig(TINY, {}, (48, 64), **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="full attention"):
        MaskedAutoencoder(config, PixelDecoderConfig())


def test_some_patches_are_shown() -> None:
    config = ViTPoseConfig(TINY, {}, (48, 64))
    assert MaskedAutoencoder(config, PixelDecoderConfig(0.91)).num_hidden == 11
    with pytest.raises(ConfigError, match="hides 12 of 12 patches"):
        MaskedAutoencoder(config, PixelDecoderConfig(0.999))
