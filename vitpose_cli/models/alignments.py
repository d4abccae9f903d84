"""How the published heads of each keypoint set were trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitpose_cli.pose.geometry import Alignment, Region

_UDP_SETS = frozenset({"coco", "mpii"})


def alignment_of(keypoint_set: str) -> Alignment:
    """Return how the published heads of a keypoint set were trained.

    COCO and MPII heads with the unbiased (UDP) transform and targets, all others with the classic
    ones (the released training pipelines of ViTPose+; easy_ViTPose for its coco25).
    """
    return "udp" if keypoint_set in _UDP_SETS else "classic"


def region_of(keypoint_set: str) -> Region:
    """Return what of a frame the published heads of a keypoint set were shown.

    MPII gives a person one scale for both axes, and its heads were trained on that square, pressed
    into 192 x 256 px (`TopDownMpiiDataset` of mmpose 0.24); all others on fitted regions.
    """
    return "square" if keypoint_set == "mpii" else "fitted"
