"""Boxes from COCO files instead of a detector."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.source import open_source
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.models.detection import ANIMALS, DetectorOptions
from vitpose_cli.models.detectors import open_detector


def frame(media: str, width: int = 100, height: int = 80, index: int = -1) -> Frame:
    return Frame(FrameKey(media, index), np.zeros((height, width, 3), np.uint8))


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def document(*boxes: tuple[int, int, list[float]]) -> dict[str, Any]:
    """Return a document with boxes (image id, category id, xywh) of two photos and a frame."""
    return {
        "images": [
            {"id": 1, "file_name": "a/één.jpg", "width": 100, "height": 80},
            {"id": 2, "file_name": "empty.jpg", "width": 100, "height": 80},
            {"id": 3, "file_name": "clip.mp4/frame_000002.jpg", "width": 100, "height": 80},
        ],
        "categories": [{"id": 1, "name": "Person"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0}
            for i, (image, category, bbox) in enumerate(boxes, 1)
        ],
    }


def test_boxes_of_photos_and_of_video_frames(tmp_path: Path) -> None:
    path = written(
        tmp_path / "boxes.json", document((1, 1, [10, 20, 30, 40]), (3, 1, [1, 2, 3, 4]))
    )
    detector = open_detector(str(path), DetectorOptions())
    frames = [frame("a/één.jpg"), frame("empty.jpg"), frame("clip.mp4", index=2), frame("new.jpg")]
    photo, empty, of_video, unnamed = detector.detect(frames)
    np.testing.assert_array_equal(photo.boxes, [[10, 20, 40, 60]])
    np.testing.assert_array_equal(photo.scores, [1])
    np.testing.assert_array_equal(of_video.boxes, [[1, 2, 4, 6]])
    assert len(empty) == len(unnamed) == 0


def test_boxes_are_found_by_other_forms_of_a_name(tmp_path: Path) -> None:
    content = document((1, 1, [10, 20, 30, 40]))
    for name in ("a\\één.jpg", normalize("NFD", "a/één.jpg"), normalize("NFC", "a/één.jpg")):
        content["images"][0]["file_name"] = name
        detector = BoxesFile.open(written(tmp_path / "boxes.json", content), DetectorOptions())
        for asked in (normalize("NFC", "a/één.jpg"), normalize("NFD", "a/één.jpg")):
            detector.check([asked])
            assert len(detector.detect([frame(asked)])[0]) == 1
            with pytest.raises(InputError, match="has 50 x 40 px"):
                detector.detect([frame(asked, 50, 40)])


def test_a_photo_of_another_size_than_stated_is_refused(tmp_path: Path) -> None:
    content = document((1, 1, [10, 20, 30, 40]), (2, 1, [1, 2, 3, 4]))
    content["images"][1] |= {"width": 0, "height": 0}  # states none
    detector = BoxesFile.open(written(tmp_path / "boxes.json", content), DetectorOptions())
    assert len(detector.detect([frame("empty.jpg", 50, 40)])[0]) == 1
    with pytest.raises(InputError, match=r"has 50 x 40 px, and .* a photo of 100 x 80 px\.$"):
        detector.detect([frame("a/één.jpg", 50, 40)])
    with pytest.raises(InputError, match=r"100 x 80 px, as if .* by its EXIF orientation"):
        detector.detect([frame("a/één.jpg", 80, 100)])


def test_the_wanted_category_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "boxes.json", document((1, 1, [0, 0, 9, 9]), (1, 7, [5, 5, 9, 9])))
    for classes, left in ((("person",), 0), (("dog",), 5)):
        options = DetectorOptions(classes=classes)
        [found] = BoxesFile.open(path, options).detect([frame("a/één.jpg")])
        assert found.boxes[:, 0].tolist() == [left]
        assert caplog.messages == [
            f"1 box is left out of {path}: not of its category {classes[0]!r}."
        ]
        caplog.clear()
    # Species go by many names: who labels animals gets every box of the file.
    [found] = BoxesFile.open(path, DetectorOptions(classes=ANIMALS)).detect([frame("a/één.jpg")])
    assert len(found) == 2
    assert not caplog.messages


def test_boxes_are_cut_and_dropped_boxes_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boxes: list[list[float]] = [
        [-10, -10, 30, 30],  # sticks out
        [90, 70, 500, 500],  # sticks out
        [200, 10, 20, 20],  # outside
        [10, 10, 0, 20],  # no width
        [10, 10, 20, -5],  # drawn upwards
    ]
    path = written(tmp_path / "b.json", document(*((1, 1, box) for box in boxes)))
    detector = BoxesFile.open(path, DetectorOptions())
    with caplog.at_level(logging.WARNING):
        [found] = detector.detect([frame("a/één.jpg")])
        detector.detect([frame("a/één.jpg")])
    np.testing.assert_array_equal(found.boxes, [[0, 0, 20, 20], [90, 70, 100, 80], [10, 5, 30, 10]])
    assert detector.num_dropped == 4
    assert len(caplog.records) == 1


def test_results_files(tmp_path: Path) -> None:
    results = [
        {"image_id": 139, "category_id": 1, "bbox": [1, 1, 8, 8], "score": 0.4},
        {"image_id": 139, "category_id": 1, "bbox": [2, 2, 8, 8], "score": 0.9},
        {"image_id": 139, "category_id": 62, "bbox": [3, 3, 8, 8], "score": 0.9},  # a chair
        {"file_name": "b.jpg", "category_id": 1, "bbox": [4, 4, 8, 8], "score": 0.01},
    ]
    path = written(tmp_path / "results.json", results)
    frames = [frame("000000000139.jpg"), frame("b.jpg")]
    first, second = BoxesFile.open(path, DetectorOptions()).detect(frames)
    assert first.boxes[:, 0].tolist() == [2, 1]  # best first
    assert second.boxes[:, 0].tolist() == [4]
    strict = BoxesFile.open(path, DetectorOptions(threshold=0.5))
    assert [len(found) for found in strict.detect(frames)] == [1, 0]
    assert strict.num_dropped == 0


def test_a_file_of_other_photos_is_refused(tmp_path: Path) -> None:
    detector = BoxesFile.open(written(tmp_path / "b.json", document()), DetectorOptions())
    detector.check([])
    detector.check(["x.jpg", "a/één.jpg"])
    detector.check(["clip.mp4"])
    with pytest.raises(InputError, match=r"not 'één.jpg', but 'a/één.jpg'"):
        detector.check(["één.jpg", "zwei.jpg"])
    nothing = BoxesFile.open(written(tmp_path / "none.json", []), DetectorOptions())
    with pytest.raises(InputError, match="nor any other"):
        nothing.check(["x.jpg"])


def test_photos_that_the_file_leaves_out_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "b.json", document())
    detector = BoxesFile.open(path, DetectorOptions())
    detector.check(["a/één.jpg", "empty.jpg", "clip.mp4"])
    assert not caplog.messages
    detector.check(["a/één.jpg", "other.jpg", "clip.mp4", "other.mp4"])
    assert caplog.messages == [
        f"{path} has boxes for 2 of 4 photos and videos: nobody is labelled in the others, such as "
        "'other.jpg'."
    ]


def test_a_source_is_checked_before_it_is_read(tmp_path: Path) -> None:
    detector = BoxesFile.open(written(tmp_path / "b.json", document()), DetectorOptions())
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "a" / "één.jpg").touch()
    (tmp_path / "photos" / "clip.mp4").touch()
    detector.check(open_source([str(tmp_path / "photos")]).media)
    with pytest.raises(InputError, match="names none of the photos"):
        detector.check(open_source([str(tmp_path / "photos" / "a")]).media)


@pytest.mark.parametrize("content", ["", "{}", '{"boxes": []}', '[{"bbox": [1, 2, 3, 4]}]'])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(content)
    with pytest.raises(InputError):
        open_detector(str(path), DetectorOptions())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json"):
        open_detector(str(tmp_path / "none.json"), DetectorOptions())


def test_boxes_with_negative_scores_count_unless_somebody_chose(tmp_path: Path) -> None:
    path = written(
        tmp_path / "boxes.json",
        [
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": score}
            for score in (-0.4, 1.7)
        ],
    )
    for threshold, count in ((None, 2), (0.0, 1), (-0.5, 2)):
        options = DetectorOptions(threshold=threshold, image_names={1: "a.jpg"})
        detector = BoxesFile.open(path, options)
        assert [len(found) for found in detector.detect([frame("a.jpg")])] == [count]
        assert detector.num_dropped == 0
