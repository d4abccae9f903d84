"""Encoders to start from: MAE's, timm's, mmpretrain's, and those of pose weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from foreign_layouts import State, hugging_face, mmpose, original

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.backbones import load_backbone
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.models.convert import convert_file
from vitpose_cli.models.patches import resize_position_table
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig


def pretrained(
    patch_size: int = 16, img_size: int | tuple[int, int] = 224, *, class_token: bool = True
) -> Any:
    """A random timm ViT, as ImageNet and MAE train them."""
    torch.manual_seed(0)
    model: Any = timm.models.VisionTransformer(
        img_size=img_size,
        patch_size=patch_size,
        embed_dim=64,
        depth=4,
        num_heads=4,
        num_classes=10,
        class_token=class_token,
        global_pool="token" if class_token else "avg",
        fc_norm=False,
    )
    torch.nn.init.normal_(model.pos_embed)
    if class_token:
        torch.nn.init.normal_(model.cls_token)
    return model


def saved(state: Any, folder: Path) -> Path:
    path = folder / "backbone.pth"
    torch.save(state, path)
    return path


def assert_fits(tensors: State, *, with_norm: bool) -> None:
    model = ViTPose(ViTPoseConfig(VARIANTS["tiny-test"], {"coco": HeadConfig("simple", 17)}))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert unexpected == []
    absent = {key for key in missing if key.startswith("encoder.")}
    assert absent == (set() if with_norm else {"encoder.norm.weight", "encoder.norm.bias"})


def test_a_timm_backbone(tmp_path: Path) -> None:
    model = pretrained()
    tensors = load_backbone(saved(model.state_dict(), tmp_path))
    assert_fits(tensors, with_norm=False)
    expected = resize_position_table(model.pos_embed[:, 1:], (14, 14), (12, 16))
    assert torch.equal(tensors["encoder.pos_embed"], expected)
    qkv = "blocks.2.attn.qkv.weight"
    assert torch.equal(tensors[f"encoder.{qkv}"], model.state_dict()[qkv])


@pytest.mark.parametrize("class_token", [True, False])
def test_a_timm_backbone_of_people(class_token: bool, tmp_path: Path) -> None:
    model = pretrained(img_size=(256, 192), class_token=class_token)
    tensors = load_backbone(saved(model.state_dict(), tmp_path), grid_wh=(9, 12))
    table = model.pos_embed[:, 1:] if class_token else model.pos_embed
    assert torch.equal(
        tensors["encoder.pos_embed"], resize_position_table(table, (12, 16), (9, 12))
    )


def test_an_mae_checkpoint_with_its_decoder_and_14_px_patches(tmp_path: Path) -> None:
    model = pretrained(patch_size=14)
    state = {key: v for key, v in model.state_dict().items() if not key.startswith("head.")}
    state |= {"mask_token": torch.zeros(1, 1, 32), "decoder_blocks.0.norm1.weight": torch.ones(32)}
    tensors = load_backbone(saved({"model": state}, tmp_path), grid_wh=(9, 12))
    kernel = tensors["encoder.patch_embed.proj.weight"]
    assert kernel.shape == (64, 3, 16, 16)
    assert torch.equal(kernel[:, :, 1:-1, 1:-1], model.patch_embed.proj.weight)
    assert kernel.abs().sum() == model.patch_embed.proj.weight.abs().sum()
    assert tensors["encoder.pos_embed"].shape == (1, 108, 64)


def test_an_mmpretrain_backbone(tmp_path: Path) -> None:
    modern = mmpose(hugging_face(input_hw=(256, 192)))
    state = {key.removeprefix("backbone."): v for key, v in modern.items() if "head" not in key}
    state |= {"pos_embed": torch.randn(1, 197, 64), "cls_token": torch.randn(1, 1, 64)}
    tensors = load_backbone(saved({"state_dict": state}, tmp_path))
    assert_fits(tensors, with_norm=False)
    expected = state["layers.1.ffn.layers.0.0.weight"]
    assert torch.equal(tensors["encoder.blocks.1.mlp.fc1.weight"], expected)
    network = {f"backbone.{key}": tensor for key, tensor in state.items()}
    network |= {"head.layers.head.weight": torch.zeros(10, 64), "neck.mask": torch.zeros(1)}
    (tmp_path / "network").mkdir()  # another file: tensors are mapped from the first
    whole = load_backbone(saved({"state_dict": network}, tmp_path / "network"))
    assert whole.keys() == tensors.keys()
    assert all(torch.equal(whole[key], tensor) for key, tensor in tensors.items())


def test_the_encoder_of_pose_weights(tmp_path: Path) -> None:
    foreign = saved(original(hugging_face(part_features=16, input_hw=(256, 192))), tmp_path)
    conversion = convert_file(foreign)
    ours = tmp_path / "ours.safetensors"
    save_checkpoint(ours, conversion.state, conversion.header)
    for path in (foreign, ours):
        tensors = load_backbone(path)
        assert_fits(tensors, with_norm=True)
        assert all(torch.equal(tensors[key], conversion.state[key]) for key in tensors)
    assert load_backbone(ours, grid_wh=(6, 8))["encoder.pos_embed"].shape == (1, 48, 64)


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="patches of 32 px"):
        load_backbone(saved(pretrained(patch_size=32).state_dict(), tmp_path))
    state = pretrained().state_dict()
    scaled = state | {"blocks.0.ls1.gamma": torch.ones(64)}
    with pytest.raises(WeightsError, match=r"unexpected blocks\.0\.ls1\.gamma"):
        load_backbone(saved(scaled, tmp_path))
    del state["blocks.3.norm2.bias"]
    with pytest.raises(
        WeightsError,
        match=r"/backbone\.pth: this is not a whole .*\n +missing blocks\.3\.norm2\.bias",
    ):
        load_backbone(saved(state, tmp_path))
    with pytest.raises(WeightsError, match="no checkpoint of a known layout"):
        load_backbone(saved({"conv1.weight": torch.zeros(1)}, tmp_path))
