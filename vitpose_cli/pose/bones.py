"""How long bones are beside each other, and how far a pose is from that.

A network that mixes up two people or two legs draws a body that nobody has. Its bones betray it
without the picture: each is compared with the others of the same body. A learned model of poses
(an auto-encoder, a flow) was refused: it needs weights for each keypoint set, and bends to the
poses it was trained on; twelve ratios do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import FloatArray
from vitpose_cli.pose.keypoint_names import canonical_words
from vitpose_cli.pose.keypoints import KeypointSet

HUMAN_BONES = frozenset({("elbow", "wrist"), ("ankle", "knee")})
"""What a set must have for its bodies to be held against people's: animals have paws."""

MAX_DEVIATION = 4.0
"""More deviations than this are just wrong; how wrong would drown the other bones."""

_SHORTEST_PX = 0.5
_SIDES = frozenset({"left", "right"})


@dataclass(frozen=True, slots=True)
class Bone:
    """How long a bone is in pictures of people.

    Attributes:
        median: Of log(length), relative to the scale of the body.
        below: Distance of the 16th percentile from it: bones that point at the camera are short.
        above: Distance of the 84th percentile from it.
    """

    median: float
    below: float
    above: float


BONES: Mapping[tuple[str, str], Bone] = MappingProxyType(
    {
        ("ankle", "knee"): Bone(0.41, 0.32, 0.20),
        ("ear", "eye"): Bone(-1.04, 0.40, 0.31),
        ("ear", "shoulder"): Bone(-0.14, 0.25, 0.16),
        ("elbow", "shoulder"): Bone(0.10, 0.29, 0.21),
        ("elbow", "wrist"): Bone(0.00, 0.29, 0.21),
        ("eye", "eye"): Bone(-1.25, 0.36, 0.23),
        ("eye", "nose"): Bone(-1.56, 0.28, 0.20),
        ("hip", "hip"): Bone(-0.04, 0.35, 0.31),
        ("hip", "knee"): Bone(0.40, 0.35, 0.21),
        ("hip", "shoulder"): Bone(0.62, 0.28, 0.19),
        ("shoulder", "shoulder"): Bone(0.18, 0.40, 0.26),
    }
)
"""Bones by their ends without sides, in alphabetical order.

Source: the keypoints that people labelled of 9,766 bodies in photos from COCO 2017 train and LSP
Extended, by `benchmarks/bone_lengths.py`.
"""


@cache
def _proportions(
    keypoint_set: KeypointSet,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Return ends (E, 2) of a set's bones, and usual value, spread below and above (E,) of each."""
    bones = known_bones(keypoint_set)
    if not bones:
        return None
    ends = np.array([keypoint_set.edges[number] for number in bones])
    columns = np.array([astuple(BONES[name]) for name in bones.values()]).T
    return ends, *columns


def known_bones(keypoint_set: KeypointSet) -> dict[int, tuple[str, str]]:
    """Return the bones among the edges of a set, by edge number; none if it is no human body."""
    named = {
        number: bone_name(keypoint_set, edge) for number, edge in enumerate(keypoint_set.edges)
    }
    known = {number: name for number, name in named.items() if name in BONES}
    return known if HUMAN_BONES.issubset(known.values()) else {}


def implausibility(keypoints: FloatArray, keypoint_set: KeypointSet) -> NDArray[np.float32] | None:
    """Return how far bodies are from having human proportions.

    The logarithm of every bone's length, less its usual value, less the median of these over the
    body, in standard deviations of its side (too short, too long), absolute and at most 4; the
    mean over the bones. All bones count, those between doubtful keypoints, too: a keypoint that
    the network is unsure of but has placed well makes a plausible bone.

    Source: after VL4Pose (Shukla et al., BMVC 2022), which takes the likelihood of bone lengths
    under Gaussians that a network predicts; here the Gaussians are one-sided and fixed.

    Args:
        keypoints: (N, K, 2) xy, any unit; NaN where nobody knows, and bones that end there do not
            count.
        keypoint_set: What they are.

    Returns:
        (N,) float32 in [0, 4], about 0.8 for a real body, 0 for one without bones; None for a set
        that is no human body.
    """
    proportions = _proportions(keypoint_set)
    if proportions is None:
        return None
    ends, usual, below, above = proportions
    excess = log_lengths(keypoints, ends) - usual
    counts = np.isfinite(excess).sum(axis=1, keepdims=True)
    # The lower median; np.median takes longer than all the rest. NaN is sorted to the end.
    excess -= np.take_along_axis(np.sort(excess, axis=1), np.maximum(counts - 1, 0) // 2, axis=1)
    deviations = np.maximum(excess / above, excess / -below)
    total = np.nansum(np.minimum(deviations, MAX_DEVIATION), axis=1)
    mean: NDArray[np.float32] = (total / np.maximum(counts[:, 0], 1)).astype(np.float32)
    return mean


def log_lengths(keypoints: FloatArray, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the logarithms of the lengths (N, E) between points (N, K, 2) named by ends (E, 2)."""
    steps = keypoints[:, ends[:, 0]].astype(np.float64) - keypoints[:, ends[:, 1]]
    logs: NDArray[np.float64] = np.log(
        np.maximum(np.hypot(*np.moveaxis(steps, 2, 0)), _SHORTEST_PX)
    )
    return logs


def bone_name(keypoint_set: KeypointSet, edge: tuple[int, int]) -> tuple[str, str]:
    """Return what an edge joins, without sides, in alphabetical order."""
    first, second = sorted(_part(keypoint_set.names[end]) for end in edge)
    return first, second


def _part(name: str) -> str:
    """Return the part of the body in a keypoint's name."""
    return " ".join(word for word in canonical_words(name) if word not in _SIDES)
