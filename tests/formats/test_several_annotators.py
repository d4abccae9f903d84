"""Several people correct the same export, and their files come back one after the other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from format_cases import bring_back, export, labels, make_run, record
from labelstudio_cases import annotated, regions, tasks_of, write
from runs import vitpose

from vitpose_cli.records.record import FrameRecord

NAMES = ("one.jpg", "two.jpg", "three.jpg")
TOOLS = ("coco", "cvat", "labelstudio")
IN_CVAT = "annotations/person_keypoints_default.json"

Moves = Mapping[tuple[str, int, int], float]
"""How far (px) to the right which keypoint of which person of which photo is moved."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [record(name) for name in NAMES])


def exported(run: Path, tool: str, out: Path) -> Path:
    """Export a run once, for everybody."""
    if tool == "labelstudio":
        return write(out.with_suffix(".json"), annotated(tasks_of(run, out)))
    files = {path.name: path for path in export(run, tool, out).files}
    return files["photos.zip"] if tool == "cvat" else files[out.name]


def edited(export_: Path, out: Path, moves: Moves) -> Path:
    """Return an export with keypoints moved, as somebody saves it in another program."""
    if export_.suffix == ".zip":
        with ZipFile(export_) as zipped:
            document = json.loads(zipped.read(IN_CVAT))
        move(document, moves)
        with ZipFile(out, "w") as zipped:
            zipped.writestr(IN_CVAT, json.dumps(document))
        return out
    content = json.loads(export_.read_bytes())
    (move_regions if isinstance(content, list) else move)(content, moves)
    out.write_text(json.dumps(content))
    return out


def move(document: dict[str, Any], moves: Moves) -> None:
    ids = {image["file_name"]: image["id"] for image in document["images"]}
    for (name, person, keypoint), by in moves.items():
        people = [each for each in document["annotations"] if each["image_id"] == ids[name]]
        people[person]["keypoints"][3 * keypoint] += by


def move_regions(tasks: list[Any], moves: Moves) -> None:
    for (name, person, keypoint), by in moves.items():
        (task,) = [each for each in tasks if each["data"]["vitpose"]["frame"] == name]
        boxes = [each for each in regions(task) if each["type"] == "rectanglelabels"]
        own = [each for each in regions(task) if each.get("parentID") == boxes[person]["id"]]
        points = [each for each in own if each["type"] == "keypointlabels"]
        points[keypoint]["value"]["x"] += 100 * by / 640


def states(run: Path) -> dict[str, str]:
    """Return who corrected each photo of a run."""
    return {
        name: each.review.reviewer for name, each in labels(run).items() if each.review is not None
    }


def moved_by(before: FrameRecord, after: FrameRecord) -> dict[tuple[int, int], float]:
    """Return how far (px) to the right which keypoint of which person is."""
    assert before.instances is not None
    assert after.instances is not None
    assert before.uids == after.uids
    by = after.instances.keypoints[..., 0] - before.instances.keypoints[..., 0]
    return {
        (int(row), int(place)): round(float(by[row, place]))
        for row, place in np.argwhere(np.abs(by) > 0.5)
    }


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("reviewers", [("anna", "bob"), ("lea", "lea")])
def test_a_second_file_leaves_what_came_with_the_first(
    run: Path, tmp_path: Path, tool: str, reviewers: tuple[str, str]
) -> None:
    before = labels(run)
    whole = exported(run, tool, tmp_path / "whole")
    suffix = whole.suffix
    for reviewer, name, number in zip(reviewers, NAMES, (1, 2), strict=False):
        mine = edited(whole, tmp_path / f"{number}{suffix}", {(name, 0, 0): 20.0})
        done = vitpose("import", mine, "--into", run, "--format", tool, "--reviewer", reviewer)
        assert done.returncode == 0, done.stderr
        assert "Changed 1 frame: 1 person corrected" in done.stderr
    assert "1 frame among them came back as it was before somebody labelled it" in " ".join(
        done.stderr.split()
    )
    done = vitpose("import", whole, "--into", run, "--format", tool, "--reviewer", reviewers[1])
    assert done.returncode == 0, done.stderr
    assert "Changed 0 frames" in done.stderr
    assert states(run) == dict(zip(NAMES, reviewers, strict=False))
    now = labels(run)
    for name in NAMES[:2]:
        assert moved_by(before[name], now[name]) == {(0, 0): 20}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("reviewers", [("anna", "bob"), ("lea", "lea")])
@pytest.mark.parametrize("place", [(1, 0), (0, 1)])
def test_two_people_in_one_frame_are_a_conflict(
    run: Path, tmp_path: Path, tool: str, reviewers: tuple[str, str], place: tuple[int, int]
) -> None:
    before = labels(run)["one.jpg"]
    whole = exported(run, tool, tmp_path / "whole")
    first = edited(whole, tmp_path / f"1{whole.suffix}", {("one.jpg", 0, 0): 20.0})
    second = edited(whole, tmp_path / f"2{whole.suffix}", {("one.jpg", *place): 20.0})
    first_done, done, forced = (
        vitpose("import", *rest, "--into", run, "--format", tool, "--reviewer", reviewer)
        for reviewer, *rest in (
            (reviewers[0], first),
            (reviewers[1], second),
            (reviewers[1], second, "--force"),
        )
    )
    assert (first_done.returncode, done.returncode, forced.returncode) == (0, 5, 0), done.stderr
    why = "anna labelled it here meanwhile" if "anna" in reviewers else "under the same name"
    said = " ".join(done.stderr.split())
    assert why in said
    assert "Changed 0 frames" in said
    assert states(run) == {"one.jpg": reviewers[1]}
    assert moved_by(before, labels(run)["one.jpg"]) == {place: 20}


@pytest.mark.parametrize("tool", TOOLS)
def test_who_goes_on_in_the_same_file_is_no_conflict(run: Path, tmp_path: Path, tool: str) -> None:
    before = labels(run)["one.jpg"]
    whole = exported(run, tool, tmp_path / "whole")
    steps: list[Moves] = [
        {("one.jpg", 0, 0): 20.0},
        {("one.jpg", 0, 0): 20.0, ("one.jpg", 1, 1): 9.0},
        {("one.jpg", 0, 0): -30.0, ("one.jpg", 1, 1): 9.0},
    ]
    for number, moves in enumerate(steps):
        back = edited(whole, tmp_path / f"{number}{whole.suffix}", moves)
        assert bring_back(run, back, tool).count("changed") == 1
    assert moved_by(before, labels(run)["one.jpg"]) == {(0, 0): -30, (1, 1): 9}


def test_files_that_lost_their_versions(run: Path, tmp_path: Path) -> None:
    before = labels(run)
    whole = exported(run, "coco", tmp_path / "whole.json")
    document = json.loads(whole.read_bytes())
    for each in (*document["images"], *(one["attributes"] for one in document["annotations"])):
        del each["version"]
    whole.write_text(json.dumps(document))
    for name, number in zip(NAMES, (1, 2), strict=False):
        mine = edited(whole, tmp_path / f"{number}.json", {(name, 0, 0): 20.0})
        assert bring_back(run, mine, "coco").count("changed") == 1
    both = edited(whole, tmp_path / "both.json", {("one.jpg", 1, 0): 20.0})
    summary = bring_back(run, both, "coco")
    assert (summary.count("conflict"), summary.num_labelled_since) == (1, 1)
    for name in NAMES[:2]:
        assert moved_by(before[name], labels(run)[name]) == {(0, 0): 20}


def test_a_removed_and_an_added_person_are_corrections(run: Path, tmp_path: Path) -> None:
    whole = exported(run, "coco", tmp_path / "whole.json")
    document = json.loads(whole.read_bytes())
    (image_id,) = [each["id"] for each in document["images"] if each["file_name"] == "one.jpg"]
    own = [each for each in document["annotations"] if each["image_id"] == image_id]
    new = {**own[1], "id": 99, "attributes": {}}
    new["keypoints"] = [
        200 + value if not i % 3 else value for i, value in enumerate(own[1]["keypoints"])
    ]
    new["bbox"] = [own[1]["bbox"][0] + 200, *own[1]["bbox"][1:]]
    files = {
        "removed": [each for each in document["annotations"] if each != own[0]],
        "added": [*document["annotations"], new],
    }
    for name, annotations in files.items():
        run = make_run(tmp_path / name, [record(each) for each in NAMES])
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(document | {"annotations": annotations}))
        assert bring_back(run, path, "coco").count("changed") == 1
        other = edited(whole, tmp_path / "other.json", {("one.jpg", 1, 0): 20.0})
        assert bring_back(run, other, "coco").count("conflict") == 1
        assert bring_back(run, whole, "coco").count("unchanged") == 3


def test_what_another_annotator_said_is_not_dropped_unsaid(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("a/one.jpg"), record("b/two.jpg")])
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    for task in tasks:
        same = json.loads(json.dumps(task["annotations"][0]))
        same["result"].reverse()
        task["annotations"].append({**same, "id": 99, "completed_by": 2})
    path = write(tmp_path / "o.json", tasks)
    done = vitpose("import", path, "--into", run)
    assert done.returncode == 0, done.stderr
    assert "differ" not in done.stderr
    first = tasks[1]["annotations"][0]
    next(each for each in first["result"] if each["type"] == "keypointlabels")["value"]["x"] += 1
    first["updated_at"] = "2025-01-01T00:00:00Z"
    write(path, tasks)
    done = vitpose("import", path, "--into", run)
    assert done.returncode == 0, done.stderr
    said = f"differ in 1 task, such as task {tasks[1]['id']}: the newest of each was taken."
    assert said in " ".join(done.stderr.split())
