"""Layouts are told apart by their keys, and every key has one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from foreign_layouts import State, hugging_face, mmpose, original

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.key_maps import (
    HUGGING_FACE,
    LAYOUTS,
    MMPOSE,
    MMPRETRAIN_BACKBONE,
    MMPRETRAIN_NETWORK,
    ORIGINAL,
    TIMM_BACKBONE,
    Layout,
    folded_expert,
    recognise,
    rename,
)


def test_each_layout_is_recognised_and_no_other() -> None:
    model = hugging_face()
    theirs, modern = original(model), mmpose(model)
    files = [
        (ORIGINAL, theirs),
        (MMPOSE, modern),
        (HUGGING_FACE, model.state_dict()),
        (TIMM_BACKBONE, {key.removeprefix("backbone."): v for key, v in theirs.items()}),
        (MMPRETRAIN_BACKBONE, {key.removeprefix("backbone."): v for key, v in modern.items()}),
    ]
    network = {key: v for key, v in modern.items() if not key.startswith("head.")}
    files.append((MMPRETRAIN_NETWORK, network | {"backbone.cls_token": torch.zeros(1, 1, 64)}))
    for layout, state in files:
        assert recognise(state) is layout
        assert [other for other in LAYOUTS if other.signature <= state.keys()] == [layout]
    assert recognise({"conv1.weight": torch.zeros(1)}) is None
    assert recognise({}) is None


def test_a_file_that_lost_a_signature_key_is_not_recognised() -> None:
    state = original(hugging_face())
    for key in ORIGINAL.signature:
        assert recognise(state.keys() - {key}) is None


@pytest.mark.parametrize(
    ("layout", "write"),
    [(ORIGINAL, original), (MMPOSE, mmpose), (HUGGING_FACE, lambda model: model.state_dict())],
    ids=["original", "mmpose", "hugging-face"],
)
def test_renaming_loses_nothing(layout: Layout, write: Callable[[Any], State]) -> None:
    state = write(hugging_face())
    network = rename(state, layout)
    blocks = {
        f"blocks.{i}.{part}.{kind}"
        for i in range(4)
        for kind in ("weight", "bias")
        for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    ends = {
        "pos_embed",
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
        "norm.weight",
        "norm.bias",
    }
    assert network.encoder.keys() == blocks | ends
    assert (network.embed_dim, network.depth, network.num_experts) == (64, 4, 0)
    (head,) = network.heads.values()
    assert len(head) == 14  # two deconvolutions, two norms of five tensors, one convolution of two


def test_the_class_slot_is_folded_into_the_patches() -> None:
    state = original(hugging_face())
    table = state["backbone.pos_embed"]
    folded = rename(state, ORIGINAL).encoder["pos_embed"]
    assert folded.shape == (1, 12, 64)
    torch.testing.assert_close(folded[0, 5], table[0, 6] + table[0, 0], rtol=0, atol=0)


def test_query_key_and_value_are_stacked_in_this_order() -> None:
    model = hugging_face()
    state = model.state_dict()
    qkv = rename(state, HUGGING_FACE).encoder["blocks.3.attn.qkv.weight"]
    prefix = "backbone.encoder.layer.3.attention.attention"
    for index, part in enumerate(("query", "key", "value")):
        assert torch.equal(qkv[64 * index : 64 * (index + 1)], state[f"{prefix}.{part}.weight"])
    del state[f"{prefix}.key.bias"]
    with pytest.raises(WeightsError, match=r"missing key of blocks\.3\.attn\.qkv\.bias"):
        rename(state, HUGGING_FACE)


def test_unknown_keys_are_listed_and_a_long_list_is_cut() -> None:
    state = original(hugging_face())
    state |= {f"backbone.register.{number}": torch.zeros(1) for number in range(25)}
    with pytest.raises(WeightsError, match=r"unexpected backbone\.register\.0") as caught:
        rename(state, ORIGINAL)
    assert caught.value.message.endswith("and 5 more")


def test_the_folded_expert_is_found() -> None:
    state = original(hugging_face(part_features=16))
    assert folded_expert(rename(state, ORIGINAL)) is None
    folded = dict(state)
    for block in range(4):
        for kind in ("weight", "bias"):
            layer = f"backbone.blocks.{block}.mlp.fc2.{kind}"
            expert = f"backbone.blocks.{block}.mlp.experts.4.{kind}"
            folded[layer] = torch.cat([state[layer], state[expert]])
    assert folded_expert(rename(folded, ORIGINAL)) == 4
