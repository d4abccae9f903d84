"""Networks to learn from: a ViTPose of any size, or any other that turns crops into heatmaps.

A teacher is what it says about crops and how its heatmaps are drawn, nothing else; how a student
learns from it is `distill`'s. A teacher never learns: its weights are frozen, it is in evaluation
mode, and nothing of it is part of what a step changes or a checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import LoadedViTPose, load_model, read_header
from vitpose_cli.models.weights_files import weights_hash
from vitpose_cli.pose.alike_sets import same_sets
from vitpose_cli.pose.geometry import Region
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.training.config import DistillOptions, StageOptions
from vitpose_cli.training.ncnn_teacher import NcnnNetwork
from vitpose_cli.training.process import Placement


class Teacher(Protocol):
    """A network that turns crops into the heatmaps of one keypoint set."""

    @property
    def codec(self) -> HeatmapCodec:
        """The size of its crops, and how its heatmaps are drawn."""
        ...

    @property
    def identity(self) -> str:
        """A text that changes with its weights."""
        ...

    @property
    def region(self) -> Region:
        """What of a frame it was shown when it learnt."""
        ...

    def maps(self, crops: Tensor) -> Tensor:
        """Return the heatmaps (B, K, h, w) float32 of normalised crops (B, 3, H, W).

        Both are on the crops' device, and nothing of it is differentiable.
        """
        ...


@dataclass(frozen=True, slots=True)
class ViTPoseTeacher:
    """A ViTPose with one head.

    Attributes:
        model: The network, frozen and in evaluation mode, on its device.
        codec: The size of its crops, and how its heatmaps are drawn.
        identity: The hash of its weights and the name of its head.
        dtype: Number format of its products.
        region: What of a frame it was shown when it learnt.
    """

    model: LoadedViTPose
    codec: HeatmapCodec
    identity: str
    dtype: torch.dtype
    region: Region

    @torch.no_grad()
    def maps(self, crops: Tensor) -> Tensor:
        """Return the heatmaps (B, K, h, w) float32 of normalised crops (B, 3, H, W)."""
        narrow = self.dtype != torch.float32
        with torch.autocast(crops.device.type, self.dtype, enabled=narrow):
            maps: Tensor = self.model(crops)
        return maps.float()


def open_teachers(
    options: DistillOptions | None,
    keypoint_sets: Mapping[str, KeypointSet],
    placement: Placement,
    *,
    compiled: bool = False,
) -> dict[str, Teacher]:
    """Find a teacher for each head that there is one for.

    Args:
        options: Whom to learn from.
        keypoint_sets: Of the student's heads, by name.
        placement: Where the student learns.
        compiled: Let torch.compile fuse those that look at each crop.

    Raises:
        ConfigError: The teacher knows none of the keypoint sets.
        WeightsError: Its weights cannot be found, read or matched.
    """
    if options is None or options.teacher is None:
        return {}
    fused = compiled and options.looks == "each"
    if not isinstance(options.teacher, str):
        outside = options.teacher
        shown = {outside.keypoint_set: keypoint_set(outside.keypoint_set)}
        known = _known(keypoint_sets, shown)
        teacher = NcnnNetwork.open(outside, placement)
        if fused:
            teacher.network.compile()
        return dict.fromkeys(known, teacher)
    path = resolve_weights(options.teacher, whole=True)
    header = read_header(path)
    teachers: dict[str, Teacher] = {}
    for name, theirs in sorted(_known(keypoint_sets, header.keypoint_sets).items()):
        model = load_model(path, head=theirs).requires_grad_(False).to(placement.device)
        if fused:
            model.compile()
        shape, head = model.config, header.heads[theirs]
        codec = HeatmapCodec(shape.input_wh, shape.map_wh, head.alignment, head.blob_sigma)
        identity = f"{weights_hash(path)} {theirs}"
        teachers[name] = ViTPoseTeacher(model, codec, identity, placement.dtype, head.region)
    return teachers


def seen_inputs_wh(
    stages: Sequence[StageOptions], teachers: Mapping[str, Teacher]
) -> list[tuple[int, int]]:
    """Return width and height of the inputs of all networks that see the crops of a run, px."""
    taught = [teacher.codec.input_wh for teacher in teachers.values()]
    return [stage.input_wh for stage in stages] + taught


def teacher_notes(
    options: DistillOptions | None,
    keypoint_sets: Mapping[str, KeypointSet],
    teachers: Mapping[str, Teacher],
) -> list[str]:
    """Return a sentence for each of the student's heads that a teacher is of less use to."""
    if options is None or options.teacher is None:
        return []
    squares = [
        f"The teacher was shown square regions for the keypoints of {name}, and is shown the "
        "student's here, which it knows less well."
        for name, teacher in teachers.items()
        if teacher.region == "square"
    ]
    return squares + [
        f"The teacher does not know the keypoints of {name}: this head learns from labels alone."
        for name in keypoint_sets
        if name not in teachers
    ]


def _known(ours: Mapping[str, KeypointSet], theirs: Mapping[str, KeypointSet]) -> dict[str, str]:
    """Return which head of a teacher is for each of ours; refuse one that is for none."""
    known = same_sets(ours, theirs)
    if not known:
        raise ConfigError(
            f"The teacher knows {', '.join(sorted(theirs))}, and is to teach {', '.join(ours)}: "
            "these are other keypoints.",
            "Give distill.teacher a network of the same keypoints.",
        )
    return known
