import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import numpy as np
import pytest
from format_cases import (
    COCO,
    PHOTOS,
    RECORDS,
    bring_back,
    export,
    extent,
    labels,
    make_run,
    record,
    run_tool,
    tool_python,
)
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.formats.cvat import task_labels
from vitpose_cli.own_files import LIST_NAME, listed_in
from vitpose_cli.records.validate import validate

DOCUMENT = "annotations/person_keypoints_default.json"


def document_in(archive: Path) -> dict[str, Any]:
    with ZipFile(archive) as zipped:
        assert zipped.namelist() == [DOCUMENT]
        document: dict[str, Any] = json.loads(zipped.read(DOCUMENT))
    return document


def as_cvat_exports(archive: Path, out: Path, undeclared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Write what CVAT makes of an archive: ids anew, boxes as extents, declared attributes only.

    Args:
        archive: What was imported into CVAT.
        out: The folder of its export.
        undeclared: Attributes that the task's labels lack.
    """
    document = document_in(archive)
    declared = {"uid", "version"} - {*undeclared}
    for number, annotation in enumerate(reversed(document["annotations"])):
        points = np.reshape(annotation["keypoints"], (-1, 3))
        attributes = annotation["attributes"]
        annotation |= {
            "id": number + 1,
            "bbox": [round(value, 2) for value in extent(points)],
            "attributes": {"occluded": False}
            | {name: attributes[name] for name in declared & attributes.keys()},
        }
        del annotation["score"], annotation["keypoint_scores"]
    for image in document["images"]:
        for name in ("version", "review", "video_id", "frame_id", "timestamp"):
            image.pop(name, None)
    document["images"].reverse()
    document.pop("videos", None)
    write_export(document, out)
    return document


def write_export(document: dict[str, Any], out: Path) -> None:
    path = out / DOCUMENT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_the_labels_of_a_task(tmp_path: Path) -> None:
    written = export(make_run(tmp_path / "run"), "cvat", tmp_path / "out")
    (label,) = json.loads(written.files[0].read_bytes())
    assert (label["name"], label["type"]) == ("person", "skeleton")
    assert [each["name"] for each in label["sublabels"]] == list(COCO.names)
    assert {each["type"] for each in label["sublabels"]} == {"points"}
    assert [each["name"] for each in label["attributes"]] == ["uid", "version"]
    assert all(each["mutable"] for each in label["attributes"])
    drawing = ElementTree.fromstring(f"<svg>{label['svg']}</svg>")
    nodes = drawing.findall("circle")
    assert [node.get("data-label-name") for node in nodes] == list(COCO.names)
    assert [node.get("data-node-id") for node in nodes] == [str(n + 1) for n in range(17)]
    assert all(0 <= float(node.get(axis, "")) <= 100 for node in nodes for axis in ("cx", "cy"))
    edges = [
        (int(line.get("data-node-from", "")) - 1, int(line.get("data-node-to", "")) - 1)
        for line in drawing.findall("line")
    ]
    assert edges == list(COCO.edges)


def test_names_with_signs_stay_within_the_drawing() -> None:
    pose = [[0.5, 0.5]] * 17
    names = COCO.to_category() | {"keypoints": ['<"&>', *COCO.names[1:]]}
    (label,) = task_labels(COCO.from_category(names), pose)
    node = ElementTree.fromstring(f"<svg>{label['svg']}</svg>").findall("circle")[0]
    assert node.get("data-label-name") == '<"&>'


def test_an_archive_for_photos_and_one_for_each_video(tmp_path: Path) -> None:
    records = [*RECORDS, record("d/two.mp4", index=3), record("d/two.mp4", index=4)]
    written = export(make_run(tmp_path / "run", records), "cvat", tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written.files]
    assert names == ["labels.json", "photos.zip", "clip.mp4.zip", "d/two.mp4.zip"]
    assert (written.num_images, written.num_instances) == (9, 15)
    photos = document_in(tmp_path / "out" / "photos.zip")
    assert {image["file_name"] for image in photos["images"]} == {str(e.key) for e in PHOTOS}
    video = document_in(tmp_path / "out" / "d" / "two.mp4.zip")
    assert [image["file_name"] for image in video["images"]] == [
        "frame_000003.jpg",
        "frame_000004.jpg",
    ]
    for annotation in video["annotations"]:
        assert annotation["attributes"]["keyframe"] is True  # else CVAT makes no track of it
        assert isinstance(annotation["attributes"]["track_id"], int)
    plain = tmp_path / "photos.json"
    plain.write_text(json.dumps(photos))
    assert validate(plain).counts == {}


def test_no_archive_of_an_earlier_export_is_left(tmp_path: Path) -> None:
    make_run(tmp_path / "run", [*RECORDS, record("d/two.mp4", index=3)])
    arguments = ("export", "run", "--format", "cvat", "-o", "out")
    done = vitpose(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out" / "theirs.zip").write_text("by hand")
    (tmp_path / "out" / "empty" / "of somebody").mkdir(parents=True)
    frame = {"id": 1, "file_name": "clip.mp4/frame_000012.jpg"}
    only = {"images": [frame], "annotations": [], "categories": [COCO.to_category()]}
    (tmp_path / "only.json").write_text(json.dumps(only))
    done = vitpose(*arguments, "--only", "only.json", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    left = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/**/*")}
    kept = {"theirs.zip", "empty", "empty/of somebody"}
    assert left - kept == {"labels.json", "clip.mp4.zip", LIST_NAME}
    assert kept <= left
    assert listed_in(tmp_path / "out") == {"labels.json", "clip.mp4.zip"}
    video = document_in(tmp_path / "out" / "clip.mp4.zip")
    assert [image["file_name"] for image in video["images"]] == ["frame_000012.jpg"]


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name in ("one", "two"):
        export(run, "cvat", tmp_path / name)
    assert (tmp_path / "one/photos.zip").read_bytes() == (tmp_path / "two/photos.zip").read_bytes()


def test_no_disk_takes_two_archives_for_one(tmp_path: Path) -> None:
    longest = "a" * 251 + ".mp4"
    run = make_run(
        tmp_path / "run", [record(name, 1, 0) for name in ("A.mp4", "a.mp4", longest, "a.mp4_mp4")]
    )
    _, *archives = export(run, "cvat", tmp_path / "out").files
    names = [archive.name for archive in archives]
    assert names[:3] == ["A.mp4.zip", "a.mp4_mp4.zip", "a.mp4_mp4_mp4_mp4.zip"]
    assert (len(names[3]), names[3][-4:]) == (255, ".zip")
    assert [len(document_in(archive)["images"]) for archive in archives] == [1] * 4


@pytest.mark.parametrize("undeclared", [(), ("version",), ("uid", "version")])
@pytest.mark.parametrize("form", ["folder", "zip", "file"])
def test_what_cvat_changes_by_itself_is_no_correction(
    tmp_path: Path, form: str, undeclared: tuple[str, ...]
) -> None:
    run = make_run(tmp_path / "run")
    out = tmp_path / "cvat"
    as_cvat_exports(export(run, "cvat", tmp_path / "out").files[1], out, undeclared)
    if form == "zip":
        with ZipFile(tmp_path / "task.zip", "w") as zipped:
            zipped.write(out / DOCUMENT, DOCUMENT)
            zipped.writestr("images/default/a/one.jpg", b"")
        out = tmp_path / "task.zip"
    elif form == "file":
        out = out / DOCUMENT
    summary = bring_back(run, out, "cvat")
    assert summary.count("unchanged") == len(PHOTOS)
    assert len(summary.decisions) == len(PHOTOS)


@pytest.mark.parametrize("undeclared", [(), ("uid", "version")])
def test_a_correction_comes_back_with_its_box(tmp_path: Path, undeclared: tuple[str, ...]) -> None:
    run = make_run(tmp_path / "run")
    out = tmp_path / "cvat"
    document = as_cvat_exports(export(run, "cvat", tmp_path / "out").files[1], out, undeclared)
    before = labels(run)["b/one.jpg"].instances
    assert before is not None
    (image,) = [each for each in document["images"] if each["file_name"] == "b/one.jpg"]
    people = [each for each in document["annotations"] if each["image_id"] == image["id"]]
    points = np.reshape(people[1]["keypoints"], (-1, 3))
    points[0, :2] += (6, 7)
    people[1] |= {"keypoints": points.ravel().tolist(), "bbox": extent(points)}
    document["annotations"].remove(people[2])
    write_export(document, out)
    summary = bring_back(run, out, "cvat")
    assert summary.as_dict()["people"] == {"changed": 1, "added": 0, "removed": 1}
    after = labels(run)["b/one.jpg"]
    assert after.instances is not None
    assert after.uids == labels(make_run(tmp_path / "again"))["b/one.jpg"].uids[:2]
    np.testing.assert_array_equal(after.instances.boxes[0], before.boxes[0])
    assert (after.instances.boxes[1, :2] <= before.boxes[1, :2]).all()
    assert (after.instances.boxes[1, 2:] >= before.boxes[1, 2:]).all()
    np.testing.assert_allclose(after.instances.keypoints[1, 0], points[0, :2], atol=0.01)


def test_shapes_that_are_no_people_are_counted_over_all_subsets(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    archive = export(run, "cvat", tmp_path / "out").files[1]
    document = as_cvat_exports(archive, tmp_path / "cvat")
    last = {"id": 90, "image_id": document["images"][0]["id"], "category_id": 2, "iscrowd": 0}
    ball = {"id": 2, "name": "ball", "supercategory": ""}
    shapes = [last | {"id": 90 + number, "bbox": [1, 1, 5, 5], "area": 25} for number in range(3)]
    document["categories"].append(ball)
    document["annotations"] += shapes[:1]
    write_export(document, tmp_path / "cvat")
    other = document | {"annotations": shapes[1:], "images": document["images"][:1]}
    (tmp_path / "cvat" / DOCUMENT).with_name("person_keypoints_train.json").write_text(
        json.dumps(other | {"images": [document["images"][0] | {"file_name": "ball.jpg"}]})
    )
    done = vitpose("import", tmp_path / "cvat", "--into", run, "--format", "cvat")
    assert done.returncode == 0, done.stderr
    assert "3 shapes are no people with keypoints: left out." in done.stderr


def test_a_video_comes_back(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    archive = export(run, "cvat", tmp_path / "out").files[2]
    document = as_cvat_exports(archive, tmp_path / "cvat")
    for image in document["images"]:
        image["file_name"] = image["file_name"].replace(".jpg", ".PNG")
    document["annotations"][0]["keypoints"][1] += 9
    write_export(document, tmp_path / "cvat")
    summary = bring_back(run, tmp_path / "cvat", "cvat")
    assert (summary.count("changed"), summary.count("unchanged")) == (1, 1)


def all_frames_as_cvat_exports(archive: Path, out: Path, num_frames: int) -> dict[str, Any]:
    """Write what CVAT exports of a whole video: people of tracks are in all frames on the way."""
    document = document_in(archive)
    labelled = {image["file_name"][:12]: image["id"] for image in document["images"]}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for number in range(num_frames):
        name = f"frame_{number:06d}"
        images.append({"id": number + 1, "file_name": f"{name}.PNG", "width": 640, "height": 480})
        if name in labelled:
            found = document["annotations"]
            people = [each for each in found if each["image_id"] == labelled[name]]
        for each in people:
            new = {"id": len(annotations) + 1, "image_id": number + 1}
            annotations.append({**each, **new, "keypoints": [*each["keypoints"]]})
    document |= {"images": images, "annotations": annotations}
    write_export(document, out)
    return document


def test_frames_between_those_that_a_run_labels_are_said_in_one_line(tmp_path: Path) -> None:
    frames = [record("d/clip.mp4", index=index) for index in (5, 10, 15)]
    run = make_run(tmp_path / "run", frames, options={"every": 5})
    export(run, "cvat", tmp_path / "out")
    archive = tmp_path / "out" / "d" / "clip.mp4.zip"
    document = all_frames_as_cvat_exports(archive, tmp_path / "cvat", 20)
    arguments = ("import", tmp_path / "cvat", "--into", run, "--format", "cvat")
    done = vitpose(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["frames"]
    counts = [found[name] for name in ("unchanged", "between", "unmatched", "not_in_file")]
    assert counts == [3, 12, 0, 0]
    document["annotations"][0]["keypoints"][0] += 9
    write_export(document, tmp_path / "cvat")
    done = vitpose(*arguments)
    assert done.returncode == 0, done.stderr
    assert "Changed 1 frame: " in done.stderr
    assert "12 frames between those that the run labels (--every 5) were not taken." in done.stderr
    assert "warning" not in done.stderr


def test_frames_beyond_those_that_a_run_labels_are_not_found(tmp_path: Path) -> None:
    frames = [record("clip.mp4", index=index) for index in (3, 8)]
    run = make_run(tmp_path / "run", frames, options={"fps": 5.0})
    export(run, "cvat", tmp_path / "out")
    archive = tmp_path / "out" / "clip.mp4.zip"
    document = all_frames_as_cvat_exports(archive, tmp_path / "cvat", 14)
    first = document["annotations"][0]
    new = {"id": 999, "image_id": 3, "attributes": {"uid": ""}}  # somebody was added to frame 2
    document["annotations"].append(first | new)
    again = {"id": 99, "file_name": "frame_000008.BMP", "width": 640, "height": 480}
    document["images"].append(again)
    document["annotations"].append(first | new | {"id": 1000, "image_id": 99})
    write_export(document, tmp_path / "cvat")
    done = vitpose("import", tmp_path / "cvat", "--into", run)
    assert done.returncode == 5
    warnings = re.findall(r"warning: frame_(\S+): (no frame|it comes twice)", done.stderr)
    names = ("000002.PNG", "000013.PNG", "000008.BMP")
    assert warnings == [*zip(names, ("no frame", "no frame", "it comes twice"), strict=True)]
    assert "8 frames between those that the run labels (--fps 5) were not taken." in done.stderr


def test_which_video_a_frame_between_is_of_has_to_be_clear(tmp_path: Path) -> None:
    frames = [record(f"{name}.mp4", index=index) for name in "ab" for index in (0, 2)]
    run = make_run(tmp_path / "run", frames, options={"every": 2})
    export(run, "cvat", tmp_path / "out")
    document = all_frames_as_cvat_exports(tmp_path / "out" / "a.mp4.zip", tmp_path / "cvat", 3)
    summary = bring_back(run, tmp_path / "cvat", "cvat")
    assert (summary.count("between"), summary.count("unmatched")) == (1, 0)
    for image in document["images"]:
        folder = {"frame_000001.PNG": "c.mp4"}.get(image["file_name"], "a.mp4")
        image["file_name"] = f"{folder}/{image['file_name']}"
    write_export(document, tmp_path / "cvat")
    summary = bring_back(run, tmp_path / "cvat", "cvat")
    assert (summary.count("between"), summary.count("unmatched")) == (0, 1)
    other = all_frames_as_cvat_exports(tmp_path / "out" / "b.mp4.zip", tmp_path / "cvat", 3)
    both = document_in(tmp_path / "out" / "b.mp4.zip")
    both |= {"images": [], "annotations": []}
    for number, part in enumerate((document, other)):
        for image in part["images"]:
            name = image["file_name"].rpartition("/")[2]
            both["images"].append(image | {"id": image["id"] + 10 * number, "file_name": name})
        for each in part["annotations"]:
            new = {"id": each["id"] + 100 * number, "image_id": each["image_id"] + 10 * number}
            both["annotations"].append(each | new)
    write_export(both, tmp_path / "cvat")
    summary = bring_back(run, tmp_path / "cvat", "cvat")
    assert (summary.count("unchanged"), summary.count("between")) == (4, 0)
    assert summary.count("unmatched") == 2


def test_what_is_no_export_of_cvat(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with ZipFile(tmp_path / "other.zip", "w") as zipped:
        zipped.writestr("annotations.xml", "<annotations/>")
    with pytest.raises(InputError, match=re.escape("holds no annotations/person_keypoints_*.json")):
        bring_back(run, tmp_path / "other.zip", "cvat")
    member = "annotations/person_keypoints_train.json"
    with ZipFile(tmp_path / "cut.zip", "w") as zipped:
        zipped.writestr(member, '{"images": [')
    with pytest.raises(InputError) as caught:
        bring_back(run, tmp_path / "cut.zip", "cvat")
    assert caught.value.message.startswith(f"{tmp_path / 'cut.zip'}: {member} is not a whole JSON")
    damaged = (tmp_path / "other.zip").read_bytes()
    (tmp_path / "damaged.zip").write_bytes(damaged[:30] + damaged[-60:])
    with pytest.raises(InputError):
        bring_back(run, tmp_path / "damaged.zip", "cvat")


EDIT_WITH_DATUMARO = """
import sys
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
dataset = Dataset.import_from(sys.argv[1], "coco_person_keypoints")
for item in list(dataset):
    # CVAT keeps skeletons alone, and exports nothing else.
    people = [each for each in item.annotations if each.type == AnnotationType.points]
    for person in people:
        person.group = 0  # as CVAT leaves single shapes
        person.attributes = {k: v for k, v in person.attributes.items() if k in ("uid", "version")}
        if item.id == "a/one" and person.attributes["uid"] == sys.argv[3]:
            points = list(person.points)
            points[0] += 11
            person.points = points
    dataset.put(item.wrap(annotations=people))
dataset.export(sys.argv[2], "coco_person_keypoints", save_media=False)
"""


def test_the_way_through_datumaro(tmp_path: Path) -> None:
    """datumaro is what CVAT imports and exports COCO files with."""
    python = tool_python("DATUMARO_PYTHON", "datumaro")
    run = make_run(tmp_path / "run")
    with ZipFile(export(run, "cvat", tmp_path / "out").files[1]) as zipped:
        zipped.extractall(tmp_path / "in")
    (tmp_path / "in" / "images" / "default").mkdir(parents=True)
    before = labels(run)["a/one.jpg"]
    run_tool(python, EDIT_WITH_DATUMARO, tmp_path / "in", tmp_path / "edited", before.uids[1])
    summary = bring_back(run, tmp_path / "edited", "cvat")
    assert [each.name for each in summary.decisions if each.outcome == "changed"] == ["a/one.jpg"]
    assert summary.count("unchanged") == len(PHOTOS) - 1
    assert summary.as_dict()["people"] == {"changed": 1, "added": 0, "removed": 0}
    after = labels(run)["a/one.jpg"].instances
    assert after is not None
    assert before.instances is not None
    np.testing.assert_array_equal(after.boxes[0], before.instances.boxes[0])
    moved = before.instances.keypoints[1, 0] + np.array([11, 0])
    np.testing.assert_allclose(after.keypoints[1, 0], moved, atol=0.01)
