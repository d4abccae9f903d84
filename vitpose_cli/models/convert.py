"""Weights of other projects, read safely and turned into ours.

Reading a foreign file, choosing its head, folding its experts, and checking that nothing is missing
and nothing left over; `key_maps` knows the names. A converted file is an ordinary weights file, so
everything after it knows one layout. Loading foreign layouts directly at every start was refused:
each would have to be told apart again wherever weights are used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.alignments import alignment_of, region_of
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader
from vitpose_cli.models.experts import fold_experts
from vitpose_cli.models.head_choice import HeadChoice, all_heads, choose_head
from vitpose_cli.models.key_maps import (
    HUGGING_FACE,
    ForeignNetwork,
    Layout,
    found_in,
    raise_faults,
    recognise,
    rename,
    tensor_faults,
)
from vitpose_cli.models.patches import PATCH_SIZE
from vitpose_cli.models.safe_load import read_tensors
from vitpose_cli.models.vitpose import VARIANTS, Variant, ViTPose, ViTPoseConfig
from vitpose_cli.models.weights_files import is_ours
from vitpose_cli.pose.keypoints import KEYPOINT_SETS

HUGGING_FACE_EPS = 1e-12
"""Layer norm epsilon that transformers uses where config.json names none (the original: 1e-6)."""

_HUGGING_FACE_DEFAULTS: Mapping[str, object] = {
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "image_size": [256, 192],
    "scale_factor": 4,
}


@dataclass(frozen=True, slots=True)
class Conversion:
    """Foreign weights in our layout.

    Attributes:
        state: The tensors.
        header: What they are.
        layout: What the file was, in words.
        notes: What had to be assumed, one sentence each.
    """

    state: dict[str, Tensor]
    header: CheckpointHeader
    layout: str
    notes: tuple[str, ...]


def convert_file(
    path: Path,
    *,
    keypoint_set: str | None = None,
    whole: bool = False,
    source: str = "",
    licence: str = "unknown",
) -> Conversion:
    """Read a foreign checkpoint and turn it into our weights, with one head and no experts.

    Args:
        path: A .pth or .safetensors file, or a folder as transformers saves it.
        keypoint_set: Which head to take; the main one by default. 17 keypoints of unknown kind
            are taken for COCO.
        whole: Take all heads, that of `keypoint_set` first, and all experts.
        source: Where the weights come from, for the header; the file's name by default.
        licence: Their licence, for the header.

    Raises:
        ConfigError: There is no keypoint set of this name.
        WeightsError: The file cannot be read safely, is of an unknown layout, a backbone, of
            several possible keypoint sets, without the head that was asked for, or not whole.
    """
    tensors = read_tensors(path)
    layout = _pose_layout(tensors, path)
    with found_in(path):
        network = rename(tensors, layout)
        variant = find_variant(network)
        chosen = (
            all_heads(network, keypoint_set) if whole else (choose_head(network, keypoint_set),)
        )
        columns, rows = published_grid(network.encoder["pos_embed"].shape[1])
    open_experts = whole and network.has_open_experts
    encoder = network.encoder if open_experts else fold_experts(network.encoder, chosen[0].expert)
    heads = {one.keypoint_set: _own_rows(network, one) for one in chosen}
    state = {f"encoder.{key}": tensor for key, tensor in encoder.items()}
    for name, head in heads.items():
        state |= {f"heads.{name}.{key}": tensor for key, tensor in head.items()}
    layer_norm_eps = 1e-6
    if layout is HUGGING_FACE:
        layer_norm_eps = _hugging_face_eps(path, variant, (rows * PATCH_SIZE, columns * PATCH_SIZE))
    header = CheckpointHeader(
        variant=variant.name,
        heads={
            one.keypoint_set: _head_header(one, heads[one.keypoint_set], open_experts)
            for one in chosen
        },
        input_wh=(columns * PATCH_SIZE, rows * PATCH_SIZE),
        source=source or path.name,
        licence=licence,
        patch_shift=True,
        layer_norm_eps=layer_norm_eps,
        num_experts=network.num_experts if open_experts else 0,
    )
    with found_in(path):
        _check_whole(state, header.config(), layout.name)
    return Conversion(state, header, layout.name, chosen[0].notes)


def _own_rows(network: ForeignNetwork, chosen: HeadChoice) -> dict[str, Tensor]:
    """Return a head without the spare rows of ViTPose+, whose training pads all heads to 133."""
    head = network.heads[chosen.name]
    if not network.num_experts:
        return head
    count = KEYPOINT_SETS[chosen.keypoint_set].num_keypoints
    return {key: t[:count] if key.startswith("final.") else t for key, t in head.items()}


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with matrices and kernels in float16; vectors stay as they are.

    Vectors are a thousandth of the file, and the variances among them may not fit float16.
    """
    return {
        key: tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


def _pose_layout(tensors: Mapping[str, Tensor], path: Path) -> Layout:
    """Recognise the layout of a network with a pose head; say what anything else is."""
    layout = recognise(tensors)
    if layout is None and is_ours(path):
        raise WeightsError(
            f"{path} is in this project's own layout already.", "Use it as it is with --weights."
        )
    if layout is None and "encoder.pos_embed" in tensors:
        raise WeightsError(
            f"{path} has the tensors of this project's weights without the header that says what "
            "they are; another program saved it.",
            "Take the file itself, or save the tensors with its metadata: "
            "safetensors.torch.save_file(tensors, path, metadata=...).",
        )
    if layout is None:
        raise WeightsError(
            f"{path} is no checkpoint of a known layout; it begins with the tensors "
            f"{', '.join(list(tensors)[:5])}.",
            "Known are the original ViTPose and ViTPose+, easy_ViTPose, mmpose 1.x, and "
            "transformers' VitPoseForPoseEstimation.",
        )
    if layout.heads is None:
        raise WeightsError(
            f"{path} is a backbone without a pose head ({layout.name}); it cannot label anything.",
            "A training can start from it: give it to `vitpose train` as model.weights.",
        )
    return layout


def _head_header(chosen: HeadChoice, head: Mapping[str, Tensor], open_experts: bool) -> HeadHeader:
    return HeadHeader(
        kind="classic" if "deconv1.weight" in head else "simple",
        keypoint_set=KEYPOINT_SETS[chosen.keypoint_set],
        alignment=alignment_of(chosen.keypoint_set),
        expert=(chosen.expert or 0) if open_experts else 0,
        region=region_of(chosen.keypoint_set),
    )


def find_variant(network: ForeignNetwork) -> Variant:
    """Find the size by its shape; its number of attention heads is not in the tensors."""
    for variant in VARIANTS.values():
        if (variant.embed_dim, variant.depth) == (network.embed_dim, network.depth):
            return variant
    raise WeightsError(
        f"No ViTPose has {network.depth} blocks of {network.embed_dim} channels.",
        "Sizes: "
        + ", ".join(f"{v.name} {v.depth} x {v.embed_dim}" for v in VARIANTS.values())
        + ".",
    )


def published_grid(num_patches: int) -> tuple[int, int]:
    """Return width and height of the patch grid with so many patches, 3:4 or square.

    No number of patches is both: 12 n^2 is no square.

    Raises:
        WeightsError: Neither grid has this number of patches.
    """
    third, side = round((num_patches / 12) ** 0.5), round(num_patches**0.5)
    if 12 * third**2 == num_patches:
        return 3 * third, 4 * third
    if side**2 == num_patches:
        return side, side
    raise WeightsError(
        f"The position table has {num_patches} places, neither a 3:4 nor a square grid.",
        "Only those two occur in published weights.",
    )


def _hugging_face_eps(path: Path, variant: Variant, input_hw: tuple[int, int]) -> float:
    """Read the layer norm epsilon from config.json, and check what would silently be wrong."""
    file = (path if path.is_dir() else path.parent) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        backbone = config.get("backbone_config") or {}
        eps = float(backbone.get("layer_norm_eps", HUGGING_FACE_EPS))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"Cannot read {file}: {error}.",
            "A transformers model needs its config.json beside model.safetensors.",
        ) from error
    published = {
        **_HUGGING_FACE_DEFAULTS,
        "num_attention_heads": variant.num_heads,
        "image_size": list(input_hw),
    }
    said = {**_HUGGING_FACE_DEFAULTS, **backbone, **config}
    if isinstance(said["image_size"], int):
        said["image_size"] = [said["image_size"]] * 2
    other = [key for key, value in published.items() if said[key] != value]
    if other:
        raise WeightsError(
            f"{file} says {', '.join(f'{key} {said[key]}' for key in other)}; a ViTPose "
            f"{variant.name} of these tensors has {', '.join(f'{published[k]}' for k in other)}.",
            "This network is not a ViTPose as published.",
        )
    return eps


def _check_whole(state: dict[str, Tensor], config: ViTPoseConfig, subject: str) -> None:
    """Compare with the network that the header describes: same keys, same shapes."""
    expected = expected_tensors(config)
    for key in expected.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # a counter that older files lack
            state[key] = torch.zeros((), dtype=torch.int64)
    raise_faults(tensor_faults(state, expected), subject)


def expected_tensors(config: ViTPoseConfig) -> Mapping[str, Tensor]:
    """Return the tensors, without storage, of a network."""
    with torch.device("meta"):
        expected: Mapping[str, Tensor] = ViTPose(config).state_dict()
    return expected
