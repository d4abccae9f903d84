"""What one label is worth: who can be learnt from, how much, and who counts when measuring.

A person's word counts more than a network's, an unlabelled keypoint counts nothing. Files and
photos are the business of `sources`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import clip_boxes, xywh_to_xyxy
from vitpose_cli.records.body_sizes import lacks_size
from vitpose_cli.records.coco_people import attributes_of, size_of
from vitpose_cli.training.data_options import CocoSource, SourceOptions

WITHOUT_SIZE = "people with one labelled keypoint and no box"
"""Why somebody is left out of whom nothing says how large they are."""

Purpose = Literal["pretraining", "training", "measuring"]
"""What people are taken for: boxes will do, keypoints count for something, or are to be found."""


@dataclass(frozen=True, slots=True)
class Person:
    """One usable annotation.

    Attributes:
        box: (4,) xyxy, frame px.
        keypoints: (K, 2) xy, frame px.
        weights: (K,) loss weights, 0 where a keypoint is not known.
    """

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    weights: NDArray[np.float64]

    def unlabelled(self, num_keypoints: int) -> Person:
        """Return the same person as if nobody knew their keypoints."""
        return Person(self.box, np.zeros((num_keypoints, 2)), np.zeros(num_keypoints))


def person_of(
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    options: CocoSource,
    dropped: Counter[str],
    purpose: Purpose,
) -> Person | None:
    """Return what can be learnt from an annotation; None, and the reason counted, if nothing.

    Args:
        annotation: The annotation.
        image: Its image.
        options: The source.
        dropped: Counts the reasons.
        purpose: Where people are measured on, keypoints outside of the photo are to be found, as
            by `evaluate`, and the box is cut at the photo later.
    """
    boxes = xywh_to_xyxy(np.array([annotation["bbox"]], np.float64))
    points = np.reshape(np.array(annotation["keypoints"], np.float64), (-1, 3))
    known = points[:, 2] > 0
    stated_wh = size_of(image)
    if stated_wh is not None and purpose != "measuring":
        inside = ((points[:, :2] >= 0) & (points[:, :2] <= stated_wh)).all(axis=1)
        dropped["keypoints outside of their photo"] += int((known & ~inside).sum())
        known = known & inside
        boxes = clip_boxes(boxes, stated_wh)
    box = boxes[0].astype(np.float64)
    scores = np.array(annotation.get("keypoint_scores") or np.ones(len(points)), np.float64)
    by_network = _is_by_network(annotation)
    weights = keypoint_weights(np.where(known, 1 if by_network else 2, 0), scores, options)
    reasons = {
        "crowds": annotation["iscrowd"] != 0,
        "people whose labels nobody has checked": not is_wanted(annotation, options),
        WITHOUT_SIZE: lacks_size(annotation),
        "boxes without area": not (box[2:] > box[:2]).all(),
        "people without keypoints": purpose != "pretraining" and not known.any(),
        "people whose keypoints count nothing": purpose == "training" and not weights.any(),
    }
    for reason, applies in reasons.items():
        if applies:
            dropped[reason] += 1
            return None
    return Person(box, points[:, :2], weights)


def keypoint_weights(
    labels: NDArray[np.int64], scores: NDArray[np.float64], options: SourceOptions
) -> NDArray[np.float64]:
    """Return loss weights of keypoints: labels 0 unknown, 1 by a network, 2 by a person."""
    sure = np.where(scores >= options.min_score, options.model_weight * scores.clip(0, 1), 0)
    return np.where(labels >= 2, options.human_weight, np.where(labels == 1, sure, 0.0))


def _is_by_network(annotation: Mapping[str, Any]) -> bool:
    """Return whether nobody vouches for a network's label, though somebody may have touched it.

    In a draft that a network began, what a person has placed has a score of 1.
    """
    attributes = attributes_of(annotation)
    is_draft = attributes.get("review") == "draft" and bool(attributes.get("model"))
    return is_draft or attributes.get("source", "human") != "human"


def is_wanted(annotation: Mapping[str, Any], options: CocoSource) -> bool:
    """Return whether a source includes an annotation, for who has made or checked it."""
    attributes = attributes_of(annotation)
    human = attributes.get("source", "human") == "human"
    return options.include == "all" or (
        human and _is_checked(attributes.get("review", "fixed"), options)
    )


def is_looked_at(image: Mapping[str, Any], options: CocoSource) -> bool:
    """Return whether a source includes a photo, even if nobody is on it."""
    return options.include == "all" or ("review" in image and _is_checked(image["review"], options))


def ignored(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an annotation as COCO marks who is neither to be found nor to be missed."""
    unknown = [0] * len(annotation["keypoints"])
    return {**annotation, "iscrowd": 1, "keypoints": unknown, "num_keypoints": 0}


def _is_checked(review: Any, options: CocoSource) -> bool:
    """Return whether a person has done to a label what `include` asks for."""
    return bool(review == "fixed" if options.include == "human" else review != "draft")
