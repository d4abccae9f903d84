from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_cases import make_failure, make_manifest, make_record

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.history import Changes, changes, frame_history, histories, parse_key
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run


def edited(record: FrameRecord, state: str, **fields: object) -> FrameRecord:
    review = Review(state, "anna", 1.0, record.version)  # type: ignore[arg-type]
    return replace(record, review=review, **fields)  # type: ignore[arg-type]


def test_a_key_may_be_a_photo_or_a_frame_of_a_video() -> None:
    assert parse_key("a/b.jpg") == [FrameKey("a/b.jpg")]
    text = str(FrameKey("clip.mp4", 12))
    assert parse_key(text) == [FrameKey(text), FrameKey("clip.mp4", 12)]
    assert parse_key("clip.mp4/frame_12.jpg") == [FrameKey("clip.mp4/frame_12.jpg")]


def test_history_tells_every_step_in_order(tmp_path: Path) -> None:
    first = make_record("clip.mp4", 3)
    again = replace(first, model="fedcba9876543210")
    fixed = edited(again, "fixed")
    accepted = edited(fixed, "accepted")
    with Run.open(tmp_path, make_manifest()) as run:
        run.append(first)
        run.append(make_record("clip.mp4", 4))
    with Run.edit(tmp_path) as run:
        run.append(fixed)
        run.append(accepted)
    with Run.open(tmp_path, make_manifest()) as run:
        run.append(again)
        assert run.reviewed() == {first.key}
        documents = list(run.json_records([first.key, FrameKey("none.jpg")]))
    assert [document["review"]["state"] for document in documents] == ["accepted"]
    past = frame_history(tmp_path, str(first.key))
    assert [version.record.version for version in past] == [
        record.version for record in (first, again, fixed, accepted)
    ]
    assert [version.counts for version in past] == [False, False, False, True]


def test_what_a_model_says_later_is_not_what_a_person_changed(tmp_path: Path) -> None:
    first = make_record("a.jpg")
    people = first.instances
    assert people is not None
    later = replace(
        first,
        model="fedcba9876543210",
        instances=replace(people, visibility=np.ones_like(people.visibility)),
    )
    points = people.keypoints.copy()
    points[0, 5] += (3, 4)
    fixed = edited(first, "fixed", instances=replace(people, keypoints=points))
    accepted = edited(fixed, "accepted")
    unread = make_failure("b.jpg")
    manifest = make_manifest()
    with Run.open(tmp_path, manifest) as run:
        run.append(first)
        run.append(unread)
    with Run.edit(tmp_path) as run:
        run.append(fixed)
        run.append(accepted)
        run.append(edited(unread, "accepted"))
    refreshed = make_manifest(weights_hash="fedcba9876543210")
    with Run.open(tmp_path, refreshed, refresh=True) as run:
        run.append(later)
        run.append(make_record("b.jpg"))
    past = frame_history(tmp_path, "a.jpg")
    assert [version.record.version for version in past] == [
        record.version for record in (first, fixed, accepted, later)
    ]
    assert [version.counts for version in past] == [False, False, True, False]
    assert past[0].changes is None
    assert past[1].changes == Changes(num_moved=1, max_move_px=5.0)
    assert past[2].changes == Changes()
    assert past[3].changes == Changes(num_visibility=people.visibility.size)
    decided = [version for version in frame_history(tmp_path, "b.jpg") if version.counts]
    assert [version.record.origin for version in decided] == ["human", "model"]


def test_a_person_who_saw_what_is_gone_is_compared_with_the_one_before(tmp_path: Path) -> None:
    first = make_record("a.jpg")
    late = replace(first, review=Review("accepted", "anna", 1.0, "gone"))
    with Run.open(tmp_path, make_manifest()) as run:
        run.append(first)
    with Run.edit(tmp_path) as run:
        run.append(late)
        run.append(edited(first, "rejected"))
    past = frame_history(tmp_path, "a.jpg")
    states = [version.record.review and version.record.review.state for version in past]
    assert states == [None, "accepted", "rejected"]
    assert [version.changes for version in past] == [None, Changes(), Changes()]


def test_what_was_set_aside_follows_what_was_seen_and_is_no_past(tmp_path: Path) -> None:
    first = make_record("a.jpg")
    theirs = edited(first, "fixed")
    mine = edited(first, "rejected", set_aside=True)
    last = edited(theirs, "accepted")
    with Run.open(tmp_path, make_manifest()) as run:
        run.append(first)
    with Run.edit(tmp_path) as run:
        run.append(theirs)
        run.append(mine)
        counts = run.record(first.key)
        assert counts is not None
        assert counts.version == theirs.version
        run.append(last)
    past = frame_history(tmp_path, "a.jpg")
    assert [version.record.version for version in past] == [
        record.version for record in (first, theirs, mine, last)
    ]
    assert [version.counts for version in past] == [False, False, False, True]
    ((_, counted),) = histories(tmp_path, [first.key])
    assert [record.version for record in counted] == [
        record.version for record in (first, theirs, last)
    ]


def test_an_unknown_frame_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with Run.open(tmp_path, make_manifest()):
        pass
    with pytest.raises(InputError, match=r"no frame 'a\.jpg'") as caught:
        frame_history(tmp_path, "a.jpg")
    assert "file_name" in caught.value.hint


def test_changes_are_counted_person_by_person() -> None:
    before = make_record("a.jpg", count=3)
    people = before.instances
    assert people is not None
    points, visibility, boxes = people.keypoints.copy(), people.visibility.copy(), people.boxes
    points[0, 5] += (3, 4)
    visibility[1, 2] = 1 if visibility[1, 2] != 1 else 2
    after = replace(people, keypoints=points, visibility=visibility).select([0, 1])
    assert changes(before, edited(before, "accepted")) == Changes()
    assert changes(
        before, edited(before, "fixed", instances=after, uids=before.uids[:2])
    ) == Changes(num_removed=1, num_moved=1, max_move_px=5.0, num_visibility=1)
    moved = replace(after, boxes=boxes[:2] + np.float32(1))
    swapped = edited(before, "fixed", instances=moved, uids=("new", before.uids[1]))
    result = changes(before, swapped)
    assert (result.num_added, result.num_removed, result.num_boxes) == (1, 2, 1)
