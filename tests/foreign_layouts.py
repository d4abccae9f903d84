"""Checkpoints as other projects write them, made from a random transformers VitPose.

The key lists are typed out from the published layouts and share no code with `key_maps`, so that a
mistake there cannot hide here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation
from transformers.models.vitpose.modeling_vitpose import VitPoseClassicDecoder

SETS = {"coco": 17, "aic": 14, "mpii": 16, "ap10k": 17, "apt36k": 17, "wholebody": 133}
"""Keypoint sets of ViTPose+ and their sizes, in the order of its experts."""

State = dict[str, Tensor]


def hugging_face(
    shape: tuple[int, int, int] = (64, 4, 4),
    *,
    simple: bool = False,
    part_features: int = 0,
    num_keypoints: int = 17,
    input_hw: tuple[int, int] = (64, 48),
) -> Any:
    """Return a random VitPose; `shape` is channels, blocks and heads; six experts if parts."""
    torch.manual_seed(num_keypoints + part_features)
    width, depth, heads = shape
    backbone = VitPoseBackboneConfig(
        image_size=list(input_hw),
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        out_indices=[depth],
        num_experts=6 if part_features else 1,
        part_features=part_features,
    )
    config = VitPoseConfig(
        backbone_config=backbone, use_simple_decoder=simple, num_labels=num_keypoints
    )
    return randomised(VitPoseForPoseEstimation(config))


def randomised(module: Any) -> Any:
    """Give every tensor a value that shows when it is lost; in evaluation mode."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            layer = tensor.ndim > 1 and "position" not in name
            scale = tensor[0].numel() ** -0.5 if layer else 0.3
            value = torch.randn_like(tensor) * scale
            tensor.data.copy_(value.abs() + 0.5 if "running_var" in name else value)
            if "norm" in name and name.endswith("weight"):
                tensor.data.add_(1)
    return module.eval()


def decoder(model: Any, num_keypoints: int) -> Any:
    """Return another random classic decoder for `model`."""
    config = model.config.__class__.from_dict(model.config.to_dict())
    config.num_labels = num_keypoints
    torch.manual_seed(1000 + num_keypoints)
    return randomised(VitPoseClassicDecoder(config))


def original(model: Any, further: list[Any] | None = None) -> State:
    """Return the tensors of `model` and of further decoders as the original ViTPose names them."""
    theirs: State = model.state_dict()
    state = {
        "backbone.pos_embed": theirs["backbone.embeddings.position_embeddings"],
        "backbone.last_norm.weight": theirs["backbone.layernorm.weight"],
        "backbone.last_norm.bias": theirs["backbone.layernorm.bias"],
    }
    patches = "backbone.embeddings.patch_embeddings.projection"
    for kind in ("weight", "bias"):
        state[f"backbone.patch_embed.proj.{kind}"] = theirs[f"{patches}.{kind}"]
    backbone = model.config.backbone_config
    linears = ["fc1", "fc2"]
    if backbone.num_experts > 1:
        linears += [f"experts.{index}" for index in range(backbone.num_experts)]
    for block in range(backbone.num_hidden_layers):
        source, target = f"backbone.encoder.layer.{block}", f"backbone.blocks.{block}"
        for kind in ("weight", "bias"):
            attention = f"{source}.attention.attention"
            state[f"{target}.attn.qkv.{kind}"] = torch.cat(
                [theirs[f"{attention}.{part}.{kind}"] for part in ("query", "key", "value")]
            )
            state[f"{target}.attn.proj.{kind}"] = theirs[f"{source}.attention.output.dense.{kind}"]
            state[f"{target}.norm1.{kind}"] = theirs[f"{source}.layernorm_before.{kind}"]
            state[f"{target}.norm2.{kind}"] = theirs[f"{source}.layernorm_after.{kind}"]
            for linear in linears:
                state[f"{target}.mlp.{linear}.{kind}"] = theirs[f"{source}.mlp.{linear}.{kind}"]
    state |= original_head(model.head, "keypoint_head")
    for index, head in enumerate(further or []):
        state |= original_head(head, f"associate_keypoint_heads.{index}")
    return {key: value.clone() for key, value in state.items()}


def original_head(head: Any, prefix: str) -> State:
    """Return a decoder's tensors as the original ViTPose names them."""
    layers = {
        "deconv1": "deconv_layers.0",
        "batchnorm1": "deconv_layers.1",
        "deconv2": "deconv_layers.3",
        "batchnorm2": "deconv_layers.4",
        "conv": "final_layer",
    }
    state: State = {}
    for key, value in head.state_dict().items():
        layer, kind = key.split(".")
        state[f"{prefix}.{layers[layer]}.{kind}"] = value
    return state


def mmpose(model: Any) -> State:
    """Return the tensors of `model` as mmpose 1.x names them."""
    state: State = {}
    for key, value in original(model).items():
        key = key.replace("keypoint_head.", "head.").replace("backbone.blocks.", "backbone.layers.")
        key = key.replace("patch_embed.proj.", "patch_embed.projection.")
        key = key.replace(".norm1.", ".ln1.").replace(".norm2.", ".ln2.")
        key = key.replace("backbone.last_norm.", "backbone.ln1.")
        key = key.replace(".mlp.fc1.", ".ffn.layers.0.0.").replace(".mlp.fc2.", ".ffn.layers.1.")
        if key == "backbone.pos_embed":
            value = value[:, 1:] + value[:, :1]
        state[key] = value
    return state


def split_as_published(state: State, index: int) -> State:
    """Split one data set off as the original `model_split.py` does, its leftover experts included.

    Args:
        state: An original ViTPose+.
        index: The data set, counted in the order of `SETS`.
    """
    split = dict(state)
    for key, value in state.items():
        if ".mlp.fc2." in key:
            expert = key.replace("fc2", f"experts.{index}")
            split[key] = torch.cat([value, state[expert]])
    if index:
        prefix = f"associate_keypoint_heads.{index - 1}."
        count = list(SETS.values())[index]
        for key, value in state.items():
            if key.startswith(prefix):
                kept = value[:count] if ".final_layer." in key else value
                split[key.replace(prefix, "keypoint_head.")] = kept
        split = {key: value for key, value in split.items() if not key.startswith("associate")}
    return split


def save_folder(model: Any, folder: Path) -> Path:
    """Save `model` as transformers does."""
    model.save_pretrained(folder)
    return folder


def crops(input_hw: tuple[int, int] = (64, 48)) -> Tensor:
    """Return random network input for two people."""
    return torch.randn(2, 3, *input_hw, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def maps_of(model: Any, images: Tensor, expert: int | None = None) -> Tensor:
    """Return the heatmaps of a transformers model."""
    index = None if expert is None else torch.full((len(images),), expert)
    return model(images, dataset_index=index).heatmaps  # type: ignore[no-any-return]
