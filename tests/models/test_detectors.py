"""What all detectors share, the whole image as a box, and opening a detector by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.errors import ConfigError, InputError, WeightsError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.catalog import load_catalog
from vitpose_cli.models.detection import (
    ANIMALS,
    PERSON,
    DetectorOptions,
    classes_of,
    detect_by_size,
    detections_of,
    find_classes,
    tidy,
)
from vitpose_cli.models.detectors import open_detector, shipped_detector_path
from vitpose_cli.pose.instances import Detections
from vitpose_cli.pose.keypoints import keypoint_set

COCO = {0: "person", 14: "bird", 15: "cat", 18: "sheep", 19: "cow", 80: "N/A"}


def test_whole_image() -> None:
    frames = [
        Frame(FrameKey("a.jpg"), np.zeros((30, 40, 3), np.uint8)),
        Frame(FrameKey("b.jpg"), np.zeros((1, 1, 3), np.uint8)),
    ]
    found = open_detector("whole-image", DetectorOptions()).detect(frames)
    assert [one.boxes.tolist() for one in found] == [[[0, 0, 40, 30]], [[0, 0, 1, 1]]]
    assert [one.scores.tolist() for one in found] == [[1], [1]]


def test_classes_are_found_by_name() -> None:
    assert find_classes(COCO, PERSON, "x") == (0,)
    assert find_classes({1: "Person", 2: "face"}, PERSON, "x") == (1,)
    assert find_classes(COCO, ANIMALS, "x") == (15, 18, 19)  # mammals: not the bird
    with pytest.raises(ConfigError, match="x does not know person") as raised:
        find_classes({0: "__background__", 1: "car", 2: "bus"}, PERSON, "x")
    assert raised.value.hint.startswith(
        "It knows: bus, car. Take another with --detector, or whole-"
    )
    with pytest.raises(ConfigError, match="x does not know animals") as raised:
        find_classes({0: "person"}, ANIMALS, "x")
    assert "--detector, such as dfine-m" in raised.value.hint
    assert "called person" not in raised.value.hint
    with pytest.raises(ConfigError, match="x does not know legs") as raised:
        find_classes({0: "person"}, ["legs"], "x")
    assert raised.value.hint.endswith(
        "For legs that are parts of people, learn from a category called person."
    )
    with pytest.raises(ConfigError) as raised:
        find_classes({number: f"class {number}" for number in range(90)}, PERSON, "x")
    assert "and 70 more" in raised.value.hint


def test_classes_of_keypoint_sets() -> None:
    assert classes_of(keypoint_set("coco").category) == PERSON
    assert classes_of(keypoint_set("ap10k").category) == ANIMALS
    assert classes_of(keypoint_set("apt36k").category) == ANIMALS
    assert classes_of("hand") == ("hand",)


def test_tidy() -> None:
    boxes = np.array(
        [
            [10, 10, 20, 20],
            [-5, -5, 300, 300],  # larger than the frame
            [10, 10, 20, 20],  # scores too low
            [50, 10, 50, 20],  # no width
            [30, 20, 20, 30],  # inside out
            [200, 10, 300, 20],  # outside
            [np.nan, 0, 9, 9],
            [0, 0, np.inf, 9],
        ]
    )
    scores = np.array([0.5, 0.9, 0.2, 1, 1, 1, 1, 0.3])
    found = tidy(boxes, scores, 0.3, (100, 80))
    np.testing.assert_array_equal(found.boxes, [[0, 0, 100, 80], [10, 10, 20, 20], [0, 0, 100, 9]])
    np.testing.assert_allclose(found.scores, [0.9, 0.5, 0.3])


def test_an_animal_taken_for_two_is_one() -> None:
    boxes = [[10, 10, 60, 60], [10, 10, 60, 61], [40, 10, 90, 60], [10, 10, 60, 60]]
    found = {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "scores": torch.tensor([0.5, 0.8, 0.6, 0.99]),
        "labels": torch.tensor([18, 19, 18, 0]),  # a sheep or cow, another sheep, its rider
    }
    animals = detections_of(found, (18, 19), 0.3, (100, 80))
    assert animals.boxes.tolist() == [boxes[1], boxes[2]]
    sheep = detections_of(found, (18,), 0.3, (100, 80))
    assert sheep.boxes.tolist() == [boxes[2], boxes[0]]
    assert len(detections_of(found, (15,), 0.3, (100, 80))) == 0


@pytest.mark.parametrize(("height", "num_animals"), [(70, 2), (85, 1)])  # the IoU in percent
def test_animals_beside_each_other_are_two(height: float, num_animals: int) -> None:
    found = {
        "boxes": torch.tensor([[0, 0, 100, 100], [0, 0, 100, height]], dtype=torch.float32),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([18, 19]),
    }
    assert len(detections_of(found, (18, 19), 0.3, (100, 100))) == num_animals


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3))))
def test_frames_of_one_size_share_a_batch(sizes_wh: list[tuple[int, int]]) -> None:
    frames = [Frame(FrameKey(str(n)), np.zeros((1, 1, 3), np.uint8)) for n in range(len(sizes_wh))]
    batches: list[tuple[int, int]] = []

    def detect(group: list[Frame], size_wh: tuple[int, int]) -> Iterator[Detections]:
        batches.append(size_wh)
        for frame in group:
            number = float(frame.key.media)
            assert sizes_wh[int(number)] == size_wh
            yield Detections(np.array([[0, 0, number, 1]], np.float32), np.ones(1, np.float32))

    found = detect_by_size(frames, sizes_wh, detect)
    assert [each.boxes[0, 2] for each in found] == [*range(len(frames))]
    assert len(batches) == len(set(batches)) == len(set(sizes_wh))


def test_names_that_mean_nothing() -> None:
    known = next(iter(load_catalog().detectors))
    with pytest.raises(WeightsError) as raised:
        open_detector(known + known[-1], DetectorOptions())
    assert known in raised.value.hint
    with pytest.raises(InputError):
        open_detector("no/such/boxes.json", DetectorOptions())
    for name in ("no/such/weights.pth", "no/such/weights.safetensors", "no/such/folder"):
        with pytest.raises(WeightsError, match="no"):
            open_detector(name, DetectorOptions())


def test_a_file_of_another_kind_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("models/yolox.onnx")  # spelled as an id of Hugging Face is
    path.parent.mkdir()
    path.write_bytes(b"onnx")
    with pytest.raises(WeightsError, match=r"models/yolox\.onnx is a file of no kind") as caught:
        open_detector(str(path), DetectorOptions())
    assert "--boxes" in caught.value.hint


def test_shipped_detector_opens() -> None:
    path = shipped_detector_path()
    if path is None:
        pytest.skip("no detector ships yet")
    open_detector(str(path), DetectorOptions())
