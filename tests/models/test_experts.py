"""Experts: shared and own rows of a feed-forward layer."""

from __future__ import annotations

from dataclasses import replace

import torch
from timm.layers import Mlp

from vitpose_cli.models.experts import ExpertMlp, fold_experts, spread_experts
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig

TEST = VARIANTS["tiny-test"]


def test_spreading_and_folding_experts_are_inverse() -> None:
    plain = ViTPose(ViTPoseConfig(TEST, {"coco": HeadConfig("simple", 17)}, (48, 64)))
    state = plain.state_dict()
    spread = spread_experts(state, num_experts=3, expert_dim=TEST.expert_dim)
    with_experts = ViTPose(replace(plain.config, num_experts=3))
    with_experts.load_state_dict(spread)
    for expert in range(3):
        folded = fold_experts(spread, expert)
        assert folded.keys() == state.keys()
        assert all(torch.equal(folded[key], state[key]) for key in state)


def test_every_expert_gets_a_gradient() -> None:
    config = ViTPoseConfig(TEST, {"coco": HeadConfig("simple", 17)}, (48, 64), num_experts=3)
    model = ViTPose(config)
    loss = model.features(torch.randn(2, 3, 64, 48), expert=[(2, 2)]).square().sum()
    torch.autograd.backward(loss)
    for block in model.encoder.blocks:
        used = [bool(expert.weight.grad.abs().sum() > 0) for expert in block.mlp.experts]
        assert used == [False, False, True]


def test_a_sample_sees_its_own_expert() -> None:
    torch.manual_seed(0)
    layer = ExpertMlp(Mlp(8, 32), num_experts=3, expert_dim=2)
    for parameter in layer.experts.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(4, 5, 8)
    layer.batch_sizes = [1, 0, 3]
    hidden = layer.act(layer.fc1(tokens))
    for sample, expert in enumerate([0, 2, 2, 2]):
        expected = [layer.fc2(hidden[sample]), layer.experts[expert](hidden[sample])]
        torch.testing.assert_close(layer(tokens)[sample], torch.cat(expected, -1))
