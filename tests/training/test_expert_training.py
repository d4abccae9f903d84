"""One encoder, several data sets: each has a head and an expert of its own (ViTPose+)."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_cases import first_gradient, gradients_of_two, small_run, some_people

from vitpose_cli.config import parse_config
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.models.experts import fold_experts
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet
from vitpose_cli.runtime import Process
from vitpose_cli.training.activations import activation_bytes
from vitpose_cli.training.batches import Batch, Batches
from vitpose_cli.training.config import ModelOptions, TrainConfig
from vitpose_cli.training.courses import Course
from vitpose_cli.training.crops import HostCrops
from vitpose_cli.training.optim import Schedule, parameter_groups
from vitpose_cli.training.people import People
from vitpose_cli.training.process import Placement
from vitpose_cli.training.stage import HeadRouter, Stage
from vitpose_cli.training.start import build_network, next_network

CPU = torch.device("cpu")
SETS = {name: KEYPOINT_SETS[name] for name in ("coco", "mpii")}
OPTIONS = ModelOptions(variant="tiny-test", head="simple", drop_path=0.0, experts=True)


def config() -> TrainConfig:
    stage = {"input_wh": [48, 64], "steps": 4, "batch_size": 8}
    model = {"variant": "tiny-test", "head": "simple", "drop_path": 0.2, "experts": True}
    optimizer = {"lr": 1e-3, "warmup_steps": 0, "schedule": "constant"}
    values = small_run(Path(), model=model, optimizer=optimizer, stages=[stage])
    return parse_config(TrainConfig, values)


def people_of(keypoint_set: KeypointSet, repeats: float) -> tuple[People, HostCrops]:
    """Return people of which only the first keypoints of a set are known."""
    people, pictures = some_people(8)
    count = keypoint_set.num_keypoints
    cut = replace(
        people,
        keypoint_set=keypoint_set,
        keypoints=people.keypoints[:, :count],
        weights=people.weights[:, :count],
        repeats=np.full(8, repeats, np.float32),
    )
    return cut, HostCrops(pictures)


def opened(
    process: Process | None = None,
    repeats: tuple[float, float] = (1, 1),
    learnt: Collection[str] | None = None,
) -> tuple[Stage, Batches]:
    chosen = config()
    torch.manual_seed(0)
    network = build_network(chosen.model, SETS, (48, 64))
    codec = HeatmapCodec((48, 64), (12, 16), "udp")
    courses = [
        Course(name, *people_of(SETS[name], share), codec)
        for name, share in zip(SETS, repeats, strict=True)
    ]
    batches = Batches(courses, chosen.stages[0], chosen.augmentation, (0,), CPU)
    schedule = Schedule.of_stage(chosen.stages[0], chosen.optimizer, batches.steps_per_epoch)
    placement = Placement(CPU, process=process or Process())
    return Stage(network, chosen, 0, schedule, placement, learnt), batches


def steps(stage: Stage, batches: Batches, start: int, stop: int) -> list[float]:
    taken = enumerate(batches.ahead(start, stop), start)
    return [float(stage.step(number, passes)[0]) for number, passes in taken]


def grow_apart(model: torch.nn.Module) -> None:
    """Give every expert weights of its own."""
    torch.manual_seed(5)
    for name, value in model.named_parameters():
        if ".experts." in name:
            torch.nn.init.normal_(value, std=0.1)


def test_every_person_goes_through_the_expert_and_the_head_of_their_set() -> None:
    model = build_network(OPTIONS, SETS, (48, 64)).model.eval()
    grow_apart(model)
    crops = torch.randn(5, 3, 64, 48)
    with torch.no_grad():
        maps = HeadRouter(model)(crops, (("coco", 2), ("mpii", 3)))
        for own, head, part in zip(maps, SETS, (crops[:2], crops[2:]), strict=True):
            # Sums over another number of samples may differ in the last bits.
            torch.testing.assert_close(own, model(part, head=head), atol=1e-6, rtol=1e-5)
            other = 1 - model.config.heads[head].expert
            others = model.heads[head](model.features(part, expert=other))
            assert (own - others).abs().max() > 1e-3


@pytest.mark.parametrize("recomputed", [False, True])
def test_a_compiled_network_takes_parts_of_any_sizes(recomputed: bool) -> None:
    model = build_network(OPTIONS, SETS, (48, 64)).model.train()
    model.set_grad_checkpointing(recomputed)
    grow_apart(model)
    graphs: list[torch.fx.GraphModule] = []

    def compiler(graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph

    def answer(router: HeadRouter, parts: tuple[tuple[str, int], ...]) -> list[torch.Tensor]:
        model.zero_grad()
        maps = router(crops, parts)
        torch.autograd.backward([own.square().sum() for own in maps])
        learnt = [value.grad for value in model.parameters() if value.grad is not None]
        return [*maps, *learnt]

    torch.compiler.reset()  # what it has learnt about sizes elsewhere
    eager, compiled = HeadRouter(model), HeadRouter(model)
    compiled.compile(backend=compiler)
    crops = torch.randn(12, 3, 64, 48)
    for count in (5, 6, 7, 2, 10, 3, 9, 4, 8):
        parts = (("mpii", count), ("coco", 12 - count))
        pairs = zip(answer(compiled, parts), answer(eager, parts), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs), count
    assert len(graphs) == 2, "one for the first sizes, and one for all others"


def test_only_the_experts_of_the_people_shown_get_a_gradient() -> None:
    stage, batches = opened(repeats=(0, 1))
    steps(stage, batches, 0, 1)
    for block in stage.model.encoder.blocks:
        used = [bool(one.weight.grad.abs().sum() > 0) for one in block.mlp.experts]
        assert used == [False, True]
        assert block.mlp.fc2.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("learnt", [None, ["mpii"]])
def test_experts_of_sets_that_are_measured_alone_stay_as_they_are(
    learnt: list[str] | None,
) -> None:
    stage, batches = opened(repeats=(0, 1), learnt=learnt)
    before = {key: value.clone() for key, value in stage.model.state_dict().items()}
    steps(stage, batches, 0, 3)
    same = {
        key for key, value in stage.model.state_dict().items() if torch.equal(value, before[key])
    }
    idle = {key for key in before if ".experts.0.weight" in key}
    assert idle & same == (idle if learnt else set())  # weight decay would wear them down
    assert not [key for key in same if ".experts.1." in key or ".mlp.fc2." in key]


def test_each_set_has_a_mean_of_its_own() -> None:
    stage, batches = opened()
    (batch,) = next(iter(batches.ahead(0, 1)))
    assert len(batch.targets) == 2
    stage.model.eval()

    def loss_of(*numbers: int) -> float:
        targets = tuple(batch.targets[number] for number in numbers)
        ends = np.cumsum([len(one.weights) for one in batch.targets]).tolist()
        starts = [0, *ends]
        crops = torch.cat([batch.crops[starts[number] : ends[number]] for number in numbers])
        return float(stage._loss(Batch(crops, targets)).detach())

    assert loss_of(0, 1) == pytest.approx(loss_of(0) + loss_of(1), rel=1e-5)


def test_an_expert_learns_at_the_rate_of_its_block() -> None:
    chosen = config()
    options = chosen.optimizer.model_copy(update={"layer_decay": 0.5})
    model = build_network(OPTIONS, SETS, (48, 64)).model
    rates = {
        name: (group.layer, group.rate_scale, group.weight_decay)
        for group in parameter_groups(model, options)
        for name in group.names
    }
    for block in range(4):
        for expert in range(2):
            own = f"encoder.blocks.{block}.mlp.experts.{expert}"
            # Layer decay ** (depth + 1 - layer), as everything else in the block.
            assert rates[f"{own}.weight"] == (block + 1, 0.5 ** (4 - block), 0.1)
            assert rates[f"{own}.bias"] == (block + 1, 0.5 ** (4 - block), 0.0)


def test_a_taken_up_state_gives_the_same_bits() -> None:
    whole, batches = opened()
    expected = steps(whole, batches, 0, 4)
    first, _ = opened()
    steps(first, batches, 0, 2)
    second, _ = opened()
    second.load_state_dict(first.state_dict())
    assert steps(second, batches, 2, 4) == expected[2:]
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def saved(folder: Path, **options: Any) -> Path:
    """Write the weights of a network whose experts, if any, differ."""
    torch.manual_seed(1)
    chosen = OPTIONS.model_copy(update=options)
    network = build_network(chosen, SETS, (48, 64))
    grow_apart(network.model)
    path = folder / "weights.safetensors"
    save_checkpoint(path, network.model.state_dict(), network.header)
    return path


def test_plain_weights_grow_experts(tmp_path: Path) -> None:
    options = ModelOptions(weights=str(saved(tmp_path, experts=False)))
    plain = build_network(options, SETS, (48, 64)).model.state_dict()
    grown = build_network(options.model_copy(update={"experts": True}), SETS, (48, 64))
    assert grown.header.num_experts == 2
    assert [head.expert for head in grown.header.heads.values()] == [0, 1]
    for expert in range(2):
        folded = fold_experts(grown.model.state_dict(), expert)
        assert all(torch.equal(value, plain[key]) for key, value in folded.items())


def test_experts_stay_with_their_keypoint_set(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = build_network(ModelOptions(weights=str(path), experts=True), SETS, (48, 64))
    sets = {name: KEYPOINT_SETS[name] for name in ("aic", "mpii")}
    after = build_network(ModelOptions(weights=str(path), experts=True), sets, (48, 64))
    for ours, theirs in (("aic", "mpii"), ("mpii", "mpii")):  # a new set begins as a known one
        now = fold_experts(after.model.state_dict(), after.header.heads[ours].expert)
        then = fold_experts(before.model.state_dict(), before.header.heads[theirs].expert)
        assert all(torch.equal(now[key], then[key]) for key in now if key.startswith("encoder."))


def test_without_experts_those_of_the_set_are_folded(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = build_network(ModelOptions(weights=str(path), experts=True), SETS, (48, 64))
    plain = build_network(ModelOptions(weights=str(path)), {"mpii": SETS["mpii"]}, (48, 64))
    assert plain.header.num_experts == 0
    folded = fold_experts(whole.model.state_dict(), 1)
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, folded[key]), key


def test_experts_pass_into_the_next_stage() -> None:
    first = build_network(OPTIONS, SETS, (48, 64))
    grow_apart(first.model)
    second = next_network(first, (96, 128), fresh_heads=False)
    key = "encoder.blocks.1.mlp.experts.1.weight"
    assert torch.equal(second.model.state_dict()[key], first.model.state_dict()[key])


def test_the_memory_of_several_heads_is_that_of_one_batch() -> None:
    model = build_network(OPTIONS, SETS, (48, 64)).model
    one = build_network(OPTIONS, {"coco": SETS["coco"]}, (48, 64)).model
    both, alone = (
        activation_bytes(each, 8, torch.device("cpu"), torch.float32) for each in (model, one)
    )
    assert both == pytest.approx(alone, rel=0.1)


def gradient(process: Process) -> torch.Tensor:
    stage, batches = opened(process)
    stage.model.eval()  # stochastic depth differs between processes
    return first_gradient(stage, batches, process)


def test_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    for together in gradients_of_two(tmp_path, __file__):
        # Sums in another order differ in the last bits.
        torch.testing.assert_close(together, gradient(Process()), atol=1e-6, rtol=1e-4)
