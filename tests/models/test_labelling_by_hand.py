"""From a photo and boxes to keypoints against the same by hand, in float64.

What the parts' own tests hold one by one is held here together: that crops, heatmaps, the flip
test, the way back and duplicates all follow one head's alignment and region. Of our code only the
network's module is used by hand, which is held against transformers' elsewhere.
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.models.checkpoint import LoadedViTPose, load_model
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator
from vitpose_cli.pose.geometry import Alignment, Region
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.keypoints import keypoint_set

ROOT = Path(__file__).parents[2]
REFERENCE: Mapping[str, Any] = runpy.run_path(str(ROOT / "tests" / "data" / "make_pose_golden.py"))
PHOTO = decode_image((ROOT / "examples" / "photos" / "astronaut.jpg").read_bytes())
BOXES = np.array([[70, 0, 430, 500], [-20, 40, 330, 300], [150, 20, 300, 260]], np.float32)
BOX_SCORES = np.array([0.9, 0.6, 0.8], np.float32)
PAIRS = [(left, left + 1) for left in range(1, 17, 2)]
INPUT_WH, MAP_WH = np.array([192, 256]), np.array([48, 64])

Array = NDArray[np.float64]


def loaded(alignment: Alignment = "udp", region: Region = "fitted") -> LoadedViTPose:
    """Return the weights that ship as if they had been trained in another way."""
    model = load_model(ROOT / "weights" / "vitpose-tiny.safetensors", input_wh=(192, 256))
    heads = {
        name: replace(head, alignment=alignment, region=region)
        for name, head in model.header.heads.items()
    }
    model.header = replace(model.header, heads=heads)
    return model


def labelled(model: LoadedViTPose, chosen: Sequence[int], **options: Any) -> Instances:
    """Label the people in the chosen boxes."""
    estimator = PoseEstimator(model, EstimatorOptions(torch.device("cpu"), **options))
    detections = Detections(BOXES, BOX_SCORES).select(list(chosen))
    cut = estimator.cut([Frame(FrameKey("a.jpg"), PHOTO)], [detections])
    return estimator.start([cut]).of(0)


def region_of(box: Array, region: str) -> tuple[Array, Array]:
    """Return centre and size of what a crop shows: `_xywh2cs`, and MPII's one scale for both."""
    width, height = box[2:] - box[:2]
    aspect = 1.0 if region == "square" else 192 / 256
    if width > aspect * height:
        height = width / aspect
    else:
        width = aspect * height
    return (box[:2] + box[2:]) / 2, 1.25 * np.array([width, height])


@torch.no_grad()
def by_hand(
    model: LoadedViTPose, box: Array, *, alignment: str, region: str, flip_test: bool
) -> Array:
    """Return x, y and score of each keypoint (17, 3), frame px."""
    centre, size = region_of(box, region)
    gap = 1 if alignment == "udp" else 0
    scales = (INPUT_WH - gap) / size
    offsets = (INPUT_WH - gap) / 2 - scales * centre
    matrix = np.concatenate([np.diag(scales), offsets[:, None]], axis=1)
    crop = cv2.warpAffine(PHOTO, matrix, (192, 256), flags=cv2.INTER_LINEAR)
    deviations = np.array([0.229, 0.224, 0.225])
    inputs = (crop / 255 - np.array([0.485, 0.456, 0.406])) / deviations

    def maps_of(pixels: Array) -> Array:
        images = torch.tensor(pixels.transpose(2, 0, 1)[None].copy(), dtype=torch.float32)
        return model(images)[0].double().numpy()  # type: ignore[no-any-return]

    maps = maps_of(inputs)
    if flip_test:
        mirrored = maps_of(inputs[:, ::-1])[:, :, ::-1].copy()
        for left, right in PAIRS:
            mirrored[[left, right]] = mirrored[[right, left]]
        if alignment == "classic":
            mirrored[:, :, 1:] = mirrored[:, :, :-1].copy()
        maps = (maps + mirrored) / 2
    decoded = [REFERENCE[f"decode_{alignment}"](each) for each in maps]
    points = np.array([point for point, _ in decoded]) * size / (MAP_WH - gap) + centre - size / 2
    return np.concatenate([points, [[score] for _, score in decoded]], axis=1)


def scores_by_hand(people: list[Array]) -> Array:
    """Return box score times the mean of the keypoint scores over 0.2."""
    kept = [person[person[:, 2] > 0.2, 2] for person in people]
    return np.array(
        [box * each.mean() if len(each) else 0 for box, each in zip(BOX_SCORES, kept, strict=True)]
    )


@pytest.mark.parametrize("flip_test", [True, False])
@pytest.mark.parametrize(
    ("alignment", "region"), [("udp", "fitted"), ("udp", "square"), ("classic", "fitted")]
)
def test_people_are_where_the_originals_formulas_put_them(
    alignment: Alignment, region: Region, flip_test: bool
) -> None:
    model = loaded(alignment, region)
    expected = [
        by_hand(model, box, alignment=alignment, region=region, flip_test=flip_test)
        for box in BOXES.astype(np.float64)
    ]
    found = labelled(model, range(3), flip_test=flip_test, nms_threshold=1.0)
    scores = scores_by_hand(expected)
    assert len(found) == len(expected)
    for row, person in enumerate(np.argsort(-scores)):
        sure = expected[person][:, 2] > 0.1  # else one Newton step multiplies the rounding
        assert sure.sum() >= 5
        # frame px; float32 maps against float64
        np.testing.assert_allclose(
            found.keypoints[row][sure], expected[person][sure, :2], rtol=0, atol=5e-3
        )
        np.testing.assert_allclose(
            found.keypoint_scores[row], expected[person][:, 2], rtol=0, atol=1e-4
        )
        assert found.scores[row] == pytest.approx(scores[person], abs=1e-5)


def test_duplicates_are_told_by_the_areas_of_their_regions() -> None:
    model, pair = loaded(), [0, 2]
    boxes = BOXES[pair].astype(np.float64)
    one, other = (
        by_hand(model, box, alignment="udp", region="fitted", flip_test=True)[:, :2]
        for box in boxes
    )
    areas = [float(region_of(box, "fitted")[1].prod()) for box in boxes]
    sigmas = keypoint_set("coco").sigmas
    with_regions, without_padding = (
        REFERENCE["oks"](one, areas[0] / shrunk, other, areas[1] / shrunk, sigmas)
        for shrunk in (1, 1.25**2)
    )
    assert with_regions > without_padding + 0.01
    between = (with_regions + without_padding) / 2
    assert len(labelled(model, pair, nms_threshold=between)) == 1
    assert len(labelled(model, pair, nms_threshold=with_regions + 1e-3)) == 2
