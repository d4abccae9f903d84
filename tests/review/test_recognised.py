"""Who people are over the frames of a video, as a reviewer corrects it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from identity_cases import OTHER, labelled, make_two_videos, name, placed
from review_cases import (
    SIZE_WH,
    VIDEO,
    Server,
    edit,
    make_manifest,
    make_people,
    running,
)
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.formats.coco import read as read_corrections
from vitpose_cli.formats.import_options import ImportOptions
from vitpose_cli.formats.importing import import_corrections
from vitpose_cli.labels import open_labels
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.records.history import frame_history
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.records.sighting import Sighting
from vitpose_cli.tracking.smoothed_labels import for_document


def known(server: Server, index: int, video: str = VIDEO) -> Any:
    """Return who is in a frame and before, once that is known."""
    number = server.number(name(index, video))
    for _ in range(100):
        found = server.get(f"api/frames/{number}/identities").json
        if not found["pending"]:
            return found
    raise AssertionError("it is never known")


def numbers(server: Server, index: int, video: str = VIDEO) -> list[str]:
    people = server.frame(name(index, video))["people"]
    found = known(server, index, video)["numbers"]
    return [found[person["uid"]] for person in people]


def say(server: Server, index: int, number: str | None, row: int = 0) -> None:
    """Say that the first person of a frame has a number, or is who the tracker says."""
    before = {each["number"]: each["sighting"] for each in known(server, index)["before"]}
    people = server.frame(name(index))["people"]
    people[row]["recognised"] = number and before.get(number, "new")
    reply = server.save(name(index), "draft", people)
    assert reply.status == 200, reply.body


def written(run_folder: Path) -> dict[str, list[int | None]]:
    """Return the identities in a run's document, by frame."""
    document = json.loads((run_folder / "annotations.json").read_bytes())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    found: dict[str, list[int | None]] = {each: [] for each in names.values()}
    for annotation in document["annotations"]:
        found[names[annotation["image_id"]]].append(annotation["attributes"].get("track_id"))
    return found


def delete(server: Server, index: int, row: int) -> None:
    """Delete somebody in a frame."""
    people = server.frame(name(index))["people"]
    del people[row]
    assert server.save(name(index), "draft", people).status == 200


def export(run_folder: Path) -> bytes:
    with Run.read(run_folder) as run:
        run.export(for_document)
    return (run_folder / "annotations.json").read_bytes()


def test_whose_first_sights_are_deleted_is_who_comes_into_sight_there_next(tmp_path: Path) -> None:
    run_folder = make_two_videos(tmp_path)
    with running(run_folder) as server:
        say(server, 3, "2")
        assert numbers(server, 4) == ["2", "1"]
        delete(server, 0, 1)
        assert numbers(server, 0) == ["1"]
        assert numbers(server, 2) == ["1", "2"]
        assert numbers(server, 4) == ["2", "1"]
        assert known(server, 3)["lost"] == []
        for index in (1, 2):
            delete(server, index, 1)
        uid = server.frame(name(3))["people"][0]["uid"]
        assert known(server, 3)["lost"] == [uid]
        assert numbers(server, 4) == ["1", "2"]
    assert written(run_folder)[name(4)] == [1, 2]


def test_one_correction_lasts_to_the_end_of_the_video(tmp_path: Path) -> None:
    run_folder = make_two_videos(tmp_path)
    with running(run_folder) as server:
        assert numbers(server, 4) == ["1", "2"]
        assert numbers(server, 0, OTHER) == ["3", "4"]
        found = known(server, 2)
        assert [
            (each["number"], each["sighting"]["index"], each["last_index"])
            for each in found["before"]
        ] == [("2", 0, 1), ("1", 0, 1)]
        say(server, 2, "2")
        assert [numbers(server, index) for index in (1, 2, 3)] == [
            ["1", "2"], ["2", "1"], ["2", "1"],
        ]  # fmt: skip
        say(server, 3, "new", row=1)
        assert [numbers(server, index) for index in (2, 3, 4)] == [
            ["2", "1"], ["2", "3"], ["2", "3"],
        ]  # fmt: skip
        assert numbers(server, 4, OTHER) == ["4", "5"]
        say(server, 2, None)  # undone
        assert [numbers(server, index) for index in (2, 3)] == [["1", "2"], ["1", "3"]]
        say(server, 3, None, row=1)
        assert numbers(server, 4) == ["1", "2"]
        assert numbers(server, 4, OTHER) == ["3", "4"]
        say(server, 2, "2")
        assert server.save(name(2), "accepted").json["row"]["state"] == "fixed"
        people = server.frame(name(2))["people"]
        people[0]["keypoints"][3][0] += 5
        assert server.save(name(2), "fixed", people).status == 200
        assert numbers(server, 3) == ["2", "1"]
    want = [[1, 2], [1, 2], [2, 1], [2, 1], [2, 1]]
    assert [written(run_folder)[name(index)] for index in range(5)] == want
    assert [written(run_folder)[name(index, OTHER)] for index in range(5)] == [[3, 4]] * 5
    labels = open_labels(run_folder)
    found_in_labels = [people.track_ids for _, _, people in labels.video(VIDEO)]
    assert [ids is not None and ids.tolist() for ids in found_in_labels] == want
    labels.close()
    steps = [version.changes for version in frame_history(run_folder, name(2))]
    assert [step and step.num_recognised for step in steps] == [None, 1, 1, 1, 0, 0]
    command = [sys.executable, "-m", "vitpose_cli", "history", str(run_folder), name(2)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "1 identity" in said


def test_a_correction_that_came_too_late_is_none_after_an_earlier_one(tmp_path: Path) -> None:
    with running(make_two_videos(tmp_path)) as server:
        say(server, 3, "2")
        assert [numbers(server, index)[0] for index in range(5)] == ["1", "1", "1", "2", "2"]
        say(server, 1, "2")  # they were mistaken here already
        assert [numbers(server, index)[0] for index in range(5)] == ["1", "2", "2", "2", "2"]


def test_another_windows_edit_is_not_covered(tmp_path: Path) -> None:
    run_folder = make_two_videos(tmp_path)
    with running(run_folder) as server:
        before = server.frame(name(2))
        say(server, 2, "2")
        reply = server.save(name(2), "draft", before["people"], before["version"])
        assert reply.status == 409
        assert reply.json["current"]["people"][0]["recognised"]["index"] == 0
        # Nor is the answer that was lost another edit.
        people = reply.json["current"]["people"]
        again = server.save(name(2), "draft", people, before["version"])
        assert again.json["version"] == reply.json["current"]["version"]


def test_numbers_follow_edits_before_and_new_frames(tmp_path: Path) -> None:
    run_folder = make_two_videos(tmp_path)
    with running(run_folder) as server:
        say(server, 2, "2")
        assert numbers(server, 4, OTHER) == ["3", "4"]
        people = server.frame(name(0))["people"]
        added = {**people[0], "uid": "ghost", "box": [120, 80, 150, 118], "recognised": None}
        added["keypoints"] = [[135, 100, 2, 1]] * 17
        assert server.save(name(0), "fixed", [added, *people]).status == 200
        assert [numbers(server, index) for index in (0, 1, 2)] == [
            ["1", "2", "3"], ["2", "3"], ["3", "2"],
        ]  # fmt: skip
        assert numbers(server, 4, OTHER) == ["4", "5"]


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    people = [
        {"uid": "a", "box": [0, 0, 9, 9], "box_score": 1, "keypoints": [[1, 1, 2, 1]] * 17}
    ]  # fmt: skip
    assert edit("00000000", "draft", people).recognised == {}
    wrong: Any
    for wrong in ("old", 7, [], {"index": -1, "box": [0, 0, 1, 1]}, {"index": 1, "box": [0, 0]}):
        with pytest.raises(InputError, match="sighting"):
            edit("00000000", "draft", [{**people[0], "recognised": wrong}])


def test_the_same_bytes_by_any_number_of_workers(tmp_path: Path) -> None:
    """Also after an interruption, and where a person corrected before the rest was labelled."""
    first = make_two_videos(tmp_path)
    with running(first) as server:
        say(server, 2, "2")
        say(server, 3, "new", row=1)
    whole = export(first)
    with Run.read(first) as run:
        corrected = [record for record in run.records() if record.review is not None]
    assert [len(record.recognised) for record in corrected] == [1, 1]
    other = tmp_path / "other"
    records = labelled()
    manifest = make_manifest(tmp_path / "media")
    for number in (3, 1, 2):
        with Run.open(other, manifest, worker=(number, 3)) as run:
            run.append(*records[number - 1 :: 3][:2])
        if number == 3:
            with Run.edit(other) as run:
                run.append(*corrected)
            export(other)
        with Run.open(other, manifest, worker=(number, 3)) as run:  # taken up again
            run.append(*records[number - 1 :: 3][2:])
    assert export(other) == whole


def test_a_refresh_and_an_import_keep_it(tmp_path: Path) -> None:
    run_folder = make_two_videos(tmp_path)
    with running(run_folder) as server:
        say(server, 2, "2")
    people = placed()
    turned = people.select(np.array([1, 0]))  # as other weights find them, in another order
    manifest = replace(make_manifest(tmp_path / "media"), weights_hash="m2")
    with Run.open(run_folder, manifest, refresh=True) as run:
        run.append(*(replace(each, instances=turned, uids=(), model="m2") for each in labelled()))
    export(run_folder)
    want = [[1, 2], [1, 2], [1, 2], [2, 1], [2, 1]]  # in turned order but for the third
    assert [written(run_folder)[name(index)] for index in range(5)] == want
    # A file that comes back says nothing of it.
    document = json.loads((run_folder / "annotations.json").read_bytes())
    number = {image["file_name"]: image["id"] for image in document["images"]}[name(2)]
    for annotation in document["annotations"]:
        if annotation["image_id"] == number:
            annotation["keypoints"][3] += 7
    file = tmp_path / "corrected.json"
    file.write_text(json.dumps(document))
    options = ImportOptions("coco", reviewer="bea", force=True)
    summary = import_corrections(
        run_folder, file, read_corrections, options, for_document, lambda *_: None
    )
    assert summary.count("changed") == 1
    assert [written(run_folder)[name(index)] for index in range(5)] == want


def test_merged_labels_are_corrected_once(tmp_path: Path) -> None:
    run_folder = make_two_videos(tmp_path)
    with running(run_folder) as server:
        say(server, 2, "2")
    want = [[1, 2], [1, 2], [2, 1], [2, 1], [2, 1]]
    empty = tmp_path / "empty.vitpose"
    with Run.open(empty, make_manifest(tmp_path / "media")) as run:
        run.append(FrameRecord(FrameKey("z.jpg"), SIZE_WH, instances=make_people(1)))
    merge_labels(MergeOptions((run_folder, empty), tmp_path / "merged"))
    with Run.read(tmp_path / "merged") as run:
        assert not any(record.recognised for record in run.records())
    export(tmp_path / "merged")
    assert [written(tmp_path / "merged")[name(index)] for index in range(5)] == want
    with running(tmp_path / "merged") as server:  # they are of its files now, and shown as such
        nobody = {"pending": False, "are_given": False, "numbers": {}, "before": [], "lost": []}
        assert known(server, 2) == nobody
        assert [each["track_id"] for each in server.frame(name(2))["people"]] == ["2", "1"]


def recognise(run_folder: Path, index: int, whom: Sighting | None, reviewer: str) -> None:
    """Say who the first person of a frame is."""
    with Run.edit(run_folder) as run:
        record = run.record(FrameKey(VIDEO, index))
        assert record is not None
        review = Review("fixed", reviewer, 1.0, record.version)
        run.append(replace(record, recognised={record.uids[0]: whom}, review=review))


def two_reviewers(folder: Path) -> tuple[Path, Path]:
    """Return two copies of a run."""
    run_folder = make_two_videos(folder)
    return run_folder, shutil.copytree(run_folder, folder / "b.vitpose")


SECOND = Sighting(0, (90, 2, 130, 60))
"""The second person of the video's first frame."""


@pytest.mark.parametrize("is_later", [True, False])
@pytest.mark.parametrize("fps", [25, 0.5])
def test_a_correction_in_any_input_lasts_in_the_merged_labels(
    tmp_path: Path, is_later: bool, fps: float
) -> None:
    """Also at so few frames that nobody can be followed from one to the next."""
    untouched, corrected = two_reviewers(tmp_path)
    for run_folder in (untouched, corrected):
        with Run.edit(run_folder) as run:
            run.append(*(replace(each, time_s=each.key.index / fps) for each in labelled()))
    recognise(corrected, 2, SECOND, "bea")
    recognise(corrected, 4, None, "bea")
    inputs = (untouched, corrected) if is_later else (corrected, untouched)
    for output in (tmp_path / "out", tmp_path / "out.json"):
        done = vitpose("merge", *inputs, "-o", output)
        assert "0 conflicts" in done.stderr, done.stderr
    export(tmp_path / "out")
    shutil.copyfile(tmp_path / "out.json", tmp_path / "annotations.json")
    want = [[1, 2], [1, 2], [2, 1], [2, 1], [3, 1]]
    for folder in (tmp_path / "out", tmp_path):
        assert [written(folder)[name(index)] for index in range(5)] == want


def test_corrections_of_two_inputs_are_merged(tmp_path: Path) -> None:
    first, second = two_reviewers(tmp_path)
    recognise(first, 1, SECOND, "abe")
    recognise(second, 2, SECOND, "bea")
    recognise(second, 3, None, "bea")
    assert not merge_labels(MergeOptions((first, second), tmp_path / "out")).conflicts
    want = [[1, 2], [2, 1], [2, 1], [3, 1], [3, 1]]
    assert [written(tmp_path / "out")[name(index)] for index in range(5)] == want


@pytest.mark.parametrize(
    ("of_first", "of_second", "differ"),
    [
        (None, SECOND, True),
        (SECOND, None, True),
        (None, None, False),
        (SECOND, Sighting(1, SECOND.box), False),
    ],
)
def test_two_who_recognise_different_people_in_one_are_a_conflict(
    tmp_path: Path, of_first: Sighting | None, of_second: Sighting | None, differ: bool
) -> None:
    first, second = two_reviewers(tmp_path)
    recognise(first, 2, of_first, "abe")
    recognise(second, 2, of_second, "bea")
    conflicts = merge_labels(MergeOptions((first, second), tmp_path / "out")).conflicts
    assert [conflict.file_name for conflict in conflicts] == [name(2)] * differ
    mine = [2, 1] if of_first else [3, 2]
    want = [[1, 2], [1, 2], mine, mine, mine]
    assert [written(tmp_path / "out")[name(index)] for index in range(5)] == want


def test_a_correction_that_is_not_taken_is_a_conflict(tmp_path: Path) -> None:
    """The other has decided about the frame, and let the tracker have its way."""
    first, second = two_reviewers(tmp_path)
    with Run.edit(first) as run:
        record = run.record(FrameKey(VIDEO, 2))
        assert record is not None
        run.append(replace(record, review=Review("accepted", "abe", 1.0, record.version)))
    recognise(second, 2, SECOND, "bea")
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out"))
    assert [(each.file_name, each.kept) for each in summary.conflicts] == [(name(2), str(first))]
    assert written(tmp_path / "out")[name(3)] == [1, 2]
