"""What a run would do, without doing it: for `--dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitpose_cli.config import dump_config
from vitpose_cli.models.late_compiler import call_without_compiler
from vitpose_cli.training.activations import activation_bytes
from vitpose_cli.training.agreement import check_begun
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import DistillOptions, StageOptions, TrainConfig
from vitpose_cli.training.data import OpenedData, check_room
from vitpose_cli.training.memory import check_pass, pass_size
from vitpose_cli.training.network import Network
from vitpose_cli.training.opening import open_run, opening_notes
from vitpose_cli.training.optim import Schedule, hold_still, parameter_groups, trainable_size
from vitpose_cli.training.process import Placement
from vitpose_cli.training.start import next_network, with_input_sizes
from vitpose_cli.training.teachers import Teacher, open_teachers, seen_inputs_wh, teacher_notes


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A parameter group.

    Attributes:
        layer: Layer id, 0 for the embeddings.
        rate_scale: Factor of the learning rate.
        weight_decay: Weight decay.
        num_tensors: How many tensors.
        num_parameters: How many numbers in them.
    """

    layer: int
    rate_scale: float
    weight_decay: float
    num_tensors: int
    num_parameters: int


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage.

    Attributes:
        input_wh: The network's input, px.
        steps: How many steps.
        epochs: The same in epochs.
        batch_size: People in a step.
        peak_lr: Highest learning rate of the heads.
        weights_mib: Memory of weights, gradients, optimiser and average, in each process.
        activations_mib: Memory of what one pass keeps for its backward half in one process,
            estimated.
    """

    input_wh: tuple[int, int]
    steps: int
    epochs: float
    batch_size: int
    peak_lr: float
    weights_mib: int
    activations_mib: int


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a run would do.

    Attributes:
        config: The resolved configuration, YAML.
        changed: The options of it that differ from their defaults, YAML.
        device: Where.
        dtype: Number format of the products.
        sources: Of each source: its file, people, photos.
        heads: Of each head: its keypoints and kind.
        teachers: Of each head that has one: how the teacher sees people, and when.
        trainable: How many parameters learn, and how many there are, in the first stage.
        groups: The parameter groups of the first stage.
        stages: The stages.
        notes: What is left out of the data, which options do nothing, which heads start anew.
    """

    config: str
    changed: str
    device: str
    dtype: str
    sources: tuple[Mapping[str, Any], ...]
    heads: Mapping[str, str]
    teachers: Mapping[str, str]
    trainable: tuple[int, int]
    groups: tuple[GroupRow, ...]
    stages: tuple[StageRow, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def plan_training(config: TrainConfig, output: Path | None = None) -> TrainingPlan:
    """Read labels and weights, and say what would happen; no photo is read, nothing is written.

    Args:
        config: The run.
        output: Its folder, where it is known.

    Raises:
        ConfigError: The options cannot be meant, or the folder holds a run with other ones, or
            one that was begun with other labels.
        InputError: Files cannot be used, or the folder cannot; or the crops, or a pass of a stage
            that is to come, take more memory than this machine has.
        WeightsError: The weights to start from cannot be used.
    """
    placement = Placement.of(config)
    config = with_input_sizes(config)
    folder = None if output is None else RunFolder(output)
    if folder is not None:
        folder.check(config)
    data, network = open_run(config)
    # What is wrong with teachers is to be told before anything is trained.
    options, sets = config.distill, data.learnt_sets
    teachers = open_teachers(options, sets, placement)
    check_room(data, seen_inputs_wh(config.stages, teachers), placement.device)
    notes = opening_notes(config, data, network) + teacher_notes(options, sets, teachers)
    done = 0
    if folder is not None and not folder.changed(config):
        saved = folder.load_state()
        if saved is not None:
            check_begun(saved, data, network, teachers, notes.append)
            done = saved.position.stage
    hold_still(network.model, config, data.learnt_sets)
    groups = parameter_groups(network.model, config.optimizer)
    trainable = trainable_size(network.model)
    stages = []
    for number, stage in enumerate(config.stages):
        if number > 0:
            network = next_network(network, stage.input_wh, fresh_heads=False)
            hold_still(network.model, config, data.learnt_sets)
        row, kept_bytes = _stage_row(config, stage, network, data, placement)
        if number >= done:
            check_pass(number, stage, kept_bytes, placement)
        stages.append(row)
    return TrainingPlan(
        config=dump_config(config),
        changed=dump_config(config, defaults=False),
        device=str(placement.device),
        dtype=str(placement.dtype).removeprefix("torch."),
        sources=tuple(_source_rows(data)),
        heads={
            name: f"{head.kind}, {head.keypoint_set.num_keypoints} keypoints, {head.alignment}"
            for name, head in network.header.heads.items()
        },
        teachers=_looks(options, teachers),
        trainable=trainable,
        groups=tuple(
            GroupRow(
                group.layer,
                group.rate_scale,
                group.weight_decay,
                len(group.names),
                sum(parameter.numel() for parameter in group.parameters),
            )
            for group in groups
        ),
        stages=tuple(stages),
        notes=tuple(notes),
    )


def _looks(options: DistillOptions | None, teachers: Mapping[str, Teacher]) -> dict[str, str]:
    """Say of each head that has a teacher how it sees people, and when."""
    when = "each crop" if options is None or options.looks == "each" else "everybody once"
    return {
        head: f"sees {'x'.join(map(str, one.codec.input_wh))} px, {one.codec.alignment}, {when}"
        for head, one in teachers.items()
    }


def _stage_row(
    config: TrainConfig,
    stage: StageOptions,
    network: Network,
    data: OpenedData,
    placement: Placement,
) -> tuple[StageRow, int]:
    """Say what a stage is, and how many bytes one pass of it keeps."""
    steps_per_epoch = data.epoch_length / stage.batch_size
    schedule = Schedule.of_stage(stage, config.optimizer, steps_per_epoch)
    learning, total = trainable_size(network.model)
    weights = 4 * (total + 3 * learning + (total if config.ema is not None else 0))
    size = pass_size(stage, placement.process.world_size)
    activations = call_without_compiler(
        lambda: activation_bytes(network.model, size, placement.device, placement.dtype)
    )
    row = StageRow(
        input_wh=stage.input_wh,
        steps=schedule.num_steps,
        epochs=round(schedule.num_steps / steps_per_epoch, 2),
        batch_size=stage.batch_size,
        peak_lr=schedule.highest,
        weights_mib=weights >> 20,
        activations_mib=activations >> 20,
    )
    return row, activations


def _source_rows(data: OpenedData) -> list[dict[str, Any]]:
    return [
        {
            "for": purpose,
            "path": str(source.truth.path),
            "keypoint_set": source.keypoint_set.name,
            "people": len(source.frames.people),
            "photos": len(source.frames.keys),
        }
        for purpose, sources in (("training", data.train), ("validation", data.validation))
        for source in sources
    ]
