import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from format_cases import (
    COCO,
    PHOTOS,
    bring_back,
    export,
    labels,
    make_run,
    record,
    run_tool,
    tool_python,
)

from vitpose_cli.errors import InputError
from vitpose_cli.formats.table import format_of
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.records.validate import validate


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for each in PHOTOS:
        path = tmp_path / "photos" / each.key.media
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", np.zeros((480, 640), np.uint8))[1].tobytes())
    return make_run(tmp_path / "run", PHOTOS, sources=(str(tmp_path / "photos"),))


def as_fiftyone_exports(
    source: dict[str, Any], *, categories: bool, visible: bool = False
) -> dict[str, Any]:
    """Return what `COCODetectionDatasetExporter` writes of a field of keypoints.

    Whole pixels, no boxes, attributes one level up, no folders, no skeleton unless it is given; all
    keypoints visible, unless it keeps v of each, as it does since the end of 2023.
    """
    fields = ("uid", "version", "source", "model")
    names = {image["id"]: image["file_name"].rpartition("/")[2] for image in source["images"]}
    return {
        "info": {"url": "https://voxel51.com/fiftyone"},
        "licenses": [],
        "categories": source["categories"]
        if categories
        else [{"id": 1, "name": "person", "supercategory": None}],
        "images": [
            {"id": each["id"], "file_name": names[each["id"]], "width": 640, "height": 480}
            for each in source["images"]
        ],
        "annotations": [
            {
                "id": each["id"],
                "image_id": each["image_id"],
                "category_id": 1,
                "keypoints": [
                    value
                    for x, y, v in zip(*[iter(each["keypoints"])] * 3, strict=True)
                    for value in (int(x), int(y), 2 if v and not visible else v)
                ],
                "num_keypoints": 17,
                "iscrowd": 0,
                "score": [],
                **{name: each["attributes"].get(name) for name in fields},
            }
            for each in source["annotations"]
        ],
    }


def test_the_layout_that_its_importer_reads(run: Path, tmp_path: Path) -> None:
    written = export(run, "fiftyone", tmp_path / "out", WriteOptions())
    assert written.notes == ()
    document = json.loads((tmp_path / "out" / "labels.json").read_bytes())
    assert validate(tmp_path / "out" / "labels.json").counts == {}
    for image in document["images"]:
        assert (tmp_path / "out" / "data" / image["file_name"]).is_file()
        assert (image["width"], image["height"]) == (640, 480)
    skeleton = document["info"]["default_skeleton"]
    assert skeleton["labels"] == list(COCO.names)
    assert skeleton["edges"] == [list(edge) for edge in COCO.edges]
    assert "url" not in document["info"]  # else its exports have this one, and are not known by it
    for annotation in document["annotations"]:
        flat = {name for name in annotation if name != "attributes"}
        assert not flat & {*annotation["attributes"]}  # it flattens them, and the last one wins
        assert "confidence" not in annotation["attributes"]  # taken by the importer itself


@pytest.mark.parametrize("categories", [True, False])
def test_what_fiftyone_changes_by_itself_is_no_correction(
    run: Path, tmp_path: Path, categories: bool
) -> None:
    export(run, "fiftyone", tmp_path / "out", WriteOptions())
    source = json.loads((tmp_path / "out" / "labels.json").read_bytes())
    back = as_fiftyone_exports(source, categories=categories)
    (tmp_path / "labels.json").write_text(json.dumps(back))
    assert bring_back(run, tmp_path, "fiftyone").count("unchanged") == len(PHOTOS)
    before = PHOTOS[0].instances
    assert before is not None
    assert (before.visibility == 1).any()
    person = back["annotations"][1]
    person["keypoints"][0] += 4
    (tmp_path / "labels.json").write_text(json.dumps(back))
    summary = bring_back(run, tmp_path / "labels.json", "fiftyone")
    assert summary.as_dict()["people"] == {"changed": 1, "added": 0, "removed": 0}
    assert summary.as_dict()["keypoints_changed"] == 1
    after = labels(run)["a/one.jpg"].instances
    assert after is not None
    np.testing.assert_array_equal(after.visibility, before.visibility)
    assert after.keypoints[1, 0, 0] == person["keypoints"][0]
    np.testing.assert_array_equal(after.keypoints[:, 1:], before.keypoints[:, 1:])
    np.testing.assert_array_equal(after.boxes, before.boxes)


def test_keypoints_that_were_deleted_placed_hidden_and_shown(run: Path, tmp_path: Path) -> None:
    before = PHOTOS[0].instances
    assert before is not None
    seen, hidden, missing = (int(np.flatnonzero(before.visibility[1] == v)[0]) for v in (2, 1, 0))
    export(run, "fiftyone", tmp_path / "out", WriteOptions())
    source = json.loads((tmp_path / "out" / "labels.json").read_bytes())
    back = as_fiftyone_exports(source, categories=False, visible=True)
    (tmp_path / "labels.json").write_text(json.dumps(back))
    assert bring_back(run, tmp_path, "fiftyone").count("unchanged") == len(PHOTOS)
    points = back["annotations"][1]["keypoints"]
    also = int(np.flatnonzero(before.visibility[1] == 2)[1])
    points[3 * seen : 3 * seen + 2] = 0, 0  # v stays 2
    points[3 * missing : 3 * missing + 2] = 190, 100  # v stays 0
    points[3 * hidden + 2], points[3 * also + 2] = 2, 1
    (tmp_path / "labels.json").write_text(json.dumps(back))
    summary = bring_back(run, tmp_path, "fiftyone")
    assert (summary.count("changed"), summary.total("num_keypoints")) == (1, 4)
    after = labels(run)["a/one.jpg"].instances
    assert after is not None
    expected = before.visibility.copy()
    expected[1, [seen, hidden, missing, also]] = 0, 2, 2, 1
    np.testing.assert_array_equal(after.visibility, expected)
    assert after.keypoints[1, missing].tolist() == [190, 100]
    rest = np.arange(17) != missing
    np.testing.assert_array_equal(after.keypoints[:, rest], before.keypoints[:, rest])
    np.testing.assert_array_equal(after.boxes[1, :2], before.boxes[1, :2])  # not drawn to (0, 0)


def test_a_keypoint_in_the_first_pixel_is_still_there(tmp_path: Path) -> None:
    one = PHOTOS[0]
    assert one.instances is not None
    points = one.instances.keypoints.copy()
    points[0, 0] = 0.4, 0.7
    run = make_run(
        tmp_path / "run", [replace(one, instances=replace(one.instances, keypoints=points))]
    )
    export(run, "coco", tmp_path / "out.json")
    source = json.loads((tmp_path / "out.json").read_bytes())
    back = as_fiftyone_exports(source, categories=False, visible=True)
    assert back["annotations"][0]["keypoints"][:3] == [0, 0, 2]
    (tmp_path / "labels.json").write_text(json.dumps(back))
    assert bring_back(run, tmp_path, "fiftyone").count("unchanged") == 1


def test_who_was_drawn_in_fiftyone_has_the_keypoints_that_have_a_place(
    run: Path, tmp_path: Path
) -> None:
    export(run, "fiftyone", tmp_path / "out", WriteOptions())
    source = json.loads((tmp_path / "out" / "labels.json").read_bytes())
    back = as_fiftyone_exports(source, categories=False, visible=True)
    drawn = {"id": 99, "image_id": 1, "category_id": 1, "iscrowd": 0}
    points = [500, 300, 0, 0, 0, 2, *[510, 340, 2] * 15]
    back["annotations"].append(drawn | {"keypoints": points})
    (tmp_path / "labels.json").write_text(json.dumps(back))
    assert bring_back(run, tmp_path, "fiftyone").total("num_added") == 1
    after = labels(run)["a/one.jpg"].instances
    assert after is not None
    assert after.visibility[-1].tolist() == [2, 0, *[2] * 15]


def test_people_without_a_visible_keypoint_are_not_removed(run: Path, tmp_path: Path) -> None:
    people = PHOTOS[0].instances
    assert people is not None
    unseen = replace(people, visibility=np.zeros((2, 17), np.int8))
    run = make_run(tmp_path / "unseen", (replace(PHOTOS[0], instances=unseen), *PHOTOS[1:]))
    options = WriteOptions(images=tmp_path / "photos")
    export(run, "fiftyone", tmp_path / "out", options)
    assert bring_back(run, tmp_path / "out", "fiftyone").count("unchanged") == len(PHOTOS)
    source = json.loads((tmp_path / "out" / "labels.json").read_bytes())
    back = as_fiftyone_exports(source, categories=False)
    (tmp_path / "labels.json").write_text(json.dumps(back))
    assert bring_back(run, tmp_path, "fiftyone").count("unchanged") == len(PHOTOS)


def test_what_is_no_export_of_fiftyone(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder, but no dataset of FiftyOne"):
        bring_back(run, tmp_path, "fiftyone")
    labels = tmp_path / "labels.json"
    labels.write_text("[1]")
    with pytest.raises(InputError, match="not a COCO annotation file") as caught:
        bring_back(run, tmp_path, "fiftyone")
    assert str(labels) in caught.value.message
    labels.write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(InputError) as caught:
        bring_back(run, tmp_path, "fiftyone")
    assert caught.value.message.startswith(str(labels))


FIFTYONE = """
import json, sys
import fiftyone.core.odm as foo
import fiftyone.utils.coco as fouc
importer = fouc.COCODetectionDatasetImporter(
    dataset_dir=sys.argv[1], label_types=["detections", "keypoints"]
)
importer.setup()
info = importer.get_dataset_info()
skeleton = info["default_skeleton"]
skeleton = foo.DatasetDocument().field_to_python("default_skeleton", skeleton)
exporter = fouc.COCODetectionDatasetExporter(
    export_dir=sys.argv[2], export_media=False, info=info
)
found = {}
with importer, exporter:
    for path, metadata, label in importer:
        people = (label or {}).get("keypoints")  # none where nobody is
        exporter.export_sample(path, people, metadata=metadata)
        found[path] = [metadata.width, metadata.height] + [
            [person.uid, person.points, person.visible]
            for person in (people.keypoints if people else ())
        ]
print(json.dumps([skeleton.labels, skeleton.edges]))
print(json.dumps(found))
"""


def test_the_way_through_fiftyones_own_code(run: Path, tmp_path: Path) -> None:
    python = tool_python("FIFTYONE_PYTHON", "fiftyone")
    export(run, "fiftyone", tmp_path / "out", WriteOptions())
    printed = run_tool(python, FIFTYONE, tmp_path / "out", tmp_path / "back")
    skeleton, found = map(json.loads, printed.splitlines()[-2:])
    assert skeleton == [list(COCO.names), [list(edge) for edge in COCO.edges]]
    assert len(found) == len(PHOTOS)
    for each in PHOTOS:
        (path,) = [path for path in found if path.endswith("/data/" + each.key.media)]
        width, height, *people = found[path]
        assert (width, height) == (640, 480)
        assert [uid for uid, _, _ in people] == list(each.uids)
        assert each.instances is not None
        for row, (_, points, visible) in enumerate(people):
            assert visible == each.instances.visibility[row].tolist()
            shown = each.instances.visibility[row] > 0
            np.testing.assert_allclose(
                np.array(points)[shown] * (640, 480),
                each.instances.keypoints[row][shown],
                atol=0.01,
            )
            assert np.isnan(np.array(points)[~shown]).all()
    assert format_of(tmp_path / "back" / "labels.json") == "fiftyone"
    summary = bring_back(run, tmp_path / "back", "fiftyone")
    assert summary.count("unchanged") == len(PHOTOS)


EDITS = """
import sys
import fiftyone.utils.coco as fouc
importer = fouc.COCODetectionDatasetImporter(dataset_dir=sys.argv[1], label_types=["keypoints"])
importer.setup()
exporter = fouc.COCODetectionDatasetExporter(export_dir=sys.argv[2], export_media=False)
with importer, exporter:
    for path, metadata, people in importer:
        for person in people.keypoints if people else ():
            if person.uid == sys.argv[3]:
                seen, hidden, missing = map(person.visible.index, (2, 1, 0))
                points, visible = list(person.points), list(person.visible)
                points[seen] = [float("nan")] * 2
                points[missing] = [190 / 640, 100 / 480]
                visible[hidden] = 2
                person.points, person.visible = points, visible
        exporter.export_sample(path, people, metadata=metadata)
"""


def test_edits_in_fiftyones_own_code(run: Path, tmp_path: Path) -> None:
    python = tool_python("FIFTYONE_PYTHON", "fiftyone")
    before = PHOTOS[0].instances
    assert before is not None
    export(run, "fiftyone", tmp_path / "out", WriteOptions())
    run_tool(python, EDITS, tmp_path / "out", tmp_path / "back", PHOTOS[0].uids[1])
    summary = bring_back(run, tmp_path / "back", "fiftyone")
    assert (summary.count("changed"), summary.total("num_keypoints")) == (1, 3)
    after = labels(run)["a/one.jpg"].instances
    assert after is not None
    was = before.visibility[1].tolist()
    places = [was.index(v) for v in (2, 1, 0)]
    assert after.visibility[1, places].tolist() == [0, 2, 2]
    assert np.abs(after.keypoints[1, places[2]] - (190, 100)).max() <= 1


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("categories", [3], r"categories\[0\] is not an object"),
        ("annotations", [3], r"annotations\[0\] is not an object"),
        ("annotations", -1, "annotations is not one list"),
        ("annotations", [{"keypoints": 7}], r"annotations\[0\]"),
        ("categories", [{"id": 1, "keypoints": [5] * 17}], "no keypoints nose"),
    ],
)
def test_what_is_no_object_there_is_named(
    run: Path, tmp_path: Path, section: str, value: Any, said: str
) -> None:
    document = json.loads((run / "annotations.json").read_bytes()) | {section: value}
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(document))
    with pytest.raises(InputError, match=said) as caught:
        bring_back(run, labels, "fiftyone")
    assert caught.value.message.startswith(str(labels))


def test_huge_numbers_and_half_characters_come_and_go(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "annotations.json").read_bytes())
    odd = {"huge": 2**70, "half": "\ud800"}
    document["annotations"][0] |= odd
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(document))
    assert bring_back(run, labels, "fiftyone").count("unchanged") == len(PHOTOS)
    document["info"] |= odd
    document["categories"][0]["keypoints"][0] = "\ud800"
    labels.write_text(json.dumps(document))
    for tool in ("fiftyone", "coco"):
        written = export(labels, tool, tmp_path / tool)
        assert json.loads(written.files[0].read_bytes())["info"].items() >= odd.items()
    for tool in ("cvat", "labelstudio"):
        with pytest.raises(InputError, match="half a character"):
            export(labels, tool, tmp_path / tool)
        assert not (tmp_path / tool).exists()


def test_a_photo_whose_name_is_too_long_for_a_file_is_left_out(run: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "long", [PHOTOS[0], record("l" * 300 + ".jpg")])
    written = export(run, "fiftyone", tmp_path / "out", WriteOptions(images=tmp_path / "photos"))
    assert "1 picture was left out" in written.notes[0]
