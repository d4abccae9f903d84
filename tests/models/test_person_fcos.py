"""The project's own small detectors: their size, where they answer, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.detection import FCOS
from torchvision.models.detection.image_list import ImageList

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.detection import DetectorOptions
from vitpose_cli.models.detectors import open_detector
from vitpose_cli.models.person_fcos import (
    MOST_PEOPLE,
    PERSON_FCOS,
    STRIDES,
    build_person_fcos,
    vote,
)
from vitpose_cli.models.torchvision_detector import DetectorHeader, build_detector, save_detector


@pytest.mark.parametrize("name", sorted(PERSON_FCOS))
def test_files_are_small(name: str) -> None:
    """Every network fits into 12 MB at two bytes a weight."""
    network = build_person_fcos(PERSON_FCOS[name], num_classes=2)
    assert sum(value.numel() for value in network.state_dict().values()) * 2 < 12e6


@pytest.mark.parametrize("size_hw", [(320, 320), (239, 320), (320, 100)])
def test_places_lie_on_their_grids(size_hw: tuple[int, int]) -> None:
    """Whatever the photo's shape, a level's places are multiples of its stride."""
    network: Any = build_person_fcos(PERSON_FCOS["person_fcos_nano"], num_classes=2).eval()
    with torch.inference_mode():
        images, _ = network.transform([torch.rand(3, *size_hw)])
        features = list(network.backbone(images.tensors).values())
    listed = ImageList(images.tensors, images.image_sizes)
    [anchors] = network.anchor_generator(listed, features)
    ends = np.cumsum([feature.shape[-1] * feature.shape[-2] for feature in features])
    for stride, own in zip(STRIDES, np.split(anchors.numpy(), ends[:-1]), strict=True):
        assert ((own[:, :2] + own[:, 2:]) / 2 % stride == 0).all()
        assert (own[:, 2:] - own[:, :2] == stride).all()


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.5, 1.0])
def test_guesses_are_those_of_torchvision_that_suppresses_none(threshold: float) -> None:
    network: Any = build_person_fcos(PERSON_FCOS["person_fcos_nano"], num_classes=3).eval()
    network.score_thresh = threshold
    torch.manual_seed(0)
    sizes_hw = [(320, 256), (300, 200)]
    grids = [(320 // stride) * (256 // stride) for stride in STRIDES]
    outputs = {
        "cls_logits": [torch.randn(2, places, 3) for places in grids],
        "bbox_regression": [torch.rand(2, places, 4) for places in grids],
        "bbox_ctrness": [torch.randn(2, places, 1) for places in grids],
    }
    anchors = [[torch.rand(places, 4) * 100 + torch.tensor([0, 0, 100, 100]) for places in grids]]
    ours = network.postprocess_detections(outputs, anchors * 2, sizes_hw)
    network.nms_thresh, network.detections_per_img = 1.0, 1000
    theirs = FCOS.postprocess_detections(network, outputs, anchors * 2, sizes_hw)
    assert len(ours[0]["boxes"]) == {0.0: 1000, 1.0: 0}.get(threshold, len(theirs[0]["boxes"]))
    for own, other in zip(ours, theirs, strict=True):
        for key in ("boxes", "scores", "labels"):
            torch.testing.assert_close(own[key], other[key], rtol=1e-6, atol=0)  # last bits


def test_a_file_opens_as_any_other(tmp_path: Path) -> None:
    """A saved network is opened by its header and finds boxes within the photo."""
    size = (128, 128)
    header = DetectorHeader(
        "person_fcos_nano", ("__background__", "person"), "a test", "CC0-1.0", size, threshold=0.2
    )
    torch.manual_seed(0)
    path = tmp_path / "detector.safetensors"
    state = build_detector(header).state_dict()
    state["head.regression_head.bbox_reg.bias"] += 3  # untrained boxes have no area
    state["head.classification_head.cls_logits.bias"][1] += 3
    save_detector(path, state, header, dtype=torch.float16)
    image = np.random.default_rng(0).integers(0, 256, (90, 200, 3), np.uint8)
    detector = open_detector(str(path), DetectorOptions(threshold=0.0))
    [found] = detector.detect([Frame(FrameKey("a.jpg"), image)])
    assert len(found) > 0
    assert found.boxes.min() >= 0
    assert (found.boxes.max(axis=0) <= [200, 90, 200, 90]).all()


def guesses(*rows: tuple[float, ...], labels: list[int] | None = None) -> dict[str, torch.Tensor]:
    """Return boxes xyxy with a score each as a network guesses them."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    kinds = torch.tensor(labels or [1] * len(table))
    return {"boxes": table[:, :4], "scores": table[:, 4], "labels": kinds}


class TestVoting:
    """One box for each person, and where it lies."""

    def test_boxes_that_agree_are_averaged(self) -> None:
        """By the square of the score; one that overlaps less has no say, and one far off stays."""
        best, agrees = (10.0, 10.0, 50.0, 60.0, 0.8), (14.0, 10.0, 50.0, 60.0, 0.4)
        disagrees, far = (10.0, 10.0, 50.0, 37.0, 0.5), (70.0, 10.0, 90.0, 60.0, 0.6)
        answer = vote(guesses(agrees, far, best, disagrees))
        left = (10 * 0.8**2 + 14 * 0.4**2) / (0.8**2 + 0.4**2)
        wanted = torch.tensor([[left, 10, 50, 60], far[:4]])
        torch.testing.assert_close(answer["boxes"], wanted, atol=1e-4, rtol=0)
        assert answer["scores"].tolist() == pytest.approx([0.8, 0.6])

    def test_classes_do_not_mix(self) -> None:
        found = guesses((10, 10, 50, 60, 0.6), (12, 10, 52, 60, 0.7), labels=[0, 1])
        answer = vote(found)
        wanted = torch.tensor([[12.0, 10, 52, 60], [10, 10, 50, 60]])
        torch.testing.assert_close(answer["boxes"], wanted, atol=1e-4, rtol=0)
        assert answer["labels"].tolist() == [1, 0]

    def test_a_crowd_has_a_limit(self) -> None:
        rows = [(20.0 * n, 0.0, 20.0 * n + 10, 30.0, 1 - n / 200) for n in range(150)]
        answer = vote(guesses(*rows))
        assert len(answer["boxes"]) == MOST_PEOPLE
        assert answer["scores"].min() > 0.5

    def test_nobody_and_boxes_without_an_area(self) -> None:
        assert len(vote(guesses())["boxes"]) == 0
        answer = vote(guesses((10, 10, 10, 60, 0.6), (0, 0, 20, 20, 0.0)))
        assert answer["boxes"].tolist() == [[10, 10, 10, 60], [0, 0, 20, 20]]


def shipped(**options: Any) -> Any:
    """Open the detector that ships."""
    path = Path(__file__).parents[2] / "weights/person-detector.safetensors"
    return open_detector(str(path), DetectorOptions(**options))


def two_looks() -> tuple[Frame, Frame]:
    """Return a photo of people and its mirror image."""
    path = sorted((Path(__file__).parents[2] / "examples/photos").glob("**/*.jpg"))[0]
    photo = cv2.imread(str(path))
    assert photo is not None
    image = np.ascontiguousarray(photo[:, :, ::-1], np.uint8)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    return Frame(FrameKey("a.jpg"), image), Frame(FrameKey("b.jpg"), mirrored)


def test_a_photo_and_its_mirror_image_have_the_same_people() -> None:
    """With the flip test; without it the network sees them differently."""
    differences = []
    for flip_test in (True, False):
        one, other = shipped(flip_test=flip_test).detect(two_looks())
        assert len(one) == len(other) > 0
        boxes = other.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1]
        boxes[:, [0, 2]] += two_looks()[0].image.shape[1]
        differences.append(np.abs(one.boxes - boxes).max())
    assert differences[0] < 0.01 * differences[1]


def test_a_threshold_moves_no_box() -> None:
    """Boxes under it have a say all the same."""
    few = shipped(threshold=0.6).detect(two_looks()[:1])[0]
    many = shipped(threshold=0.1).detect(two_looks()[:1])[0]
    assert 0 < len(few) < len(many)
    np.testing.assert_array_equal(few.boxes, many.boxes[: len(few)])
