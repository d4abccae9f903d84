"""Detections and instances: what a detector and a pose network say about one frame.

Both are structs of arrays, checked once when they are built. Points and boxes are frame pixels,
where pixel (0, 0) is the centre of the top-left pixel. In memory a box is always xyxy; COCO's
xywh exists only in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitpose_cli.errors import InputError

KEYPOINT_SCORE_THRESHOLD = 0.2
"""Keypoints at or below this score do not count in a COCO score (mmpose's `vis_thr`)."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes that a detector found in one frame.

    Attributes:
        boxes: (N, 4) float32 xyxy, frame px.
        scores: (N,) float32 in [0, 1].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        boxes = _array("boxes", self.boxes, np.float32, (-1, 4))
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", _array("scores", self.scores, np.float32, (len(boxes),)))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Detections:
        """Return no box at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def select(self, index: ArrayLike) -> Detections:
        """Return the boxes at `index`, a boolean mask (N,) or integer positions, in that order."""
        chosen = np.asarray(index)
        return Detections(self.boxes[chosen], self.scores[chosen])


@dataclass(frozen=True, slots=True)
class Instances:
    """The people (or animals) of one frame, N of them, with K keypoints each.

    Attributes:
        boxes: (N, 4) float32 xyxy, frame px.
        box_scores: (N,) float32 in [0, 1].
        keypoints: (N, K, 2) float32 xy, frame px; of a network's, also where the visibility is 0.
        keypoint_scores: (N, K) float32, raw heatmap peaks, about [0, 1].
        visibility: (N, K) int8, COCO's 0 not labelled, 1 labelled but hidden, 2 visible.
        track_ids: (N,) int64 identities over the frames of one video, or None.
        signals: Further numbers for each instance by name, (N,) float32 each: uncertainty
            measures that say how much a person should look at the label.
        smoothed: (N, K, 2) float32 xy, frame px: keypoints smoothed over the frames of one video,
            beside the raw ones; or None.
    """

    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.float32]
    visibility: NDArray[np.int8]
    track_ids: NDArray[np.int64] | None = None
    signals: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    smoothed: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        boxes = _array("boxes", self.boxes, np.float32, (-1, 4))
        count = len(boxes)
        points = _array("keypoints", self.keypoints, np.float32, (count, -1, 2))
        per_point = (count, points.shape[1])
        checked = {
            "boxes": boxes,
            "box_scores": _array("box_scores", self.box_scores, np.float32, (count,)),
            "keypoints": points,
            "keypoint_scores": _array(
                "keypoint_scores", self.keypoint_scores, np.float32, per_point
            ),
            "visibility": _array("visibility", self.visibility, np.int8, per_point),
            "signals": {
                name: _array(f"signals[{name}]", values, np.float32, (count,))
                for name, values in self.signals.items()
            },
        }
        if self.track_ids is not None:
            checked["track_ids"] = _array("track_ids", self.track_ids, np.int64, (count,))
        if self.smoothed is not None:
            checked["smoothed"] = _array("smoothed", self.smoothed, np.float32, points.shape)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def num_keypoints(self) -> int:
        """K, the number of keypoints of every instance."""
        return int(self.keypoints.shape[1])

    @property
    def placed(self) -> NDArray[np.bool_]:
        """(N, K) whether anybody knows where a keypoint is; if not, COCO files say 0, 0."""
        placed: NDArray[np.bool_] = (self.visibility > 0) | self.keypoints.any(axis=2)
        return placed

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) COCO scores: box score x mean of the keypoint scores over 0.2; 0 where none is.

        Source: the evaluation of the original repository (`vis_thr=0.2`).
        """
        return instance_scores(self.box_scores, self.keypoint_scores)

    @classmethod
    def empty(cls, num_keypoints: int) -> Instances:
        """Return a frame without people, for a set of `num_keypoints` keypoints."""
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            box_scores=np.zeros(0, np.float32),
            keypoints=np.zeros((0, num_keypoints, 2), np.float32),
            keypoint_scores=np.zeros((0, num_keypoints), np.float32),
            visibility=np.zeros((0, num_keypoints), np.int8),
        )

    def select(self, index: ArrayLike) -> Instances:
        """Return the instances at `index`, a boolean mask (N,) or integer positions, in order."""
        chosen = np.asarray(index)
        return Instances(
            boxes=self.boxes[chosen],
            box_scores=self.box_scores[chosen],
            keypoints=self.keypoints[chosen],
            keypoint_scores=self.keypoint_scores[chosen],
            visibility=self.visibility[chosen],
            track_ids=None if self.track_ids is None else self.track_ids[chosen],
            signals={name: values[chosen] for name, values in self.signals.items()},
            smoothed=None if self.smoothed is None else self.smoothed[chosen],
        )

    def with_keypoints(self, places: Sequence[int]) -> Instances:
        """Return the same instances with the keypoints at `places`, in that order."""
        chosen = list(places)
        return replace(
            self,
            keypoints=self.keypoints[:, chosen],
            keypoint_scores=self.keypoint_scores[:, chosen],
            visibility=self.visibility[:, chosen],
            smoothed=None if self.smoothed is None else self.smoothed[:, chosen],
        )


def instance_scores(
    box_scores: NDArray[np.float32], keypoint_scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the COCO scores (N,) of instances, see `Instances.scores`.

    Args:
        box_scores: (N,) in [0, 1].
        keypoint_scores: (N, K), about [0, 1].
    """
    counted = keypoint_scores > KEYPOINT_SCORE_THRESHOLD
    total = np.where(counted, keypoint_scores, 0).sum(axis=1)
    mean = total / np.maximum(counted.sum(axis=1), 1)
    scores: NDArray[np.float32] = (box_scores * mean).astype(np.float32)
    return scores


def _array(name: str, value: ArrayLike, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return `value` as a C-contiguous array of `dtype`, or say which shape was expected."""
    array: NDArray[Any] = np.ascontiguousarray(value, dtype=dtype)
    fits = array.shape == shape or (
        array.ndim == len(shape)
        and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=True))
    )
    if not fits:
        wanted = "x".join("any" if size == -1 else str(size) for size in shape)
        raise InputError(f"{name} has the shape {array.shape}, expected {wanted}.")
    return array
