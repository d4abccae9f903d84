"""The small person detectors of this project: torchvision's FCOS on small RegNets.

The RegNet's blocks, the feature pyramid, the heads and what is made of their answers are
torchvision's. The widths are ours, since torchvision publishes no detector under 12 MB that can
be learned from a few thousand photos: its SSDlites lean on a pretrained MobileNet, and their fixed
anchor shapes leave most people of a small set without a match. So is the choice of boxes: a mean of
those that agree, of the photo and its mirror image.

Imports nothing of the project, so that the recipe runs where only torch and torchvision are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

STRIDES = (8, 16, 32, 64)
"""Pixels from one place of a feature map to the next, level by level."""

_SAME_PERSON_IOU = 0.45
"""Boxes that overlap more are one person. Two people of one photo rarely overlap as much, but two
guesses of a small network do: with 0.6 it found fewer people in as many boxes."""

_AGREE_IOU = 0.6
"""Overlap with the best box of a person from which on another has a say in where it lies."""

_MOST_GUESSES = 1000
"""Guesses of a photo that take part, the best."""

MOST_PEOPLE = 100
"""People found in a photo at most, as in torchvision; a threshold near 0 would leave hundreds."""

LEAST_VOTE = 0.05
"""Score from which on a box has a say, whatever the threshold, so that this moves no box."""


@dataclass(frozen=True, slots=True)
class PersonFCOS:
    """Size of one network.

    Attributes:
        depths: Blocks of the RegNet's four stages.
        widths: Channels of the four stages.
        group_width: Channels that a grouped convolution mixes.
        pyramid_width: Channels of the pyramid and the heads, a multiple of 32.
        head_depth: Convolutions of each head before its last.
        input_wh: Size into which a photo is fitted, px.
    """

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    group_width: int
    pyramid_width: int
    head_depth: int
    input_wh: tuple[int, int]


PERSON_FCOS: Mapping[str, PersonFCOS] = MappingProxyType(
    {
        "person_fcos_small": PersonFCOS((2, 4, 8, 2), (64, 128, 256, 384), 32, 96, 2, (448, 448)),
        "person_fcos_nano": PersonFCOS((1, 2, 4, 2), (24, 48, 96, 192), 24, 64, 1, (320, 320)),
    }
)
"""The networks by name."""


class VotingFCOS(FCOS):  # type: ignore[misc]  # torchvision has no types
    """torchvision's FCOS, with boxes that are means of all that agree.

    Every place within a person has a guess of their box, and suppression keeps the guess of one.
    The mean of those that overlap it, by the square of their score, lies better (box voting,
    Gidaris and Komodakis, arXiv:1505.01749, section 5).

    Attributes:
        mirror: Whether to look at the mirrored photo, too, and let its boxes take part: twice the
            work.
    """

    mirror = True

    def forward(self, images: list[Tensor], targets: Any = None) -> Any:
        """Return losses in training, else for each image its `boxes`, `scores` and `labels`.

        Args:
            images: (3, H, W) in [0, 1] each.
            targets: As torchvision's FCOS takes them; only in training.
        """
        if self.training:
            return super().forward(images, targets)
        guesses = super().forward(images)
        if self.mirror:
            mirrored = super().forward([image.flip(-1) for image in images])
            guesses = [
                _join(own, _mirror(other, image.shape[-1]))
                for own, other, image in zip(guesses, mirrored, images, strict=True)
            ]
        return [vote(guess) for guess in guesses]

    def postprocess_detections(
        self,
        head_outputs: Mapping[str, list[Tensor]],
        anchors: list[list[Tensor]],
        image_shapes: list[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        """Return the best guesses of each image, the best first: every one takes part.

        torchvision's own compares each with each besides, and suppresses none of them where all
        are to take part: a quarter of the detector's time.

        Args:
            head_outputs: `cls_logits` (B, A, C), `bbox_regression` (B, A, 4) and `bbox_ctrness`
                (B, A, 1) of each level.
            anchors: (A, 4) of each image and level.
            image_shapes: Height and width of each image, px.
        """
        logits, offsets, centred = (
            torch.cat(head_outputs[name], dim=1)
            for name in ("cls_logits", "bbox_regression", "bbox_ctrness")
        )
        all_scores = torch.sqrt(torch.sigmoid(logits) * torch.sigmoid(centred)).flatten(1)
        guesses = []
        for image, (scores, shape) in enumerate(zip(all_scores, image_shapes, strict=True)):
            num_likely = int((scores > self.score_thresh).sum())
            best, places = scores.topk(min(num_likely, _MOST_GUESSES))
            where, labels = places // logits.shape[-1], places % logits.shape[-1]
            boxes = self.box_coder.decode(offsets[image, where], torch.cat(anchors[image])[where])
            boxes = clip_boxes_to_image(boxes, shape)
            guesses.append({"boxes": boxes, "scores": best, "labels": labels})
        return guesses


def build_person_fcos(size: PersonFCOS, num_classes: int) -> VotingFCOS:
    """Build a network with random weights, in training mode.

    Args:
        size: How large.
        num_classes: Classes, the background (label 0) among them.
    """
    trunk = RegNet(
        BlockParams(
            depths=list(size.depths),
            widths=list(size.widths),
            group_widths=[size.group_width] * 4,
            bottleneck_multipliers=[1.0] * 4,
            strides=[2] * 4,
            se_ratio=0.25,
        ),
        num_classes=1,
        stem_width=size.widths[0] // 2,
    )
    stages = OrderedDict(stem=trunk.stem, **dict(trunk.trunk_output.named_children()))
    backbone = BackboneWithFPN(
        nn.Sequential(stages),
        return_layers={"block2": "8", "block3": "16", "block4": "32"},
        in_channels_list=list(size.widths[1:]),
        out_channels=size.pyramid_width,
        norm_layer=nn.BatchNorm2d,
    )
    anchors = AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES))
    head = FCOSHead(size.pyramid_width, 1, num_classes, num_convs=size.head_depth)
    return VotingFCOS(
        backbone,
        num_classes,
        min_size=min(size.input_wh),
        max_size=max(size.input_wh),
        anchor_generator=anchors,
        head=head,
        size_divisible=STRIDES[-1],  # or the places of the last level depend on the photo's shape
    )


def _mirror(found: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """Return what was found in a mirror image, `width` px wide, as it lies in the photo."""
    left, top, right, bottom = found["boxes"].unbind(dim=1)
    boxes = torch.stack([width - right, top, width - left, bottom], dim=1)
    return {**found, "boxes": boxes}


def _join(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the boxes of two looks at a photo as those of one."""
    return {key: torch.cat([a[key], b[key]]) for key in a}


def vote(guesses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return one box for each person, the best first; see `VotingFCOS`.

    Args:
        guesses: `boxes` (N, 4) xyxy, px; `scores` (N,) in [0, 1]; `labels` (N,).

    Returns:
        The same of at most `MOST_PEOPLE` people.
    """
    boxes, scores, labels = guesses["boxes"].float(), guesses["scores"].float(), guesses["labels"]
    kept = batched_nms(boxes, scores, labels, _SAME_PERSON_IOU)[:MOST_PEOPLE]
    agree = box_iou(boxes[kept], boxes) >= _AGREE_IOU
    agree &= labels[kept][:, None] == labels
    say = agree * scores.square().clamp(min=1e-12)
    means = say @ boxes / say.sum(dim=1, keepdim=True)
    # A box without an area agrees with none, not even itself.
    means = torch.where(agree.any(dim=1, keepdim=True), means, boxes[kept])
    return {"boxes": means, "scores": scores[kept], "labels": labels[kept]}
