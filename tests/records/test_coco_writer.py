import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from record_cases import CATEGORY, make_failure, make_fixed, make_instances, make_record

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import instances_of, read_coco
from vitpose_cli.records.coco_writer import DocumentSize, write_document
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.validate import validate

RECORDS = [
    make_record("a b.jpg"),
    make_failure("bad.jpg"),
    make_record("clip.mp4", 0, instances=make_instances(2, track_ids=np.array([3, 8]))),
    make_record("clip.mp4", 5, count=1),
    make_record("empty.png", count=0),
    make_fixed("sub/ü.jpg"),
    make_record("other.mp4", 0),
]


def write(folder: Path, records: list[FrameRecord]) -> Path:
    path = folder / "annotations.json"
    write_document(records, path, CATEGORY, {"description": "a test"})
    return path


def document_of(folder: Path, records: list[FrameRecord]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(write(folder, records).read_bytes())
    return document


def test_what_a_document_holds(tmp_path: Path) -> None:
    document = document_of(tmp_path, RECORDS)
    assert list(document) == [
        "info",
        "licenses",
        "categories",
        "images",
        "annotations",
        "videos",
    ]
    assert document["images"][0] == {"id": 1, "file_name": "a b.jpg", "width": 640, "height": 480}
    assert document["images"][2] == {
        "id": 3,
        "file_name": "clip.mp4/frame_000005.jpg",
        "width": 640,
        "height": 480,
        "video_id": 1,
        "frame_id": 5,
        "timestamp": 0.2,
    }
    assert [image["id"] for image in document["images"]] == [1, 2, 3, 4, 5, 6]
    assert [video["name"] for video in document["videos"]] == ["clip.mp4", "other.mp4"]
    annotations = document["annotations"]
    assert [each["id"] for each in annotations] == list(range(1, 9))
    assert [each["image_id"] for each in annotations] == [1, 1, 2, 2, 3, 5, 6, 6]
    assert annotations[2]["attributes"] == {
        "uid": RECORDS[2].uids[0],
        "source": "model",
        "model": "0123456789abcdef",
        "track_id": 3,
    }
    assert annotations[5]["attributes"]["source"] == "human"


def test_hidden_keypoints_are_zero_and_keep_their_scores(tmp_path: Path) -> None:
    people = make_instances(1, seed=3)
    annotation = document_of(tmp_path, [make_record(instances=people)])["annotations"][0]
    points = np.reshape(annotation["keypoints"], (17, 3))
    hidden = people.visibility[0] == 0
    assert hidden.any()
    assert not points[hidden].any()
    np.testing.assert_allclose(points[~hidden, :2], people.keypoints[0, ~hidden], atol=0.0051)
    np.testing.assert_allclose(
        annotation["keypoint_scores"], people.keypoint_scores[0], atol=5.1e-5
    )
    assert annotation["num_keypoints"] == (~hidden).sum()
    assert annotation["score"] == pytest.approx(float(people.scores[0]), abs=1e-4)


def test_what_a_model_puts_outside_of_the_picture_is_not_labelled(tmp_path: Path) -> None:
    people = make_instances(1, seed=3)
    keypoints, visibility = people.keypoints.copy(), np.full_like(people.visibility, 2)
    keypoints[0, :3] = (-0.5, 20), (640, 480), (10, 480.5)  # 640 x 480: the corner is inside
    people = replace(people, keypoints=keypoints, visibility=visibility)
    annotation = document_of(tmp_path, [make_record(instances=people)])["annotations"][0]
    assert annotation["keypoints"][:9] == [0, 0, 0, 640, 480, 2, 0, 0, 0]
    assert annotation["num_keypoints"] == 15
    assert validate(tmp_path / "annotations.json").num_warnings == 0

    # Nor does it become a label by the person who accepts the frame, unless they put it there.
    scores = people.keypoint_scores.copy()
    scores[0, :3] = (1, 0.5, 1.08)  # a peak of a heatmap may be higher than 1
    people = replace(people, keypoint_scores=scores)
    accepted = make_record(instances=people, review=Review("accepted"))
    annotation = document_of(tmp_path, [accepted])["annotations"][0]
    assert annotation["keypoints"][:9] == [-0.5, 20, 2, 640, 480, 2, 0, 0, 0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    box=st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4),
    size_wh=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
)
def test_any_box_ends_up_inside_of_the_picture(
    tmp_path: Path, box: list[float], size_wh: tuple[int, int]
) -> None:
    people = make_instances(1)
    moved = replace(people, boxes=np.array([box], np.float32))
    record = FrameRecord(FrameKey("a.jpg"), size_wh, None, moved)
    annotation = document_of(tmp_path, [record])["annotations"][0]
    x, y, width, height = annotation["bbox"]
    assert x >= 0
    assert y >= 0
    assert x + width <= size_wh[0] + 1e-9
    assert y + height <= size_wh[1] + 1e-9
    assert annotation["area"] == pytest.approx(width * height, abs=1e-4)
    assert width >= 1
    assert height >= 1
    assert validate(tmp_path / "annotations.json").num_errors == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(counts=st.lists(st.integers(0, 3), max_size=6), seed=st.integers(0, 999))
def test_a_document_is_read_as_it_was_written(tmp_path: Path, counts: list[int], seed: int) -> None:
    records = [
        make_record(f"{number}.jpg", instances=make_instances(count, seed + number))
        for number, count in enumerate(counts)
    ]
    path = write(tmp_path, records)
    assert validate(path).counts == {}
    document = read_coco(path)
    grouped = document.by_image()
    for record, (image_id, key) in zip(records, document.keys().items(), strict=True):
        assert key == record.key
        people = record.instances
        assert people is not None
        back = instances_of(grouped[image_id], 17, record.uids)
        shown = people.visibility > 0
        np.testing.assert_array_equal(back.visibility, people.visibility)
        np.testing.assert_array_equal(back.keypoints[shown], people.keypoints[shown])
        np.testing.assert_array_equal(back.keypoint_scores, people.keypoint_scores)
        np.testing.assert_allclose(back.boxes, people.boxes, atol=1e-4)
        np.testing.assert_allclose(back.scores, people.scores, atol=1e-4)


def test_nothing_at_all_is_a_valid_document(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    assert write_document([], path, CATEGORY, {}) == DocumentSize(0, 0)
    assert validate(path).counts == {}


def test_an_accepted_empty_frame_says_so(tmp_path: Path) -> None:
    accepted = make_record("a.jpg", count=0, review=Review("accepted"))
    rejected = make_record("b.jpg", review=Review("rejected"))
    document = document_of(tmp_path, [accepted, rejected])
    assert [image.get("review") for image in document["images"]] == ["accepted"]
    assert document["annotations"] == []


def test_everything_we_write_is_valid(tmp_path: Path) -> None:
    report = validate(write(tmp_path, RECORDS))
    assert report.counts == {}
    assert (report.num_images, report.num_annotations) == (6, 8)


def test_pycocotools_measures_a_document_against_itself(tmp_path: Path) -> None:
    path = write(tmp_path, RECORDS)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        results = [
            {
                "image_id": each["image_id"],
                "category_id": each["category_id"],
                "keypoints": each["keypoints"],
                "score": each["score"],
            }
            for each in truth.dataset["annotations"]
        ]
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0, abs=1e-9)
    assert evaluation.stats[5] == pytest.approx(1.0, abs=1e-9)


IMPORT_WITH_DATUMARO = """
import json, sys
from datumaro.components.dataset import Dataset
dataset = Dataset.import_from(sys.argv[1], "coco_person_keypoints")
print(json.dumps({
    item.id: [
        [label.attributes["uid"], list(label.points), [int(v) for v in label.visibility]]
        for label in item.annotations
        if type(label).__name__ == "Points"
    ]
    for item in dataset
}))
"""


def test_datumaro_imports_everything(tmp_path: Path) -> None:
    """datumaro is CVAT's importer; it wants another OpenCV and so an environment of its own."""
    python = os.environ.get("DATUMARO_PYTHON", sys.executable)
    has_it = subprocess.run([python, "-c", "import datumaro"], capture_output=True, check=False)
    if has_it.returncode:
        pytest.skip("needs datumaro: set DATUMARO_PYTHON to a Python that has it")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images" / "train").mkdir(parents=True)
    path = write(tmp_path, RECORDS)
    path.rename(tmp_path / "annotations" / "person_keypoints_train.json")
    command = [python, "-c", IMPORT_WITH_DATUMARO, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout.splitlines()[-1])

    labelled = {str(each.key): each for each in RECORDS if each.instances is not None}
    assert set(items) == {name.rsplit(".", 1)[0] for name in labelled}
    for name, record in labelled.items():
        skeletons = items[name.rsplit(".", 1)[0]]
        people = record.instances
        assert people is not None
        assert {uid for uid, _, _ in skeletons} == set(record.uids)
        for uid, points, visibility in skeletons:
            position = record.uids.index(uid)  # datumaro keeps no order
            shown = people.visibility[position]
            assert visibility == shown.tolist()
            expected = np.where(shown[:, None] > 0, people.keypoints[position], 0)
            np.testing.assert_allclose(np.reshape(points, (17, 2)), expected, atol=1e-4)
