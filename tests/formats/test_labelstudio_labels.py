"""Labels in Label Studio's export that are no keypoints of the run."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from format_cases import LABELLED, bring_back, make_run
from labelstudio_cases import Task, annotated, regions, tasks_of, write
from runs import vitpose

from vitpose_cli.errors import InputError


def rename(task: Task, old: str, new: str, *, drawn: bool = False) -> None:
    """Give the points of a label another one; `drawn` ones have ids of Label Studio's own."""
    for number, region in enumerate(regions(task)):
        if region["value"].get("keypointlabels") == [old]:
            region["value"]["keypointlabels"] = [new]
            region["id"] = f"dRaWn{number}" if drawn else region["id"]


def add_ball(task: Task) -> None:
    """Draw a point of something else over somebody, as their part."""
    region = deepcopy(next(each for each in regions(task) if each["type"] == "keypointlabels"))
    region["value"]["keypointlabels"] = ["ball"]
    regions(task).append({**region, "id": "dRaWn"})


@pytest.mark.parametrize("drawn", [False, True])
def test_a_label_that_was_renamed_is_refused(tmp_path: Path, drawn: bool) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    for task in tasks:
        rename(task, "left_wrist", "left_hand", drawn=drawn)
    exported = write(tmp_path / "o.json", tasks)
    done = vitpose("import", exported, "--into", run)
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert f"{exported} has points labelled left_hand, which are no keypoints of the run" in said
    assert "may stand for left_wrist." in said
    assert "by the same names" in said


def test_labels_of_other_keypoints_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    for task in tasks:
        for region in regions(task):
            if "keypointlabels" in region["value"]:
                region["value"]["keypointlabels"] = ["person"]
                del region["parentID"]
    with pytest.raises(InputError, match=r"labelled person, .* nose, left_eye, right_eye, .* …"):
        bring_back(run, write(tmp_path / "o.json", tasks), "labelstudio")


def test_a_label_that_was_renamed_in_one_task_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    rename(tasks[0], "nose", "Nase")
    with pytest.raises(InputError, match=r"labelled Nase, .* may stand for nose"):
        bring_back(run, write(tmp_path / "o.json", tasks), "labelstudio")


def test_a_label_that_was_added_is_named_and_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    tasks = annotated(tasks_of(run, tmp_path / "out"))
    add_ball(tasks[0])
    # Nothing is lost either where a keypoint became a ball and was drawn anew.
    nose = next(each for each in regions(tasks[1]) if each["id"].endswith("-0"))
    regions(tasks[1]).append({**deepcopy(nose), "id": "nOsE"})
    nose["value"]["keypointlabels"] = ["ball"]
    exported = write(tmp_path / "o.json", tasks)
    summary = bring_back(run, exported, "labelstudio")
    assert summary.count("unchanged") == len(LABELLED)
    assert (summary.num_ignored, summary.other_labels) == (2, ["ball"])
    done = vitpose("import", exported, "--into", run)
    assert done.returncode == 0, done.stderr
    assert "points labelled ball: no keypoint of the run is called so" in done.stderr
    done = vitpose("import", exported, "--into", run, "--json")
    assert json.loads(done.stdout)["other_labels"] == ["ball"]
