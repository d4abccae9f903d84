"""Single people cut out of their frames, with their labels drawn, for sheets and comparisons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.drawing import DrawStyle, draw_instances
from vitpose_cli.pose.geometry import CropTransforms, FloatArray
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet


def cut_out(
    image: NDArray[np.uint8],
    people: Instances,
    region: FloatArray,
    size_wh: tuple[int, int],
    keypoint_set: KeypointSet,
) -> NDArray[np.uint8]:
    """Return a part of a frame with people drawn on it.

    Args:
        image: (H, W, 3) uint8 RGB, the frame.
        people: Who is drawn; points in frame px.
        region: (4,) xyxy, frame px; a little more than it is shown. One that encloses nothing is
            replaced by what the keypoints enclose.
        size_wh: Width and height of the result, px.
        keypoint_set: What their keypoints are.
    """
    shown = region if (region[2:] > region[:2]).all() else _around(people, region[:2])
    transforms = CropTransforms.from_boxes(shown[None], size_wh, alignment="classic")
    picture: NDArray[np.uint8] = warp_crops(image, transforms)[0]
    count = len(people)
    if not count:
        return picture
    matrices = CropTransforms(
        np.repeat(transforms.matrices, count, axis=0), size_wh, transforms.alignment
    )
    corners = matrices.to_crop(people.boxes.reshape(count, 2, 2)).reshape(count, 4)
    moved = Instances(
        boxes=corners.astype(np.float32),
        box_scores=people.box_scores,
        keypoints=matrices.to_crop(people.keypoints).astype(np.float32),
        keypoint_scores=people.keypoint_scores,
        visibility=people.visibility,
    )
    return draw_instances(picture, moved, keypoint_set, DrawStyle(boxes=False, scores=False))


def _around(people: Instances, corner: FloatArray) -> FloatArray:
    """Return the box (4,) round everybody's keypoints; without any, a pixel at a corner."""
    points = people.keypoints[people.placed]
    points = points if len(points) else corner[None]
    low = points.min(axis=0)
    return np.concatenate([low, np.maximum(points.max(axis=0), low + 1)])
