"""The small person detectors of this project: torchvision's FCOS on small RegNets.

Every part is torchvision's: the RegNet's blocks, the feature pyramid, the heads, and all of the
inference. Only the widths are ours, since torchvision publishes no detector under 12 MB that can
be learned from a few thousand photos: its SSDlites lean on a pretrained MobileNet, and their fixed
anchor shapes leave most people of a small set without a match.

Imports nothing of the project, so that the recipe runs where only torch and torchvision are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.regnet import BlockParams, RegNet

STRIDES = (8, 16, 32, 64)
"""Pixels from one place of a feature map to the next, level by level."""

_SAME_PERSON_IOU = 0.45
"""Boxes that overlap more are one person. Two people of one photo rarely overlap as much, but two
guesses of a small network do: with 0.6 it found fewer people in as many boxes."""


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


def build_person_fcos(size: PersonFCOS, num_classes: int) -> FCOS:
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
    return FCOS(
        backbone,
        num_classes,
        min_size=min(size.input_wh),
        max_size=max(size.input_wh),
        anchor_generator=anchors,
        head=head,
        nms_thresh=_SAME_PERSON_IOU,
        size_divisible=STRIDES[-1],  # or the places of the last level depend on the photo's shape
    )
