"""What a run would do, without doing it: for `--dry-run`, and said at the start of every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vitpose_cli.config import dump_config
from vitpose_cli.models.late_compiler import call_without_compiler
from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.training.agreement import check_begun
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import DistillOptions, StageOptions, TrainConfig
from vitpose_cli.training.data import OpenedData, check_room
from vitpose_cli.training.network import Network, choose_attention, same_network
from vitpose_cli.training.notes import opening_notes
from vitpose_cli.training.opening import open_run
from vitpose_cli.training.optim import Schedule, hold_still, parameter_groups, trainable_size
from vitpose_cli.training.process import (
    Placement,
    check_memory,
    machine_memory_bytes,
    pass_size,
)
from vitpose_cli.training.stage import HeadRouter, Parts, Stage
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
            check_begun(saved, data, network, notes.append)
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
            _check_kept(number, stage, kept_bytes, placement)
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


def activation_bytes(
    model: ViTPose, batch_size: int, device: torch.device, dtype: torch.dtype
) -> int:
    """Return the bytes that a forward pass keeps for the backward pass.

    Found by running the network on torch's meta device, where tensors have shapes and no numbers,
    and counting what is saved; parameters do not count. Fused attention counts as one operation, as
    on every device but the meta device. In 16 bits it is up to a third more, as autocast keeps some
    results in float32.

    Args:
        model: The network.
        batch_size: Of a pass.
        device: Where it will learn.
        dtype: Number format of the products.
    """
    copy = same_network(model, model.config).to("meta", dtype).train()
    choose_attention(copy, device, dtype)
    copy.set_grad_checkpointing(model.encoder.grad_checkpointing)
    for ours, theirs in zip(copy.parameters(), model.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    width, height = model.config.input_wh
    images = torch.empty(batch_size, 3, height, width, dtype=dtype, device="meta")
    with counted_activations(copy) as num_bytes, _FusedAttention():
        if isinstance(copy, MaskedAutoencoder):
            num_patches = copy.encoder.patch_embed.num_patches
            copy(images, torch.empty(batch_size, num_patches, dtype=torch.int64, device="meta"))
        else:
            HeadRouter(copy)(images, _even_parts(tuple(model.config.heads), batch_size))
    return num_bytes()


def check_stage_memory(number: int, stage: Stage, placement: Placement) -> None:
    """Refuse what a CPU's memory cannot hold; a GPU says so itself.

    Args:
        number: Which stage, from 0.
        stage: The stage.
        placement: Where it learns.

    Raises:
        InputError: Even half of the estimate does not fit.
    """
    if placement.device.type == "cpu":
        size = pass_size(stage.options, placement.process.world_size)
        kept_bytes = activation_bytes(stage.model, size, placement.device, placement.dtype)
        _check_kept(number, stage.options, kept_bytes, placement)


def _check_kept(number: int, options: StageOptions, kept_bytes: int, placement: Placement) -> None:
    """Do as `check_stage_memory`, where it is known what one pass keeps."""
    total_bytes = machine_memory_bytes()
    if placement.device.type == "cpu" and total_bytes is not None:
        check_memory(number, options, kept_bytes, total_bytes, placement.process.world_size)


class _FusedAttention(TorchFunctionMode):
    """Compute attention by one operation, which keeps its operands and result and no weights."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **options)
        mask = options.get("attn_mask")
        added = None if mask is None else mask.to(args[0].dtype)
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return fused(*args[:3], attn_mask=added)[0]


@contextmanager
def counted_activations(model: ViTPose) -> Iterator[Callable[[], int]]:
    """Count the bytes that what runs in here keeps for its backward pass; yield how many."""
    known = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    saved: dict[int, int] = {}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            saved[storage._cdata] = storage.nbytes()
            kept.append(tensor)  # an address must not be used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(saved.values())


def _even_parts(heads: tuple[str, ...], batch_size: int) -> Parts:
    """Share a batch out over the heads."""
    bounds = [number * batch_size // len(heads) for number in range(len(heads) + 1)]
    shares = (
        (head, end - start) for head, (start, end) in zip(heads, pairwise(bounds), strict=True)
    )
    return tuple(share for share in shares if share[1])


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
