"""Layouts of other projects' checkpoints, and how their keys become ours.

The only key maps of the project: which keys identify a layout, what each tensor is called here,
what is merged, folded or dropped. Reading files is the work of `safe_load`. A layout is known by
keys that all of its files have, never by a file name: names lie, and a wrong guess loads and labels
rubbish.

Sources: the released checkpoints' key lists (ViTPose, mmpose 1.x, transformers, MAE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitpose_cli.errors import WeightsError

EXPERT_SETS = ("coco", "aic", "mpii", "ap10k", "apt36k", "wholebody")
"""Keypoint sets of ViTPose+ in the order of its experts; the first is the main head."""

JOINT_SETS = ("aic", "mpii", "crowdpose")
"""Keypoint sets of the further heads of a plain multi-dataset ViTPose, in their order."""

_MAX_LISTED = 20  # faults


@dataclass(frozen=True, slots=True)
class Layout:
    """How one project names the tensors of a ViTPose or of its backbone.

    Attributes:
        name: What messages call it.
        signature: Keys that every file of this layout has.
        encoder: Patterns of whole keys and their replacements, which are timm's names.
        heads: Pattern of a decoder's key: the decoder's name, then the tensor; None for a backbone.
        head_parts: The decoder's layers and what they are called here.
        dropped: Pattern of keys that have no part in estimating poses.
    """

    name: str
    signature: frozenset[str]
    encoder: Mapping[str, str]
    heads: str | None = None
    head_parts: Mapping[str, str] | None = None
    dropped: str = r"(?!)"


_DECONV_PARTS = {
    "deconv_layers.0": "deconv1",
    "deconv_layers.1": "bn1",
    "deconv_layers.3": "deconv2",
    "deconv_layers.4": "bn2",
    "final_layer": "final",
}
_MMPRETRAIN_BLOCKS = {
    r"layers\.(\d+)\.ln(1|2)\.(\w+)": r"blocks.\1.norm\2.\3",
    r"layers\.(\d+)\.attn\.(qkv|proj)\.(\w+)": r"blocks.\1.attn.\2.\3",
    r"layers\.(\d+)\.ffn\.layers\.0\.0\.(\w+)": r"blocks.\1.mlp.fc1.\2",
    r"layers\.(\d+)\.ffn\.layers\.1\.(\w+)": r"blocks.\1.mlp.fc2.\2",
    r"patch_embed\.projection\.(\w+)": r"patch_embed.proj.\1",
    r"pos_embed": r"pos_embed",
    r"ln1\.(\w+)": r"norm.\1",
}

ORIGINAL = Layout(
    name="original ViTPose",
    signature=frozenset(
        {
            "backbone.pos_embed",
            "backbone.patch_embed.proj.weight",
            "backbone.blocks.0.attn.qkv.weight",
            "backbone.last_norm.weight",
            "keypoint_head.final_layer.weight",
        }
    ),
    encoder={
        r"backbone\.(pos_embed|patch_embed\.proj\.\w+|blocks\.\d+\..+)": r"\1",
        r"backbone\.last_norm\.(\w+)": r"norm.\1",
    },
    heads=r"(keypoint_head|associate_keypoint_heads\.\d+)\.(.+)",
    head_parts=_DECONV_PARTS,
    # A class token that the multi-dataset files carry and their network never uses.
    dropped=r"backbone\.cls_token",
)
MMPOSE = Layout(
    name="mmpose 1.x",
    signature=frozenset(
        {
            "backbone.pos_embed",
            "backbone.patch_embed.projection.weight",
            "backbone.layers.0.attn.qkv.weight",
            "backbone.ln1.weight",
            "head.final_layer.weight",
        }
    ),
    encoder={rf"backbone\.{key}": ours for key, ours in _MMPRETRAIN_BLOCKS.items()},
    heads=r"(head)\.(.+)",
    head_parts=_DECONV_PARTS,
)
HUGGING_FACE = Layout(
    name="Hugging Face VitPose",
    signature=frozenset(
        {
            "backbone.embeddings.position_embeddings",
            "backbone.embeddings.patch_embeddings.projection.weight",
            "backbone.encoder.layer.0.attention.attention.query.weight",
            "backbone.layernorm.weight",
            "head.conv.weight",
        }
    ),
    encoder={
        r"backbone\.embeddings\.position_embeddings": "pos_embed",
        r"backbone\.embeddings\.patch_embeddings\.projection\.(\w+)": r"patch_embed.proj.\1",
        r"backbone\.encoder\.layer\.(\d+)\.layernorm_before\.(\w+)": r"blocks.\1.norm1.\2",
        r"backbone\.encoder\.layer\.(\d+)\.layernorm_after\.(\w+)": r"blocks.\1.norm2.\2",
        r"backbone\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)": (
            r"blocks.\1.attn.\2.\3"
        ),
        r"backbone\.encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)": (
            r"blocks.\1.attn.proj.\2"
        ),
        r"backbone\.encoder\.layer\.(\d+)\.mlp\.(.+)": r"blocks.\1.mlp.\2",
        r"backbone\.layernorm\.(\w+)": r"norm.\1",
    },
    heads=r"(head)\.(.+)",
    head_parts={
        "deconv1": "deconv1",
        "batchnorm1": "bn1",
        "deconv2": "deconv2",
        "batchnorm2": "bn2",
        "conv": "final",
    },
)
_BACKBONE_EXTRAS = r"mask_token|decoder.*|head\..+|fc_norm\..+"
TIMM_BACKBONE = Layout(
    name="MAE or timm backbone",
    signature=frozenset({"pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"}),
    encoder={r"(pos_embed|cls_token|patch_embed\.proj\.\w+|blocks\.\d+\..+|norm\.\w+)": r"\1"},
    dropped=_BACKBONE_EXTRAS,
)
MMPRETRAIN_BACKBONE = Layout(
    name="mmpretrain backbone",
    signature=frozenset({"pos_embed", "patch_embed.projection.weight", "layers.0.attn.qkv.weight"}),
    encoder={"cls_token": "cls_token", **_MMPRETRAIN_BLOCKS},
    dropped=_BACKBONE_EXTRAS,
)
MMPRETRAIN_NETWORK = Layout(
    name="mmpretrain network",
    # Its class token tells it from mmpose's files, which have none.
    signature=frozenset(f"backbone.{key}" for key in (*MMPRETRAIN_BACKBONE.signature, "cls_token")),
    encoder={rf"backbone\.{key}": ours for key, ours in MMPRETRAIN_BACKBONE.encoder.items()},
    dropped=r"(?!backbone\.).+|backbone\.mask_token",
)
LAYOUTS = (
    ORIGINAL,
    MMPOSE,
    HUGGING_FACE,
    TIMM_BACKBONE,
    MMPRETRAIN_BACKBONE,
    MMPRETRAIN_NETWORK,
)
"""Every layout that is understood; no file fits two of them."""


@dataclass(frozen=True, slots=True)
class ForeignNetwork:
    """The tensors of a checkpoint under our names, before anything is folded.

    Attributes:
        layout: Where they come from.
        encoder: Tensors under timm's names; experts included.
        heads: For every decoder, by its foreign name, its tensors under our names.
    """

    layout: Layout
    encoder: dict[str, Tensor]
    heads: dict[str, dict[str, Tensor]]

    @property
    def num_experts(self) -> int:
        """Experts of every feed-forward layer; 0 for a plain encoder."""
        return sum(
            re.fullmatch(r"blocks\.0\.mlp\.experts\.\d+\.weight", key) is not None
            for key in self.encoder
        )

    @property
    def has_open_experts(self) -> bool:
        """Whether the second linear layers still lack the rows that the experts hold."""
        return len(self.encoder["blocks.0.mlp.fc2.weight"]) < self.embed_dim

    @property
    def embed_dim(self) -> int:
        """Channels of a token."""
        return self.encoder["patch_embed.proj.weight"].shape[0]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(key.endswith(".norm1.weight") for key in self.encoder)


def recognise(keys: Iterable[str]) -> Layout | None:
    """Return the layout whose signature is among `keys`, None if there is none."""
    present = frozenset(keys)
    return next((layout for layout in LAYOUTS if layout.signature <= present), None)


def rename(tensors: Mapping[str, Tensor], layout: Layout) -> ForeignNetwork:
    """Give the tensors of a `layout` our names, and bring the encoder into timm's form.

    Query, key and value are merged; the class slot of the position table, which ViTPose adds to
    every token, is folded into the patches' slots.

    Raises:
        WeightsError: Keys are left that have no place in the layout, or parts of a merge are
            missing; the message lists them.
    """
    encoder: dict[str, Tensor] = {}
    heads: dict[str, dict[str, Tensor]] = {}
    unexpected: list[str] = []
    for key, tensor in tensors.items():
        if ours := _encoder_key(key, layout):
            encoder[ours] = tensor
        elif part := _head_key(key, layout):
            heads.setdefault(part[0], {})[part[1]] = tensor
        elif not re.fullmatch(layout.dropped, key):
            unexpected.append(f"unexpected {key}")
    raise_faults(unexpected, layout.name)
    encoder = _merge_attention(encoder, layout)
    if layout in (ORIGINAL, HUGGING_FACE):
        table = encoder["pos_embed"]
        encoder["pos_embed"] = table[:, 1:] + table[:, :1]
    return ForeignNetwork(layout, encoder, heads)


def folded_expert(network: ForeignNetwork) -> int | None:
    """Return which expert was already folded into the second linear layer, None if none was.

    The original `model_split.py` writes such files, and leaves all six experts beside the layer.
    """
    layer = network.encoder["blocks.0.mlp.fc2.weight"]
    for index in range(network.num_experts):
        expert = network.encoder[f"blocks.0.mlp.experts.{index}.weight"]
        if not network.has_open_experts and torch.equal(layer[-len(expert) :], expert):
            return index
    return None


def tensor_faults(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return how tensors differ from those that are expected, by their keys and shapes."""
    faults = [f"missing {key}" for key in expected.keys() - state.keys()]
    faults += [f"unexpected {key}" for key in state.keys() - expected.keys()]
    faults += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected.keys() & state.keys()
        if state[key].shape != expected[key].shape
    ]
    return faults


def listed(faults: Sequence[str]) -> str:
    """Return faults for a message, sorted, each on a line of its own; of many the first."""
    more = [f"and {len(faults) - _MAX_LISTED} more"] if len(faults) > _MAX_LISTED else []
    return "".join(f"\n  {line}" for line in [*sorted(faults)[:_MAX_LISTED], *more])


@contextmanager
def found_in(path: Path) -> Iterator[None]:
    """Say in front of what is wrong with tensors which file they are from.

    Raises:
        WeightsError: Something is wrong with them.
    """
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.message}", error.hint) from error


def raise_faults(faults: Iterable[str], subject: str) -> None:
    """Raise one error that lists what is missing or too much, if anything is.

    Raises:
        WeightsError: There are faults.
    """
    found = [*faults]
    if found:
        raise WeightsError(
            f"this is not a whole {subject} checkpoint:{listed(found)}",
            "The file is incomplete, or holds a network that was changed; get it again from its "
            "publisher.",
        )


def _encoder_key(key: str, layout: Layout) -> str | None:
    for pattern, replacement in layout.encoder.items():
        if match := re.fullmatch(pattern, key):
            return match.expand(replacement)
    return None


def _head_key(key: str, layout: Layout) -> tuple[str, str] | None:
    """Split a decoder's key into the decoder's foreign name and our name of the tensor."""
    match = re.fullmatch(layout.heads or r"(?!)", key)
    if not match:
        return None
    head, inner = match.groups()
    part, _, kind = inner.rpartition(".")
    ours = (layout.head_parts or {}).get(part)
    return (head, f"{ours}.{kind}") if ours else None


def _merge_attention(encoder: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Stack separate query, key and value rows into one `qkv` each, in this order."""
    split = re.compile(r"(blocks\.\d+\.attn)\.(query|key|value)\.(\w+)")
    merged = {key: tensor for key, tensor in encoder.items() if not split.fullmatch(key)}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in encoder.items():
        if match := split.fullmatch(key):
            parts.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2]] = tensor
    names = ("query", "key", "value")
    absent = [(name, key) for key, part in parts.items() for name in names if name not in part]
    raise_faults([f"missing {name} of {key}" for name, key in absent], layout.name)
    for key, part in parts.items():
        merged[key] = torch.cat([part[name] for name in names])
    return merged
