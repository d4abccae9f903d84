"""How doubtful a pose is: measures by name, for choosing what a person should look at.

One table says of each measure what it is, where it comes from, and what to tell a person about it.
What needs the heatmaps is computed in `heatmap_signals`, on their device; what follows from the
poses of a frame, here; what needs the frames before and after or another run's labels, when frames
are selected. A learned estimate of the error (a
loss head, an ensemble trained for it) was refused: it would need training for every set of weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.bones import implausibility
from vitpose_cli.pose.geometry import FloatArray, box_iou
from vitpose_cli.pose.keypoints import KeypointSet


@dataclass(frozen=True, slots=True)
class Signal:
    """One measure of doubt about one instance.

    Attributes:
        doubtful: Which values ask for a person's look.
        weight: How much its rank counts beside the others; by how well it told wrong poses
            (`benchmarks/select_curve.py`).
        unit: Unit and range.
        source: Where it comes from.
        words: What a person is told about a high rank; `{value}` is filled in.
        known_of: Of whom alone it is known; None for everybody whom a model labels.
    """

    doubtful: Literal["low", "high"]
    weight: float
    unit: str
    source: str
    words: str
    known_of: str | None = None


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "mean_keypoint_score": Signal(
            "low",
            3.0,
            "heatmap height, about 0 to 1; mean over all keypoints",
            "the score of every heatmap method; SLEAP's score suggestions",
            "the keypoints score only {value:z.2f} on average",
        ),
        "min_keypoint_score": Signal(
            "low",
            0.25,
            "heatmap height, about 0 to 1; the lowest keypoint",
            "as above",
            "one keypoint scores only {value:z.2f}",
        ),
        "second_peak_ratio": Signal(
            "high",
            1.0,
            "second peak over first, 0 to 1; mean over all keypoints",
            "multiple peak entropy, Liu & Ferrari, ICCV 2017, cut down to two peaks",
            "keypoints have a second place nearly as good ({value:.2f} of the first on average)",
        ),
        "peak_width": Signal(
            "high",
            1.0,
            "standard deviation of the peak, heatmap cells, 0 to about 3.7; mean over keypoints",
            "the peak as a Gaussian, after DARK, Zhang et al., CVPR 2020",
            "the places of the keypoints are blurred ({value:.1f} heatmap cells)",
        ),
        "flip_disagreement": Signal(
            "high",
            1.0,
            "distance, sizes of the padded box's inside (root of its area), 0 to 0.3; mean",
            "agreement under mirroring; flip test of Newell et al., ECCV 2016",
            "the mirrored picture gives other places ({value:.2f} body sizes apart)",
        ),
        "implausibility": Signal(
            "high",
            0.5,
            "standard deviations of the usual bone lengths, 0 to 4; mean over bones",
            "after VL4Pose, Shukla et al., BMVC 2022",
            "the proportions are unusual for a body ({value:.1f} deviations)",
            known_of="human bodies whose limbs are shown",
        ),
        "overlap": Signal(
            "high",
            0.25,
            "intersection over union with the nearest other box of the frame, 0 to 1",
            "crowding as in CrowdPose, Li et al., CVPR 2019, by boxes",
            "another person's box overlaps (IoU {value:.2f})",
        ),
        "box_margin": Signal(
            "low",
            1.0,
            "box score less the lowest that the run has kept, 0 to 1",
            "margin sampling for detectors, Brust et al., VISAPP 2019",
            "the detector was hardly sure ({value:.2f} above the lowest score kept)",
        ),
        "jump": Signal(
            "high",
            1.0,
            "distance from the line between the frames before and after, body sizes, from 0; the "
            "farthest keypoint",
            "DeepLabCut's `jump` outliers (Nath et al., Nature Protocols 2019)",
            "a keypoint jumps between frames ({value:.2f} body sizes)",
            known_of="people in videos with frames just before and after",
        ),
        "disagreement": Signal(
            "high",
            3.0,
            "1 - OKS with the nearest person in the other run, 0 to 1; 1 where there is nobody",
            "query by committee, Seung et al., COLT 1992; two sizes of network as the committee",
            "the other run says otherwise (OKS {agreement:.2f})",
        ),
    }
)
"""Every measure by its name in records and on the command line."""


def frame_signals(
    boxes: FloatArray,
    keypoints: FloatArray,
    keypoint_set: KeypointSet,
    pixel_aspect: float = 1.0,
) -> dict[str, NDArray[np.float32]]:
    """Return what the poses of one frame say without any picture, (N,) each.

    `implausibility` is missing for sets that are no human body.

    Args:
        boxes: (N, 4) xyxy, frame px.
        keypoints: (N, K, 2) xy, frame px as boxes, as they are stored; NaN where nobody knows.
        keypoint_set: What they are.
        pixel_aspect: Width of the frame's pixels by their height: how plausible proportions are is
            judged as the frame is shown.
    """
    others = box_iou(boxes, boxes)
    np.fill_diagonal(others, 0)
    found = {"overlap": others.max(axis=1, initial=0).astype(np.float32)}
    odd = implausibility(keypoints * np.array([pixel_aspect, 1.0]), keypoint_set)
    return found if odd is None else {**found, "implausibility": odd}
