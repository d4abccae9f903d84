"""Encoders to start a training from: pretrained backbones, or those of other pose weights.

What the original loader does to MAE's backbones (`mmcv_custom/checkpoint.py`), and where this one
departs from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.checkpoint import read_header
from vitpose_cli.models.convert import convert_file, expected_tensors, find_variant, published_grid
from vitpose_cli.models.experts import fold_experts
from vitpose_cli.models.key_maps import (
    ForeignNetwork,
    found_in,
    raise_faults,
    recognise,
    rename,
)
from vitpose_cli.models.patches import PATCH_SIZE, grow_patch_kernel, resize_position_table
from vitpose_cli.models.safe_load import read_tensors
from vitpose_cli.models.vitpose import HeadConfig, Variant, ViTPoseConfig


def load_backbone(
    path: Path, *, grid_wh: tuple[int, int] = (12, 16), head: str | None = None
) -> dict[str, Tensor]:
    """Read the encoder of any weights to start a training from.

    MAE, timm and mmpretrain backbones lose their class token and its position, which patches never
    saw (in MAE it is zero), and, as in the original loader, their last norm; a 14 px patch kernel
    is grown to 16 px by zeros. Of a pose checkpoint, ours or foreign, the encoder is taken whole,
    with the expert of one head folded in.

    How many attention heads a backbone was trained with is not in its tensors: timm's and
    ImageNet's ViT-S have 6 where ours has 12, so of the small ones only MAE's from mmpose fits.

    Args:
        path: The file.
        grid_wh: Patch grid to resample the position table to.
        head: Whose expert, of weights of ours that have some; the first by default.

    Returns:
        Tensors under our keys, `encoder.*`.

    Raises:
        WeightsError: The file cannot be read safely, is of an unknown layout, or not whole.
    """
    tensors = read_tensors(path)
    layout = recognise(tensors)
    if layout is not None and layout.heads is None:
        with found_in(path):
            encoder = _pretrained(rename(tensors, layout))
            grid = published_grid(encoder["pos_embed"].shape[1])
    elif layout is not None:
        converted = convert_file(path)
        encoder, grid = _encoder_of(converted.state), converted.header.config().grid_wh
    elif "encoder.pos_embed" in tensors:
        header = read_header(path, backbone=True)
        chosen = header.heads.get(head or next(iter(header.heads), ""))
        encoder = _encoder_of(fold_experts(tensors, chosen.expert) if chosen else tensors)
        grid = header.config().grid_wh
    else:
        raise _unknown(path, tensors)
    encoder["pos_embed"] = resize_position_table(encoder["pos_embed"], grid, grid_wh)
    return {f"encoder.{key}": tensor for key, tensor in encoder.items()}


def backbone_variant(path: Path) -> Variant:
    """Return the size of the backbone in a file of another project.

    Raises:
        WeightsError: The file cannot be read safely, is of an unknown layout, or of none of our
            sizes.
    """
    tensors = read_tensors(path)
    layout = recognise(tensors)
    if layout is None:
        raise _unknown(path, tensors)
    with found_in(path):
        return find_variant(rename(tensors, layout))


def _unknown(path: Path, tensors: Mapping[str, Tensor]) -> WeightsError:
    return WeightsError(
        f"{path} is no checkpoint of a known layout; it begins with the tensors "
        f"{', '.join(list(tensors)[:5])}.",
        "Known backbones are those of MAE, timm and mmpretrain, and all pose weights.",
    )


def _encoder_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's tensors under timm's names."""
    return {k.removeprefix("encoder."): t for k, t in state.items() if k.startswith("encoder.")}


def _pretrained(network: ForeignNetwork) -> dict[str, Tensor]:
    """Bring a pretrained backbone into the form of our encoder, its grid kept."""
    variant = find_variant(network)
    encoder = {key: t for key, t in network.encoder.items() if not key.startswith("norm.")}
    if encoder.pop("cls_token", None) is not None:
        encoder["pos_embed"] = encoder["pos_embed"][:, 1:]
    kernel = encoder["patch_embed.proj.weight"]
    if kernel.shape[-1] not in (14, PATCH_SIZE):
        raise WeightsError(
            f"The backbone has patches of {kernel.shape[-1]} px; 14 and 16 can be used.",
            "Take a backbone with 16 px patches.",
        )
    encoder["patch_embed.proj.weight"] = grow_patch_kernel(kernel)
    expected = expected_tensors(ViTPoseConfig(variant, {"coco": HeadConfig("simple", 17)}))
    wanted = {k.removeprefix("encoder.") for k in expected if k.startswith("encoder.")}
    wanted = {key for key in wanted if not key.startswith("norm.")}
    faults = [f"missing {key}" for key in wanted - encoder.keys()]
    faults += [f"unexpected {key}" for key in encoder.keys() - wanted]
    raise_faults(faults, network.layout.name)
    return encoder
