"""The network: its sizes, its shapes, and equality with an independent implementation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation
from transformers.models.vitpose.modeling_vitpose import VitPoseSimpleDecoder

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.decoders import SimpleHead
from vitpose_cli.models.experts import fold_experts
from vitpose_cli.models.vitpose import (
    VARIANTS,
    ExpertRuns,
    HeadConfig,
    HeadKind,
    Variant,
    ViTPose,
    ViTPoseConfig,
)

TOLERANCE = 5e-5  # of heatmaps around 1, float32; 1e-5 is seen, from sums in another order
NUM_EXPERTS = 6
SHALLOW = Variant("shallow", 64, 2, 4, drop_path=0.0, layer_decay=1.0)


def scramble(module: nn.Module, seed: int = 0) -> None:
    """Give every weight and statistic a large random value, so that no mistake stays small."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim >= 2:
            is_table = "position" in key or "pos_embed" in key
            value.copy_(noise * (0.5 if is_table else math.sqrt(2 / value[0].numel())))
        elif "running_var" in key:
            value.copy_(noise.abs() + 0.5)
        else:
            value.copy_(noise * 0.3 + (1 if "norm" in key and "weight" in key else 0))


def crops(batch: int, input_wh: tuple[int, int] = (192, 256)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, *input_wh[::-1], generator=generator)


def peer(
    variant: Variant, kind: HeadKind, *, num_experts: int = 1, input_wh: tuple[int, int]
) -> Any:
    """Build the network of transformers, with weights that are not small."""
    backbone = VitPoseBackboneConfig(
        image_size=list(input_wh[::-1]),
        hidden_size=variant.embed_dim,
        num_hidden_layers=variant.depth,
        num_attention_heads=variant.num_heads,
        num_experts=num_experts,
        part_features=variant.expert_dim if num_experts > 1 else 0,
        out_indices=[variant.depth],
    )
    config = VitPoseConfig(
        backbone_config=backbone,
        use_simple_decoder=kind == "simple",
        num_labels=17,
    )
    model = VitPoseForPoseEstimation(config).eval()
    scramble(model)
    return model


BLOCK_KEYS = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    **{f"mlp.experts.{expert}": f"mlp.experts.{expert}" for expert in range(NUM_EXPERTS)},
}


def from_peer(theirs: Mapping[str, Tensor], ours: ViTPose) -> None:
    """Load the weights of transformers, by a map of its own: an independent check of the layout."""
    state: dict[str, Tensor] = {}
    table = theirs["backbone.embeddings.position_embeddings"]
    state["encoder.pos_embed"] = table[:, 1:] + table[:, :1]
    for kind in ("weight", "bias"):
        projection = theirs[f"backbone.embeddings.patch_embeddings.projection.{kind}"]
        state[f"encoder.patch_embed.proj.{kind}"] = projection
        state[f"encoder.norm.{kind}"] = theirs[f"backbone.layernorm.{kind}"]
        for block in range(ours.config.variant.depth):
            layer, own = f"backbone.encoder.layer.{block}", f"encoder.blocks.{block}"
            state[f"{own}.attn.qkv.{kind}"] = torch.cat(
                [
                    theirs[f"{layer}.attention.attention.{part}.{kind}"]
                    for part in ("query", "key", "value")
                ]
            )
            for to_key, from_key in BLOCK_KEYS.items():
                if f"{layer}.{from_key}.{kind}" in theirs:
                    state[f"{own}.{to_key}.{kind}"] = theirs[f"{layer}.{from_key}.{kind}"]
    for key, value in theirs.items():
        if key.startswith("head."):
            renamed = key[5:].replace("conv.", "final.").replace("batchnorm", "bn")
            state[f"heads.coco.{renamed}"] = value
    ours.load_state_dict(state)


def counterpart(theirs: Any, variant: Variant, kind: HeadKind, **options: Any) -> ViTPose:
    config = ViTPoseConfig(
        variant,
        {"coco": HeadConfig(kind, 17)},
        patch_shift=True,
        layer_norm_eps=1e-12,
        **options,
    )
    ours = ViTPose(config).eval()
    from_peer(theirs.state_dict(), ours)
    return ours


def assert_same_maps(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.abs().mean() > 0.1  # else the tolerance would mean nothing
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


def told(model: ViTPose, images: Tensor, expert: int | ExpertRuns) -> Tensor:
    """Return the maps of images that go through the experts that are told."""
    maps: Tensor = model.heads["coco"](model.features(images, expert=expert))
    return maps


@pytest.mark.parametrize("kind", ["classic", "simple"])
@pytest.mark.parametrize("input_wh", [(192, 256), (48, 80)])
@torch.no_grad()
def test_maps_equal_transformers(kind: HeadKind, input_wh: tuple[int, int]) -> None:
    theirs = peer(SHALLOW, kind, input_wh=input_wh)
    ours = counterpart(theirs, SHALLOW, kind, input_wh=input_wh)
    images = crops(2, input_wh)
    assert_same_maps(ours(images), theirs(images).heatmaps)


@pytest.mark.parametrize("name", ["small", "base"])
@torch.no_grad()
def test_maps_of_real_sizes_equal_transformers(name: str) -> None:
    variant, images = VARIANTS[name], crops(1)
    theirs = peer(variant, "classic", input_wh=(192, 256))
    ours = counterpart(theirs, variant, "classic")
    assert_same_maps(ours(images), theirs(images).heatmaps)

    simple = VitPoseSimpleDecoder(theirs.config)
    scramble(simple, seed=2)
    theirs.head = simple
    ours.heads["coco"] = SimpleHead(17, embed_dim=variant.embed_dim, stride=16)
    from_peer(theirs.state_dict(), ours)
    assert_same_maps(ours(images), theirs(images).heatmaps)


# Of the published configurations; nothing in the weights tells heads, and no shape tells rates.
RECIPES = {  # channels, blocks, heads, drop path, layer decay, channels of an expert
    "small": (384, 12, 12, 0.10, 0.80, 96),
    "base": (768, 12, 12, 0.30, 0.75, 192),
    "large": (1024, 24, 16, 0.50, 0.80, 256),
    "huge": (1280, 32, 16, 0.55, 0.85, 320),
}


@pytest.mark.parametrize("name", RECIPES)
def test_sizes_are_the_published_ones(name: str) -> None:
    size = VARIANTS[name]
    found = (size.embed_dim, size.depth, size.num_heads, size.drop_path, size.layer_decay)
    assert (*found, size.expert_dim) == RECIPES[name]


@pytest.mark.parametrize("name", ["large", "huge"])
@torch.no_grad()
def test_one_block_of_the_greatest_sizes_equals_transformers(name: str) -> None:
    width, _, num_heads, *_ = RECIPES[name]
    images = crops(2, (48, 64))
    published = Variant(name, width, 1, num_heads, drop_path=0.0, layer_decay=1.0)
    theirs = peer(published, "classic", num_experts=NUM_EXPERTS, input_wh=(48, 64))
    ours = counterpart(
        theirs,
        replace(VARIANTS[name], depth=1),
        "classic",
        num_experts=NUM_EXPERTS,
        input_wh=(48, 64),
    )
    expected = theirs(images, dataset_index=torch.tensor([4, 1])).heatmaps
    assert_same_maps(told(ours, images, [(4, 1), (1, 1)]), expected)


@torch.no_grad()
def test_every_expert_equals_transformers() -> None:
    theirs = peer(SHALLOW, "simple", num_experts=NUM_EXPERTS, input_wh=(96, 128))
    options = {"num_experts": NUM_EXPERTS, "input_wh": (96, 128)}
    ours = counterpart(theirs, SHALLOW, "simple", **options)
    images = crops(NUM_EXPERTS + 1, (96, 128))
    mixed = [4, 0, 5, 2, 1, 3, 0]
    expected = theirs(images, dataset_index=torch.tensor(mixed)).heatmaps
    assert_same_maps(told(ours, images, [(expert, 1) for expert in mixed]), expected)
    for sample, expert in enumerate(mixed):
        one = images[sample : sample + 1]
        assert_same_maps(told(ours, one, expert), expected[sample : sample + 1])
        plain = ViTPose(replace(ours.config, num_experts=0)).eval()
        plain.load_state_dict(fold_experts(ours.state_dict(), expert))
        assert_same_maps(plain(one), expected[sample : sample + 1])


@pytest.mark.parametrize(
    ("name", "classic", "simple"),
    [  # parameters with 17 keypoints, published configurations; one position more with their slot 0
        ("small", 24_290_577, 21_722_513),
        ("base", 89_994_513, 85_912_337),
        ("large", 308_544_785, 303_453_201),
        ("huge", 637_208_849, 631_107_857),
    ],
)
def test_sizes_have_the_published_number_of_parameters(
    name: str, classic: int, simple: int
) -> None:
    for kind, expected in (("classic", classic), ("simple", simple)):
        config = ViTPoseConfig(VARIANTS[name], {"coco": HeadConfig(kind, 17)})  # type: ignore[arg-type]
        with torch.device("meta"):
            model = ViTPose(config)
        slot = VARIANTS[name].embed_dim
        assert sum(p.numel() for p in model.parameters()) + slot == expected


TEST = VARIANTS["tiny-test"]
TWO_HEADS = {"coco": HeadConfig("classic", 17), "hands": HeadConfig("simple", 21)}


@pytest.mark.parametrize("stride", [16, 8])
@pytest.mark.parametrize("input_wh", [(96, 128), (112, 48)])
@pytest.mark.parametrize("pattern", ["full", "window+shift+pool"])
@torch.no_grad()
def test_maps_have_a_quarter_of_the_inputs_size(
    stride: Literal[16, 8], input_wh: tuple[int, int], pattern: Any
) -> None:
    config = ViTPoseConfig(
        TEST, TWO_HEADS, input_wh, stride=stride, attention=AttentionConfig(pattern, (3, 4))
    )
    model = ViTPose(config).eval()
    images = crops(2, input_wh)
    assert model(images, "coco").shape == (2, 17, *config.map_wh[::-1])
    assert model(images, "hands").shape == (2, 21, *config.map_wh[::-1])
    assert config.map_wh == (input_wh[0] // 4, input_wh[1] // 4)


def test_a_head_of_many_must_be_named() -> None:
    model = ViTPose(ViTPoseConfig(TEST, TWO_HEADS, (48, 64)))
    with pytest.raises(ValueError, match="coco, hands"):
        model(crops(1, (48, 64)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_wh": (100, 128)}, "multiples of 16"),
        ({"input_wh": (0, 128)}, "multiples of 16"),
        ({"heads": {"a.b": HeadConfig("simple", 3)}}, "cannot be the name"),
        ({"heads": {"keys": HeadConfig("simple", 3)}}, "cannot be the name"),
        ({"heads": {"training": HeadConfig("simple", 3)}}, "cannot be the name"),
        ({"heads": {"_modules": HeadConfig("simple", 3)}}, "cannot be the name"),
        ({"stride": 8, "patch_shift": True}, "patches are centred anyway"),
        ({"heads": {"a": HeadConfig("simple", 3, 2)}, "num_experts": 2}, "uses expert 2"),
    ],
)
def test_impossible_configurations_are_refused(change: dict[str, Any], message: str) -> None:
    config = ViTPoseConfig(TEST, {"coco": HeadConfig("simple", 17)})
    with pytest.raises(ConfigError, match=message):
        replace(config, **change)


def test_recomputing_activations_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        config = ViTPoseConfig(TEST, TWO_HEADS, (48, 64), num_experts=2, drop_path=0.5)
        model = ViTPose(config).train()
        model.set_grad_checkpointing(recompute)
        torch.manual_seed(1)
        features = model.features(crops(4, (48, 64)), expert=[(1, 1), (0, 1), (1, 1), (0, 1)])
        torch.autograd.backward(features.square().sum())
        gradients.append([p.grad for p in model.encoder.parameters()])
    for straight, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, straight)


def test_every_norm_has_the_epsilon_asked_for() -> None:
    # The maps above hardly show it: 1e-6 and 1e-12 differ where features are almost constant.
    config = ViTPoseConfig(TEST, {"coco": HeadConfig("simple", 17)}, layer_norm_eps=1e-12)
    norms = [m for m in ViTPose(config).modules() if isinstance(m, nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-12] * (2 * TEST.depth + 1)


def test_drop_path_grows_linearly_to_its_rate() -> None:
    config = ViTPoseConfig(TEST, {"coco": HeadConfig("simple", 17)}, (48, 64), drop_path=0.3)
    rates = [
        getattr(block.drop_path2, "drop_prob", 0.0) for block in ViTPose(config).encoder.blocks
    ]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_token_by_token_the_encoder_is_its_parts() -> None:
    model = ViTPose(ViTPoseConfig(TEST, TWO_HEADS, (48, 64))).eval()
    images = crops(1, (48, 64))
    whole = model.features(images)
    parts = model.to_grid(model.encode(model.embed(images)))
    assert whole.shape == (1, 64, 4, 3)
    assert torch.equal(whole, parts)
    timm_says = model.encoder.forward_features(images).transpose(1, 2).reshape(1, 64, 4, 3)
    assert torch.equal(whole, timm_says)


@torch.no_grad()
def test_a_knowledge_token_stands_before_the_patches_and_is_gone_behind_the_blocks() -> None:
    config = ViTPoseConfig(TEST, TWO_HEADS, (48, 64))
    plain, token = ViTPose(config).eval(), torch.randn(1, 1, 64)
    model = ViTPose(replace(config, knowledge_token=True)).eval()
    model.load_state_dict(plain.state_dict() | {"encoder.knowledge_token": token})
    images = crops(2, (48, 64))
    tokens = torch.cat([token.expand(2, -1, -1), plain.embed(images)], dim=1)
    encoded = plain.encoder.norm(plain.encoder.blocks(tokens))[:, 1:]
    expected = encoded.transpose(1, 2).reshape(2, 64, 4, 3)
    torch.testing.assert_close(model.features(images), expected)


def test_heads_begin_almost_at_nothing_as_the_originals() -> None:
    torch.manual_seed(0)
    model = ViTPose(ViTPoseConfig(TEST, TWO_HEADS, (48, 64)))
    for name, value in model.heads.named_parameters():
        if value.ndim == 4:
            assert value.std().item() == pytest.approx(0.001, rel=0.05), name
        else:  # biases, and the scales of batch norms
            assert (value == (1 if ".bn" in name and name.endswith("weight") else 0)).all(), name
