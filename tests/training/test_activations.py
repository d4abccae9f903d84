from typing import Literal

import pytest
import torch

from vitpose_cli.models.attention import AttentionConfig, AttentionPattern
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.training.activations import activation_bytes, counted_activations
from vitpose_cli.training.network import choose_attention


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("stride", [16, 8])
@pytest.mark.parametrize("pattern", ["full", "window+shift", "window+shift+pool"])
def test_activations_are_what_autograd_keeps(
    checkpointing: bool, stride: Literal[16, 8], pattern: AttentionPattern
) -> None:
    shape = ViTPoseConfig(
        VARIANTS["tiny-test"],
        {"coco": HeadConfig("simple", 17)},
        (96, 128),
        stride=stride,
        attention=AttentionConfig(pattern, (4, 4)),
    )
    model = ViTPose(shape).train()
    model.set_grad_checkpointing(checkpointing)
    with counted_activations(model) as kept_bytes:
        model(torch.randn(4, 3, 128, 96))
    expected = pytest.approx(kept_bytes(), rel=0.01)
    assert activation_bytes(model, 4, torch.device("cpu"), torch.float32) == expected


@pytest.mark.parametrize("input_wh", [(96, 128), (384, 512)])  # attention of both kinds
def test_activations_in_16_bits_on_a_cpu(input_wh: tuple[int, int]) -> None:
    shape = ViTPoseConfig(VARIANTS["tiny-test"], {"coco": HeadConfig("simple", 17)}, input_wh)
    model, cpu = ViTPose(shape).train(), torch.device("cpu")
    choose_attention(model, cpu, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16), counted_activations(model) as kept_bytes:
        model(torch.randn(4, 3, *input_wh[::-1]))
    share = activation_bytes(model, 4, cpu, torch.bfloat16) / kept_bytes()
    assert 0.7 < share < 1  # norms and softmax stay in float32, which the estimate does not know
