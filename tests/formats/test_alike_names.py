"""Keypoints whose names differ in punctuation, case or short forms alone, there and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from format_cases import bring_back, export, labels, make_run
from labelstudio_cases import annotated, regions, tasks_of, write

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord

ALIKE = ["tip+", "tip-", "base", "C", "C'", "b", "back"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of one photo with two grippers."""
    places = np.random.default_rng(0).uniform([20, 20], [300, 400], (2, len(ALIKE), 2))
    places[1] += 310, 0
    boxes = np.concatenate([places.min(axis=1) - 5, places.max(axis=1) + 5], axis=1)
    grippers = Instances(
        boxes.astype(np.float32),
        np.ones(2, np.float32),
        places.astype(np.float32),
        np.full((2, len(ALIKE)), 0.9, np.float32),
        np.full((2, len(ALIKE)), 2, np.int8),
    )
    one = FrameRecord(FrameKey("one.jpg"), (640, 480), None, grippers)
    category = {"id": 1, "name": "gripper", "keypoints": ALIKE, "skeleton": []}
    return make_run(tmp_path / "run", [one], keypoint_set=category)


@pytest.mark.parametrize("tool", ["coco", "cvat", "fiftyone", "labelstudio"])
def test_an_untouched_file_corrects_nobody(run: Path, tmp_path: Path, tool: str) -> None:
    before = labels(run)["one.jpg"].instances
    out = tmp_path / ("out.json" if tool == "coco" else "out")
    if tool == "labelstudio":
        write(out, annotated(tasks_of(run, tmp_path / "tasks")))
    else:
        written = export(run, tool, out)
        out = written.files[1] if tool == "cvat" else out
    summary = bring_back(run, out, tool)
    assert summary.as_dict()["people"] == {"changed": 0, "added": 0, "removed": 0}
    assert summary.count("unchanged") == 1
    after = labels(run)["one.jpg"].instances
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after.keypoints, before.keypoints)


def test_a_file_that_spells_them_otherwise_is_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    export(run, "coco", out)
    document = json.loads(out.read_bytes())
    document["categories"][0]["keypoints"][0] = "Tip+"
    out.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"out\.json: Keypoints 'tip\+' and 'tip-' differ in"):
        bring_back(run, out, "coco")


def test_labels_of_label_studio_that_could_be_two_keypoints_are_refused(
    run: Path, tmp_path: Path
) -> None:
    tasks = annotated(tasks_of(run, tmp_path / "tasks"))
    label = next(one for one in regions(tasks[0]) if one["type"] == "keypointlabels")
    label["value"]["keypointlabels"] = ["Tip"]
    with pytest.raises(InputError, match=r"task 1: Keypoints 'tip\+' and 'tip-' differ in"):
        bring_back(run, write(tmp_path / "out.json", tasks), "labelstudio")
    label["value"]["keypointlabels"] = ["Base"]
    with pytest.raises(InputError, match="are both keypoint 'base'"):
        bring_back(run, write(tmp_path / "out.json", tasks), "labelstudio")
    label["value"]["keypointlabels"] = ["rope"]
    with pytest.raises(InputError, match=r"labelled rope, .* may stand for tip\+"):
        bring_back(run, write(tmp_path / "out.json", tasks), "labelstudio")
