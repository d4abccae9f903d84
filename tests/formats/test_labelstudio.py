import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from format_cases import (
    COCO,
    LABELLED,
    assert_equal_people,
    bring_back,
    export,
    labels,
    make_run,
    moved,
    people,
    record,
    run_tool,
    tool_python,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelstudio_cases import Task, annotated, regions, tasks_of, write

from vitpose_cli.errors import InputError
from vitpose_cli.formats.labelstudio_export import read
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord


def task_of(tasks: Sequence[Task], name: str) -> Task:
    (found,) = [task for task in tasks if task["data"]["vitpose"]["frame"] == name]
    return found


def test_tasks_and_configuration_fit_each_other(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = tasks_of(run, tmp_path / "out")
    config = ElementTree.fromstring((tmp_path / "out" / "config.xml").read_text())
    tags = {tag.get("name"): tag for tag in config}
    assert [label.get("value") for label in tags["keypoints"]] == list(COCO.names)
    assert [label.get("model_index") for label in tags["keypoints"]] == [*map(str, range(17))]
    # A single radio button could not be taken back on Label Studio's page.
    assert tags["visibility"].get("choice") == "single"
    assert len(tags["visibility"]) == 1
    values = {
        "rectanglelabels": ("people", {"person"}),
        "keypointlabels": ("keypoints", {*COCO.names}),
        "choices": ("visibility", {"hidden"}),
    }
    assert len(tasks) == len(LABELLED)
    for task, expected in zip(tasks, LABELLED, strict=True):
        assert task["data"]["vitpose"] == {
            "frame": str(expected.key),
            "version": expected.version,
            "uids": [*expected.uids],
        }
        result = task["predictions"][0]["result"]
        ids = [each["id"] for each in result if each["type"] != "choices"]
        assert len(ids) == len(set(ids))
        for region in result:
            name, words = values[region["type"]]
            assert region["from_name"] == name
            assert region["to_name"] == "image"
            assert set(region["value"][region["type"]]) <= words
            assert (region["original_width"], region["original_height"]) == (640, 480)
            assert {*expected.uids} >= {region.get("parentID", region["id"])}
            assert all(0 <= region["value"][axis] <= 100 for axis in ("x", "y", "width"))
    assert task_of(annotated(tasks), "fixed ü.jpg")["data"]["image"] == (
        "/data/local-files/?d=fixed%20%C3%BC.jpg"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/", "https://example.org/fixed%20%C3%BC.jpg"),
        ("s3://bucket/photos/", "s3://bucket/photos/fixed ü.jpg"),
    ],
)
def test_photos_in_other_places(tmp_path: Path, url: str, expected: str) -> None:
    options = WriteOptions(url=url)
    written = export(make_run(tmp_path / "run"), "labelstudio", tmp_path / "out", options)
    tasks = json.loads(written.files[1].read_bytes())
    assert task_of(annotated(tasks), "fixed ü.jpg")["data"]["image"] == expected
    (note,) = written.notes
    assert "--extract-frames" in note
    assert "--image-url" not in note


def test_hidden_and_unlabelled_keypoints(tmp_path: Path) -> None:
    model = record("a.jpg", count=1)
    assert model.instances is not None
    (task,) = tasks_of(make_run(tmp_path / "run", [model]), tmp_path / "out")
    result = task["predictions"][0]["result"]
    shown = {
        region["value"]["keypointlabels"][0]: region["id"]
        for region in result
        if region["type"] == "keypointlabels"
    }
    hidden = {region["id"] for region in result if region["type"] == "choices"}
    for name, v in zip(COCO.names, model.instances.visibility[0], strict=True):
        assert (name in shown) == (v > 0)
        assert v == 0 or (shown[name] in hidden) == (v == 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    seed=st.integers(0, 999),
    size_wh=st.tuples(st.integers(640, 5000), st.integers(480, 5000)),  # all inside
    keypoint=st.integers(0, 16),
)
def test_any_labels_survive_the_way_there_and_back(
    tmp_path: Path, counts: list[int], seed: int, size_wh: tuple[int, int], keypoint: int
) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    records = [
        FrameRecord(FrameKey(f"{place}.jpg"), size_wh, None, people(count, seed + place))
        for place, count in enumerate([*counts, 2])
    ]
    run = make_run(folder / "run", records)
    tasks = annotated(tasks_of(run, folder / "out"))
    assert bring_back(run, write(folder / "1.json", tasks), "labelstudio").count(
        "unchanged"
    ) == len(records)
    corrected = [
        region
        for region in regions(tasks[-1])
        if region["id"] == f"{records[-1].uids[1]}-{keypoint}" and region["type"] != "choices"
    ]
    for region in corrected:
        region["value"]["x"] += 100 * 3 / size_wh[0]
    summary = bring_back(run, write(folder / "2.json", tasks), "labelstudio", accept_unchanged=True)
    assert summary.count("changed") == len(corrected)
    for before in records:
        after = labels(run)[str(before.key)]
        assert before.instances is not None
        assert after.instances is not None
        assert after.uids == before.uids
        if before is not records[-1]:
            assert_equal_people(after.instances, before.instances)
            continue
        expected = moved(before.instances, 1, keypoint, (3 * len(corrected), 0))
        np.testing.assert_allclose(after.instances.keypoints, expected.keypoints, atol=0.011)
        np.testing.assert_array_equal(after.instances.visibility, expected.visibility)
        np.testing.assert_array_equal(after.instances.boxes, before.instances.boxes)


def test_people_come_and_go(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    gone = labels(run)["b/one.jpg"].uids[0]
    task = task_of(tasks, "b/one.jpg")
    task["annotations"][0]["result"] = [
        each for each in regions(task) if gone not in (each["id"], each.get("parentID"))
    ]
    common = {"to_name": "image", "original_width": 640, "original_height": 480}
    box = {"x": 80, "y": 60, "width": 15, "height": 30, "rotation": 0}
    empty = task_of(tasks, "empty.jpg")
    empty["annotations"][0]["result"] = [
        {"id": "xYz", "type": "rectanglelabels", "value": {**box, "rectanglelabels": ["person"]}},
        {
            "id": "k1",
            "type": "keypointlabels",
            "value": {"x": 85, "y": 65, "keypointlabels": ["nose"]},
        },
        {
            "id": "k2",
            "type": "keypointlabels",
            "value": {"x": 1, "y": 1, "keypointlabels": ["nose"]},
        },
        {
            "id": "k3",
            "type": "keypointlabels",
            "value": {"x": 85, "y": 65, "keypointlabels": ["fin"]},
        },
        {"id": "b", "type": "brushlabels", "value": {"rle": [], "brushlabels": ["x"]}},
    ]
    for region in regions(empty):
        region |= common
    regions(empty).append({"type": "relation", "from_id": "k1", "to_id": "k2", "labels": []})
    summary = bring_back(run, write(tmp_path / "o.json", tasks), "labelstudio")
    assert summary.as_dict()["people"] == {"changed": 0, "added": 1, "removed": 1}
    assert summary.num_ignored == 3
    added = labels(run)["empty.jpg"].instances
    assert added is not None
    np.testing.assert_allclose(added.boxes, [[512, 288, 608, 432]], atol=1e-3)
    np.testing.assert_allclose(added.keypoints[0, 0], (544, 312), atol=1e-3)
    assert added.visibility[0].tolist() == [2] + 16 * [0]


def test_a_keypoint_that_a_person_has_twice_is_the_exported_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = labels(run)["a/two.png"]
    assert before.instances is not None
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    task = task_of(tasks, "a/two.png")
    (nose,) = [each for each in regions(task) if each["id"] == f"{before.uids[0]}-0"]
    eye = next(each for each in regions(task) if each["id"] == f"{before.uids[0]}-1")
    for name, its_id in (("left_eye", nose["id"]), ("nose", eye["id"]), ("nose", "drawn")):
        nose["value"]["keypointlabels"] = eye["value"]["keypointlabels"] = ["nose"]
        eye["value"]["keypointlabels"] = ["left_eye"]
        regions(task)[:] = [each for each in regions(task) if each["id"] != "drawn"]
        if its_id == "drawn":  # another nose, ahead of the exported one
            value = {**nose["value"], "x": nose["value"]["x"] + 3}
            regions(task).insert(0, {**nose, "id": "drawn", "value": value})
        else:
            relabelled = next(each for each in regions(task) if each["id"] == its_id)
            relabelled["value"]["keypointlabels"] = [name]
        summary = bring_back(run, write(tmp_path / "o.json", tasks), "labelstudio", dry_run=True)
        assert summary.as_dict()["repeated_keypoints"] == [
            f"task {task['id']}: a person has {name!r} twice"
        ]
        assert summary.num_ignored == 1
        changed = [each.record for each in summary.decisions if each.record is not None]
        if its_id == "drawn":
            assert changed == []
        else:
            (after,) = changed
            assert after.instances is not None
            kept = np.arange(17) != (0 if name == "left_eye" else 1)
            is_same = (after.instances.keypoints == before.instances.keypoints).all(axis=-1)
            assert is_same[0, kept].all()
            assert after.instances.visibility[0, ~kept].tolist() == [0]


def test_only_what_somebody_submitted_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    untouched, skipped, twice = tasks[0], tasks[1], tasks[2]
    untouched["annotations"] = []
    skipped["annotations"][0] |= {"was_cancelled": True, "result": []}
    older = {**twice["annotations"][0], "result": [], "updated_at": "2025-01-01T00:00:00Z"}
    twice["annotations"] = [twice["annotations"][0], older]
    summary = bring_back(run, write(tmp_path / "o.json", tasks), "labelstudio")
    assert summary.count("unchanged") == len(LABELLED) - 2
    assert summary.total("num_removed") == 0
    assert summary.as_dict()["overruled"] == [f"task {twice['id']}"]


def test_whose_keypoint_it_is_can_be_what_two_annotators_disagree_about(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    twice = next(task for task in tasks if len({owner(each) for each in regions(task)}) == 3)
    first, second = sorted({owner(each) for each in regions(twice)} - {""})
    older = json.loads(json.dumps(twice["annotations"][0])) | {"updated_at": "2025-01-01T00:00:00Z"}
    for region in older["result"]:
        if owner(region) in (first, second):
            region["parentID"] = second if owner(region) == first else first
    same = json.loads(json.dumps(twice["annotations"][0])) | {"updated_at": "2025-01-01T00:00:00Z"}
    for other, overruled in ((older, [f"task {twice['id']}"]), (same, [])):
        twice["annotations"] = [twice["annotations"][0], other]
        summary = bring_back(run, write(tmp_path / "o.json", tasks), "labelstudio")
        assert summary.as_dict()["overruled"] == overruled


def owner(region: Task) -> str:
    return str(region.get("parentID", ""))


@pytest.mark.parametrize(
    "url",
    [
        "/data/local-files/?d=photos/a/one.jpg",
        "/data/upload/3/0123abcd-one.jpg",
        "s3://bucket/photos/a/one.jpg",
        "https://example.org/photos/a/one.jpg?signature=1",
    ],
)
def test_tasks_that_were_made_elsewhere(tmp_path: Path, url: str) -> None:
    run = make_run(tmp_path / "run", [record("a/one.jpg")])
    (task,) = annotated(tasks_of(run, tmp_path / "out"))
    task["data"] = {"photo": url}
    for region in regions(task):
        if region["type"] == "rectanglelabels":
            region["id"] = f"new-{region['id']}"
        else:
            region["parentID"] = f"new-{region['parentID']}"
    summary = bring_back(run, write(tmp_path / "o.json", [task]), "labelstudio")
    assert [each.outcome for each in summary.decisions] == ["unchanged"]


def test_turned_rectangles_become_boxes_round_them(tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "width": 20, "height": 10, "rotation": 90, "rectanglelabels": ["p"]}
    size = {"original_width": 200, "original_height": 400}
    region = {"id": "r", "type": "rectanglelabels", "value": value, **size}
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [region]}]}
    (frame,) = read(write(tmp_path / "o.json", [task]), COCO.names).frames
    assert frame.people[0].box is not None
    # 40 x 40 px, turned clockwise about (100, 200), lies to the left of it.
    np.testing.assert_allclose(frame.people[0].box, [60, 200, 100, 240], atol=1e-9)


@pytest.mark.parametrize(
    "value",
    [
        [{"image": "a.jpg", "keypoints": []}],
        {"images": []},
        [{"data": {}, "annotations": [{"result": [{"type": "rectanglelabels"}]}]}],
        [{"data": {}, "annotations": [{"result": ["text"]}]}],
    ],
)
def test_what_is_no_export(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match=r"no export|damaged") as caught:
        read(write(tmp_path / "o.json", value), COCO.names)
    assert "JSON" in caught.value.hint


LABEL_STUDIO = """
import json, sys
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
config = open(sys.argv[1] + "/config.xml", encoding="utf-8").read()
interface = LabelInterface(config)
interface.validate()
for task in json.load(open(sys.argv[1] + "/tasks.json", encoding="utf-8")):
    for prediction in task["predictions"]:
        assert not interface.validate_prediction(prediction, return_errors=True), task
converter = Converter(config=config, project_dir=".", download_resources=False)
converter.convert_to_yolo(sys.argv[2], sys.argv[3] + "/yolo", is_dir=False)
converter.convert_to_coco(sys.argv[2], sys.argv[3] + "/coco", is_dir=False)
"""


def test_label_studios_own_code_reads_them(tmp_path: Path) -> None:
    python = tool_python("LABEL_STUDIO_PYTHON", "label_studio_sdk")
    records = [record("a/one.jpg", count=1), record("a/two.jpg", count=2)]
    run = make_run(tmp_path / "run", records)
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    exported = write(tmp_path / "export.json", tasks)
    run_tool(python, LABEL_STUDIO, tmp_path / "out", exported, tmp_path)

    for each in records:
        found = (tmp_path / "yolo" / "labels" / f"{Path(each.key.media).stem}.txt").read_text()
        rows = np.array([line.split() for line in found.splitlines()], np.float64)
        assert each.instances is not None
        shown = each.instances.visibility > 0
        sides = each.instances.boxes[:, 2:] - each.instances.boxes[:, :2]
        np.testing.assert_allclose(rows[:, 3:5] * (640, 480), sides, atol=0.02)
        points = rows[:, 5:].reshape(-1, 17, 3)
        np.testing.assert_array_equal(points[..., 2] > 0, shown)
        np.testing.assert_allclose(
            points[shown][:, :2] * (640, 480), each.instances.keypoints[shown], atol=0.01
        )
    result = tmp_path / "coco" / "result.json"
    with pytest.raises(InputError, match="COCO file of Label Studio"):
        bring_back(run, result, "coco")
    document = json.loads(result.read_bytes())
    first = document["images"][0]["id"]
    (person,) = [
        each
        for each in document["annotations"]
        if each["image_id"] == first and "keypoints" in each
    ]
    assert records[0].instances is not None
    assert person["num_keypoints"] == (records[0].instances.visibility > 0).sum()
