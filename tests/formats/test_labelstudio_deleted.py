"""Whose keypoints are those of a rectangle that was deleted in Label Studio."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_cases import (
    SIZE_WH,
    assert_equal_people,
    bring_back,
    labels,
    make_run,
)
from labelstudio_cases import Task, annotated, regions, tasks_of, write

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord


def delete_rectangle(task: Task, uid: str, *, parent: str | None) -> None:
    """Delete a rectangle as Label Studio does: its keypoints stay, with the parent it had."""
    task["annotations"][0]["result"] = [each for each in regions(task) if each["id"] != uid]
    for region in regions(task):
        if region.get("parentID") == uid:
            del region["parentID"]
            if parent is not None:
                region["parentID"] = parent


def overlapping() -> FrameRecord:
    """Return two people of whom the second has what the first lacks, both in each other's box."""
    points: Any = np.random.default_rng(0).uniform((100, 100), (200, 300), (2, 17, 2))
    visibility = np.array([[2] * 8 + [0] * 9, [2] * 17])
    boxes = np.array([[90, 90, 210, 310], [80, 80, 220, 320]])
    ones: Any = np.ones(2)
    both = Instances(boxes, ones, points, np.full((2, 17), 0.5), visibility)
    return FrameRecord(FrameKey("a.jpg"), SIZE_WH, None, both, uids=("first", "0123456789abcdef"))


@pytest.mark.parametrize("parent", [None, "0123456789abcdef"])
@pytest.mark.parametrize("says_who", [True, False])
def test_keypoints_of_a_deleted_rectangle_go_to_nobody(
    tmp_path: Path, parent: str | None, says_who: bool
) -> None:
    before = overlapping()
    run = make_run(tmp_path / "run", [before])
    (task,) = annotated(tasks_of(run, tmp_path / "out"))
    if not says_who:  # tasks that somebody made of ours
        del task["data"]["vitpose"]["uids"]
    delete_rectangle(task, before.uids[1], parent=parent)
    summary = bring_back(run, write(tmp_path / "o.json", [task]), "labelstudio")
    assert summary.as_dict()["people"] == {"changed": 0, "added": 0, "removed": 1}
    assert summary.as_dict()["keypoints_left_behind"] == 17
    (after,) = labels(run).values()
    assert after.uids == before.uids[:1]
    assert after.instances is not None
    assert before.instances is not None
    assert_equal_people(after.instances, before.instances.select([0]))


def test_the_command_says_how_many_keypoints_went_to_nobody(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [overlapping()])
    (task,) = annotated(tasks_of(run, tmp_path / "out"))
    delete_rectangle(task, "first", parent=None)
    exported = write(tmp_path / "o.json", [task])
    command = [sys.executable, "-m", "vitpose_cli", "import", str(exported), "--into", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "8 keypoints of people whose rectangle is not there any more" in said


def test_a_rectangle_drawn_anew_takes_the_keypoints_of_the_deleted_one(tmp_path: Path) -> None:
    before = overlapping()
    run = make_run(tmp_path / "run", [before])
    (task,) = annotated(tasks_of(run, tmp_path / "out"))
    (drawn,) = [deepcopy(each) for each in regions(task) if each["id"] == "first"]
    delete_rectangle(task, "first", parent=None)
    regions(task).append({**drawn, "id": "aB-3_x-y-0"})
    summary = bring_back(run, write(tmp_path / "o.json", [task]), "labelstudio")
    assert (summary.count("unchanged"), summary.num_left_behind) == (1, 0)

    drawn["value"]["width"] /= 2  # it is somebody else, or not all of the person
    regions(task)[-1] = {**drawn, "id": "aB-3_x-y-0"}
    summary = bring_back(run, write(tmp_path / "o.json", [task]), "labelstudio")
    assert summary.num_left_behind == 8
