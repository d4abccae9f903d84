"""Who is who where several inputs number the same people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import label_cases
import numpy as np
import pytest
from label_cases import make_people, make_record
from merge_cases import make_run

from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.identities import with_track_ids


def walking(index: int, order: tuple[int, int], ids: tuple[int, int] | None) -> FrameRecord:
    """Return a frame of a video in which two people walk, person by person of `order`."""
    bodies = make_people(1, 3).keypoints[0], make_people(1, 4).keypoints[0]
    points = np.stack([bodies[each] + (400 * each + index, 0) for each in order])
    people = replace(
        make_people(2),
        keypoints=points.astype(np.float32),
        boxes=np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float32),
        visibility=np.full((2, 17), 2, np.int8),
        track_ids=None if ids is None else np.array(ids),
    )
    return replace(make_record("clip.mp4", index, people=people), size_wh=(1200, 600))


def tracks_in(path: Path) -> dict[int, set[int]]:
    """Return the ids that each of the two people has in a document."""
    found: dict[int, set[int]] = {0: set(), 1: set()}
    for person in read_coco(path).annotations:
        found[int(person["bbox"][0] > 350)].add(person["attributes"].get("track_id"))
    return found


@pytest.mark.parametrize("names", [("file", "run"), ("run", "file"), ("file", "other")])
@pytest.mark.parametrize("shared", [False, True])
def test_identities_of_two_inputs_are_made_one(
    tmp_path: Path, names: tuple[str, str], shared: bool
) -> None:
    """Each input calls the two people otherwise, and has some frames of the video, or all."""
    of_file = [walking(index, (1, 0), (1, 2)) for index in range(0, 20, 1 if shared else 3)]
    of_other = [walking(index, (0, 1), (1, 2)) for index in range(20)]
    untracked = [walking(index, (0, 1), None) for index in range(20)]
    paths = {
        "file": make_run(tmp_path / "f", *of_file) / "annotations.json",
        "other": make_run(tmp_path / "o", *of_other) / "annotations.json",
        "run": make_run(tmp_path / "r", *untracked),
    }
    inputs = tuple(paths[name] for name in names)
    for output in (tmp_path / "out.json", tmp_path / "out"):
        merge_labels(MergeOptions(inputs, output))
        document = output if output.suffix else output / "annotations.json"
        first, second = tracks_in(document).values()
        assert len(first) == len(second) == 1
        assert first != second
        assert None not in first | second
    with Run.edit(tmp_path / "out") as run:  # what a model labels afterwards goes on with them
        run.append(walking(20, (1, 0), None))
    with Run.read(tmp_path / "out") as run:
        done = [each.instances for each in with_track_ids(run.records(), label_cases.COCO.sigmas)]
    for people in done:
        assert people is not None
        assert {*np.asarray(people.track_ids).tolist()} == first | second


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("first", ["whole", "broken"])
def test_where_inputs_disagree_the_first_is_believed(
    tmp_path: Path, first: str, shared: bool
) -> None:
    """One lost the first person after ten frames, and found them again under another id."""
    broken = [walking(index, (0, 1), (1 if index < 10 else 3, 2)) for index in range(0, 20, 2)]
    whole = [walking(index, (0, 1), (1, 2)) for index in range(20)]
    if not shared:
        whole = whole[1::2]
    elif first == "whole":
        broken, whole = (
            [walking(index, (0, 1), (5 if index < 10 else 3, 2)) for index in range(20)],
            whole[::2],
        )
    paths = {
        "broken": make_run(tmp_path / "b", *broken) / "annotations.json",
        "whole": make_run(tmp_path / "w", *whole) / "annotations.json",
    }
    second = "broken" if first == "whole" else "whole"
    merge_labels(MergeOptions((paths[first], paths[second]), tmp_path / "out.json"))
    document = read_coco(tmp_path / "out.json")
    keys = document.keys()
    ids = {
        keys[person["image_id"]].index: person["attributes"]["track_id"]
        for person in document.annotations
        if person["bbox"][0] <= 350
    }
    assert len(ids) == 20
    early, late = ({ids[index] for index in part} for part in (range(10), range(10, 20)))
    assert len(early) == len(late) == 1, "never to and fro"
    assert (early == late) == (first == "whole")


def test_a_run_without_identities_brings_none(tmp_path: Path) -> None:
    untracked = [walking(index, (0, 1), None) for index in range(4)]
    first = make_run(tmp_path / "a", *untracked[:2], document={"track": False})
    second = make_run(tmp_path / "b", *untracked[2:], document={"track": False})
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    assert tracks_in(tmp_path / "out" / "annotations.json") == {0: {None}, 1: {None}}
