"""The published weights on the photo that every converter of them was checked with.

Numbers: outputs of the original repository, as transformers' conversion script records them, for
COCO val2017 photo 139, flip test, the second box. They need the published files, which are never
downloaded by a test: `vitpose weights pull NAME` brings them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose_cli.errors import WeightsError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator
from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.pose.instances import Detections

BOXES = np.array([[412.8, 157.61, 53.05, 138.01], [384.43, 172.21, 15.12, 35.74]], np.float32)

NOSE = {  # x, y, score of the second person's nose
    "vitpose-b-simple": (398.1805, 181.8084, 0.8666),
    "vitpose-b": (398.0791, 181.8281, 0.8824),
    "vitpose-b-multi": (398.3055, 181.7416, 0.8700),
    "vitpose-plus-s": (398.1597, 181.6902, 0.9051),
    "vitpose-plus-b": (398.2013, 181.7283, 0.8750),
    "vitpose-plus-l": (398.1409, 181.7412, 0.8746),
    "vitpose-plus-h": (398.2079, 181.8026, 0.8693),
}
TOLERANCE = 5e-2  # px and score, as in the conversion script


@pytest.mark.weights
@pytest.mark.parametrize("name", NOSE)
def test_published_weights_find_the_recorded_nose(
    name: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        path = resolve_weights(name, keypoint_set="coco")
    except WeightsError:
        pytest.skip(f"needs the published weights: vitpose weights pull {name}")
    photo = shared_data / "coco_val" / "images" / "000000000139.jpg"
    estimator = PoseEstimator(
        load_model(path), EstimatorOptions(device=torch.device("cpu"), flip_test=True)
    )
    detections = Detections(xywh_to_xyxy(BOXES), np.ones(2, np.float32))
    frame = Frame(FrameKey(photo.name), decode_image(photo.read_bytes()))
    cut = estimator.cut([frame], [detections])
    people = estimator.start([cut]).of(0)
    (second,) = np.flatnonzero(np.isclose(people.boxes[:, 0], BOXES[1, 0]))
    nose = people.keypoints[second, 0]
    assert (*nose, people.keypoint_scores[second, 0]) == pytest.approx(NOSE[name], abs=TOLERANCE)
