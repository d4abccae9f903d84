import re

import pytest
import torch

from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.training.config import FreezeOptions, OptimizerOptions, StageOptions
from vitpose_cli.training.optim import (
    Schedule,
    build_optimizer,
    freeze,
    parameter_groups,
    set_rate,
    trainable_size,
)


def network(variant: str = "tiny-test", kind: str = "classic") -> ViTPose:
    assert kind in ("classic", "simple")
    with torch.device("meta"):
        return ViTPose(ViTPoseConfig(VARIANTS[variant], {"coco": HeadConfig(kind, 17)}))  # type: ignore[arg-type]


def expected_groups(model: ViTPose, decay: float) -> dict[str, tuple[float, float]]:
    """The rule of the original, name by name: (rate factor, weight decay)."""
    depth = len(model.encoder.blocks)
    expected = {}
    for name, parameter in model.named_parameters():
        if name == "encoder.pos_embed" or "patch_embed" in name:
            layer = 0
        elif found := re.search(r"blocks\.(\d+)", name):
            layer = int(found.group(1)) + 1
        else:
            layer = depth + 1
        bare = len(parameter.shape) == 1 or name.endswith(".bias") or "pos_embed" in name
        expected[name] = (decay ** (depth + 1 - layer), 0.0 if bare else 0.1)
    return expected


@pytest.mark.parametrize(
    ("variant", "decay"), [("small", 0.8), ("base", 0.75), ("large", 0.8), ("huge", 0.85)]
)
def test_groups_follow_the_original_rule(variant: str, decay: float) -> None:
    model = network(variant)
    found = {
        name: (group.rate_scale, group.weight_decay)
        for group in parameter_groups(model, OptimizerOptions())
        for name in group.names
    }
    expected = expected_groups(model, decay)
    assert found.keys() == expected.keys()
    for name, (rate, weight_decay) in expected.items():
        assert found[name][0] == pytest.approx(rate, rel=1e-12), name
        assert found[name][1] == weight_decay, name


def test_known_rates_of_vitpose_b() -> None:
    rates = {
        name: group.rate_scale
        for group in parameter_groups(network("base"), OptimizerOptions())
        for name in group.names
    }
    assert rates["heads.coco.final.weight"] == 1
    assert rates["encoder.norm.weight"] == 1
    assert rates["encoder.blocks.11.attn.qkv.weight"] == 0.75
    assert rates["encoder.blocks.0.mlp.fc1.bias"] == 0.75**12
    assert rates["encoder.pos_embed"] == 0.75**13


def test_the_optimiser_gets_rates_and_decays() -> None:
    model = ViTPose(ViTPoseConfig(VARIANTS["tiny-test"], {"coco": HeadConfig("simple", 17)}))
    options = OptimizerOptions(layer_decay=0.5, betas=(0.8, 0.95))
    optimizer = build_optimizer(parameter_groups(model, options), options, torch.device("cpu"))
    set_rate(optimizer, 1e-3)
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates == pytest.approx([1e-3 * 0.5**power for power in (5, 4, 3, 2, 1, 0)])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.95)}


def test_muon_takes_the_matrices_of_the_blocks_alone() -> None:
    model = ViTPose(ViTPoseConfig(VARIANTS["tiny-test"], {"coco": HeadConfig("simple", 17)}))
    options = OptimizerOptions(kind="muon", layer_decay=0.5)
    groups = parameter_groups(model, options)
    turned = {name for group in groups if group.orthogonal for name in group.names}
    kinds = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert turned == {f"encoder.blocks.{i}.{kind}.weight" for i in range(4) for kind in kinds}
    optimizer = build_optimizer(groups, options, torch.device("cpu"))
    set_rate(optimizer, 1e-3)
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates == pytest.approx([1e-3 * 0.5**power for power in (5, 4, 3, 2, 1, 0)])
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer.step()
    for name, value in model.named_parameters():
        if name not in turned:
            continue
        # Orthogonal, and as long as AdamW's steps, whose entries are 0.2 of the rate (the paper).
        rate = 1e-3 * 0.5 ** (4 - int(name.split(".")[2]))
        step = value.detach() - before[name] * (1 - rate * options.weight_decay)
        assert step.square().mean().sqrt() == pytest.approx(0.2 * rate, rel=0.3), name
        lengths = torch.linalg.svdvals(step)
        # Of the gradient itself this is 0.05.
        assert torch.quantile(lengths, 0.05) > 0.5 * lengths.max(), name


@pytest.mark.parametrize("milestones", [None, (170, 200)])
def test_warm_up_and_steps_are_those_of_the_original(milestones: tuple[int, ...] | None) -> None:
    # 149,813 people in batches of 512: 293 steps an epoch; lr at iterations of its log.
    options = OptimizerOptions(milestones=milestones)
    schedule = Schedule.of_stage(StageOptions(epochs=210), options, 293)
    assert schedule.rate(0) == pytest.approx(5e-4 * 0.001)
    assert schedule.rate(49) == pytest.approx(5e-4 * (1 - (1 - 49 / 500) * 0.999))
    assert schedule.rate(500) == schedule.rate(170 * 293 - 1) == 5e-4
    assert schedule.rate(170 * 293) == pytest.approx(5e-5)
    assert schedule.rate(200 * 293) == pytest.approx(5e-6)


@pytest.mark.parametrize(("steps", "warm"), [(54, 10), (499, 99), (4, 0), (1000, 100)])
def test_a_short_stage_warms_up_for_a_fifth_of_it_at_most(steps: int, warm: int) -> None:
    options = OptimizerOptions(schedule="cosine", warmup_steps=100)
    schedule = Schedule.of_stage(StageOptions(steps=steps), options, 3)
    cold = Schedule.of_stage(
        StageOptions(steps=steps), OptimizerOptions(schedule="cosine", warmup_steps=0), 3
    )
    rates = [schedule.rate(step) / cold.rate(step) for step in range(steps)]
    assert [rate < 1 for rate in rates] == [True] * warm + [False] * (steps - warm)
    assert schedule.highest == max(map(schedule.rate, range(steps))) > 0.9 * 5e-4


def test_a_stage_of_any_length_falls_where_the_papers_does() -> None:
    for stage in (StageOptions(steps=21000), StageOptions(epochs=70)):
        schedule = Schedule.of_stage(stage, OptimizerOptions(), 300)
        assert schedule.num_steps == 21000
        assert schedule.rate(600) == schedule.rate(16999) == 5e-4
        assert schedule.rate(17000) == schedule.rate(19999) == pytest.approx(5e-5)
        assert schedule.rate(20000) == schedule.rate(20999) == pytest.approx(5e-6)


def test_given_milestones_count_in_the_stages_unit() -> None:
    options = OptimizerOptions(milestones=(20,), warmup_steps=0)
    for stage, fall in ((StageOptions(steps=900), 20), (StageOptions(epochs=30), 600)):
        schedule = Schedule.of_stage(stage, options, 30)
        assert schedule.rate(fall - 1) == 5e-4
        assert schedule.rate(fall) == schedule.rate(899) == pytest.approx(5e-5)


@pytest.mark.parametrize("length", [{"steps": 900}, {"epochs": 30}])
def test_a_stage_may_have_a_rate_of_its_own(length: dict[str, int]) -> None:
    options = OptimizerOptions(warmup_steps=0)
    own = StageOptions.model_validate({**length, "lr": 2e-5})
    assert Schedule.of_stage(own, options, 30).rate(0) == 2e-5
    assert Schedule.of_stage(StageOptions.model_validate(length), options, 30).rate(0) == 5e-4


def test_a_cosine_ends_at_its_final_ratio() -> None:
    options = OptimizerOptions(schedule="cosine", warmup_steps=0, final_ratio=0.1)
    schedule = Schedule(1.0, 100, 1, options)
    assert schedule.rate(0) == 1
    assert schedule.rate(50) == pytest.approx(0.55)
    assert schedule.rate(100) == pytest.approx(0.1)
    assert Schedule(2.0, 9, 1, OptimizerOptions(schedule="constant", warmup_steps=0)).rate(8) == 2


@pytest.mark.parametrize(
    ("options", "learning"),
    [
        ({"attention": True}, r"patch_embed|pos_embed|norm2|mlp|encoder\.norm|heads"),
        ({"ffn": True}, r"norm1|attn|encoder\.norm|heads"),
        ({"blocks": 2}, r"blocks\.[23]\.|encoder\.norm|heads"),
        ({"encoder": True}, r"heads"),
        ({}, r""),
    ],
)
def test_freezing_leaves_the_rest_to_learn(options: dict[str, object], learning: str) -> None:
    model = network()
    freeze(model, FreezeOptions.model_validate(options))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == bool(re.search(learning, name)), name
    groups = parameter_groups(model, OptimizerOptions())
    learns, total = trainable_size(model)
    assert sum(p.numel() for group in groups for p in group.parameters) == learns <= total
