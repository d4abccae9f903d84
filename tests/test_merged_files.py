"""Annotation files that are merged keep what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from label_cases import make_fixed
from merge_cases import make_run, of_model
from runs import save_photos, vitpose

from vitpose_cli.merge import MergeOptions, merge_labels
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.validate import validate
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.sources import open_source


def write_truth(path: Path, name: str, **fields: Any) -> list[dict[str, Any]]:
    """Write a file as other programs do: a person and a crowd, of which nobody is said to be."""
    place = {"image_id": 7, "category_id": 5}
    outline = [[20, 20, 100, 20, 100, 100]]
    person = {
        **place, "id": 3, "bbox": [20, 20, 80, 80], "area": 2222.5, "iscrowd": 0,
        "segmentation": outline, "keypoints": [30, 30, 2] * 17, "num_keypoints": 17, "note": "tall",
    }  # fmt: skip
    crowd = {
        **place, "id": 9, "bbox": [100, 100, 80, 80], "area": 5000, "iscrowd": 1,
        "segmentation": {"size": [200, 200], "counts": [0, 40000]}, "keypoints": [0] * 51,
        "num_keypoints": 0,
    }  # fmt: skip
    annotations = [crowd, person | fields]
    image = {"id": 7, "file_name": name, "width": 200, "height": 200}
    category = {**keypoint_set("coco").to_category(), "id": 5}
    path.write_text(
        json.dumps({"images": [image], "annotations": annotations, "categories": [category]})
    )
    return annotations


def test_files_give_a_file_with_all_that_their_annotations_hold(tmp_path: Path) -> None:
    first = write_truth(tmp_path / "a.json", "a.jpg")
    marked = {"source": "model", "model": "aa", "uid": "somebody", "shade": 3}
    second = write_truth(tmp_path / "b.json", "b.jpg", attributes=marked)
    run = make_run(tmp_path / "run", of_model("c.jpg", "cc"))
    inputs = (tmp_path / "a.json", tmp_path / "b.json", run)
    merge_labels(MergeOptions(inputs, tmp_path / "out.json"))
    document = json.loads((tmp_path / "out.json").read_bytes())
    assert [each["id"] for each in document["annotations"]] == [1, 2, 3, 4, 5, 6]
    changed = ("id", "image_id", "category_id", "attributes")
    for place, (made, given) in enumerate(
        zip(document["annotations"], [*first, *second], strict=False)
    ):
        assert {name: made[name] for name in given if name not in changed} == {
            name: given[name] for name in given if name not in changed
        }
        assert made["image_id"] == 1 + place // 2
        assert "score" not in made
    attributes = [each["attributes"] for each in document["annotations"]]
    assert attributes[0] == attributes[2] == {}
    assert attributes[1].keys() == {"uid"}
    assert attributes[3] == marked
    assert attributes[4]["source"] == "model"
    assert not validate(tmp_path / "out.json").num_errors

    options = MergeOptions(inputs, tmp_path / "human.json", human=inputs[:1])
    merge_labels(options)
    document = json.loads((tmp_path / "human.json").read_bytes())
    assert document["annotations"][1]["attributes"]["source"] == "human"
    assert document["annotations"][1]["area"] == 2222.5


def test_files_give_a_file_with_the_fields_and_licences_of_their_photos(tmp_path: Path) -> None:
    by, share = {"name": "CC BY", "url": "http://by"}, {"name": "CC BY-SA", "url": "http://sa"}
    tables = [
        [{"id": 4, **by}, {"id": 5, **share}],
        [{"id": 4, **share}, {"id": 9, "name": "own"}],
        None,
    ]
    licences = [4, 4, 4]
    paths = [tmp_path / f"{name}.json" for name in "abc"]
    for path, table, licence in zip(paths, tables, licences, strict=True):
        write_truth(path, f"{path.stem}.jpg")
        document = json.loads(path.read_bytes())
        size = {"width": 640, "height": 480}
        document["images"][0] |= {**size, "license": licence, "coco_url": f"http://{path.stem}"}
        document["licenses"] = table
        path.write_text(json.dumps(document))
    run = make_run(tmp_path / "run", make_fixed("a.jpg"))
    merge_labels(MergeOptions((*paths, run), tmp_path / "out.json"))
    document = json.loads((tmp_path / "out.json").read_bytes())
    assert document["licenses"] == [
        {"id": 4, **by},
        {"id": 5, **share},
        {"id": 9, "name": "own"},
    ]
    images = document["images"]
    assert [image["license"] for image in images] == [4, 5, 4]  # the last is of no list
    assert [image["coco_url"] for image in images] == ["http://a", "http://b", "http://c"]
    assert document["annotations"][0]["attributes"]["source"] == "human"  # of the run
    assert images[0]["review"] == "fixed"
    assert not validate(tmp_path / "out.json").num_errors


def test_training_believes_a_merged_file_as_its_inputs(tmp_path: Path) -> None:
    names = save_photos(tmp_path / "photos", 2, (200, 200))
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, name in zip(files, names, strict=True):
        write_truth(file, name)
    merge_labels(MergeOptions(tuple(files), tmp_path / "out.json"))
    for file, count in ((files[0], 1), (tmp_path / "out.json", 2)):
        options = CocoSource(
            kind="coco", annotations=file, images=tmp_path / "photos", include="human"
        )
        people = open_source(options).frames.people
        assert people.weights.shape[0] == count
        assert {*people.weights.ravel().tolist()} == {1.0}


def test_what_a_run_has_no_place_for_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_truth(tmp_path / f"{name}.json", f"{name}.jpg")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    done = vitpose("merge", *files, "-o", tmp_path / "run", "--human", files[0])
    assert done.returncode == 0, done.stderr
    assert "crowds (2), outlines (2)" in done.stderr
    assert "1 person of files that do not say who labelled them" in done.stderr
    done = vitpose("merge", *files, "-o", tmp_path / "out.json", "--json")
    found = json.loads(done.stdout)
    assert (found["num_unmarked"], found["left_out"]) == (0, {})
