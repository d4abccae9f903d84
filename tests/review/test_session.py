import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from review_cases import PHOTOS, SIZE_WH, edit, make_manifest, make_people
from session_cases import listed, num_lines, opened

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.history import Changes, frame_history
from vitpose_cli.records.mean_pose import mean_pose
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.review.session import (
    ReviewSession,
    UnknownFrameError,
    VersionConflictError,
)
from vitpose_cli.review.table import Query

KEY = FrameKey("b.jpg")
NUMBER = 1


def test_a_decision_alone_leaves_labels_to_the_last_bit(run_folder: Path) -> None:
    session = opened(run_folder)
    with Run.read(run_folder) as run:
        before = run.record(KEY)
    session.save(NUMBER, edit(session.frame(NUMBER)["version"], "accepted"))
    session.close()
    with Run.read(run_folder) as run:
        after = run.record(KEY)
    assert before is not None
    assert after is not None
    assert replace(after, review=None, exact=True).version == before.version


def test_an_edit_whose_answer_was_lost_may_be_sent_again(run_folder: Path) -> None:
    session = opened(run_folder)
    people = session.frame(NUMBER)["people"]
    people[0]["box"][0] = 1.5
    for state, labels in (("draft", people), ("accepted", None), ("accepted", people)):
        wanted = edit(session.frame(NUMBER)["version"], state, labels)
        assert session.save(NUMBER, wanted) == session.save(NUMBER, wanted)
    assert session.frame(NUMBER)["row"]["state"] == "fixed"
    session.close()
    assert num_lines(run_folder) == 3


def test_a_decision_alone_is_not_done_where_another_window_changed_the_labels(
    run_folder: Path,
) -> None:
    session = opened(run_folder)
    seen = session.frame(NUMBER)
    first, second = ([{**seen["people"][0], "box": [left, 2, 30, 40]}] for left in (1, 5))
    for wanted, labels in (("accepted", first), ("fixed", second), ("rejected", [])):
        session.save(NUMBER, edit(seen["version"], wanted, labels))
        with pytest.raises(VersionConflictError):
            session.save(NUMBER, edit(seen["version"], wanted))
        seen = session.frame(NUMBER)
        session.save(NUMBER, edit(seen["version"], wanted))
        done = edit(seen["version"], wanted)
        seen = session.frame(NUMBER)
        assert session.save(NUMBER, done) == seen
        session.close()
        session = opened(run_folder)  # as a browser that was closed meanwhile finds it
        assert session.save(NUMBER, done)["version"] == seen["version"]
    session.close()
    assert num_lines(run_folder) == 6


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "decision alone"])
@pytest.mark.parametrize(
    ("theirs", "mine"),
    [("accepted", "rejected"), ("rejected", "accepted"), ("accepted", "fixed"), ("fixed", "draft")],
)
def test_another_decision_on_the_same_labels_is_not_done(
    run_folder: Path, theirs: str, mine: str, labels: bool
) -> None:
    session = opened(run_folder)
    seen = session.frame(NUMBER)
    people = seen["people"] if labels else None
    session.save(NUMBER, edit(seen["version"], theirs, people))
    with pytest.raises(VersionConflictError):
        session.save(NUMBER, edit(seen["version"], mine, people))
    session.close()
    assert num_lines(run_folder) == 1


def test_a_run_has_its_name_wherever_it_is_called_from(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder)
    session = opened(Path())
    assert session.describe()["name"] == run_folder.name
    session.close()


def test_what_a_browser_keeps_of_a_run_is_not_for_another_one_in_its_place(
    run_folder: Path, tmp_path: Path
) -> None:
    ids = []
    for _ in range(2):
        session = opened(run_folder)
        ids.append(session.describe()["id"])
        session.close()
    assert ids[0] == ids[1]
    shutil.copytree(run_folder, tmp_path / "copy.vitpose")
    manifest = run_folder / "manifest.json"
    later = orjson.loads(manifest.read_bytes()) | {"created": "2030-01-01T00:00:00+00:00"}
    manifest.write_bytes(orjson.dumps(later))  # as of a run that was made in its place
    for other in (tmp_path / "copy.vitpose", run_folder):
        session = opened(other)
        ids.append(session.describe()["id"])
        session.close()
    assert len(set(ids)) == 3


def test_an_edit_that_is_set_aside_changes_nothing(run_folder: Path) -> None:
    session = opened(run_folder)
    seen = session.frame(NUMBER)
    people = [{**seen["people"][0], "box": [1, 2, 30, 40]}]
    theirs = session.save(NUMBER, edit(seen["version"], "fixed", []))
    mine = edit(seen["version"], "accepted", people)
    with pytest.raises(VersionConflictError) as refused:
        session.save(NUMBER, mine)
    assert refused.value.current == theirs
    assert session.set_aside(NUMBER, mine) == theirs
    assert session.save(NUMBER, edit(theirs["version"], "draft"))["people"] == []
    session.close()
    assert num_lines(run_folder) == 3
    model, first, aside, last = frame_history(run_folder, "b.jpg")
    assert [each.counts for each in (model, first, aside, last)] == [False, False, False, True]
    assert aside.record.set_aside
    assert aside.record.review is not None
    assert (aside.record.review.state, aside.record.review.previous) == (
        "fixed",  # its labels are a person's
        model.record.version,
    )
    assert aside.changes == Changes(num_boxes=1)
    again = opened(run_folder)
    assert again.frame(NUMBER)["row"]["state"] == "draft"
    assert again.close() is None  # the document has all that counts


def state_after(session: ReviewSession, *steps: tuple[str, Any]) -> str:
    """Return what the server makes of the last of several edits."""
    for state, people in steps:
        view = session.save(NUMBER, edit(session.frame(NUMBER)["version"], state, people))
    return str(view["row"]["state"])


def test_what_was_accepted_is_told_from_what_was_fixed_by_the_labels(run_folder: Path) -> None:
    session = opened(run_folder)
    seen = session.frame(NUMBER)["people"]
    moved = [{**seen[0], "box": [1, 2, 30, 40]}]
    assert state_after(session, ("accepted", None), ("draft", None), ("accepted", seen)) == (
        "accepted"
    )
    assert state_after(session, ("draft", moved), ("rejected", None), ("accepted", None)) == "fixed"
    assert state_after(session, ("fixed", seen)) == "fixed"  # a person says so
    assert state_after(session, ("accepted", None)) == "accepted"
    session.close()


@pytest.mark.parametrize("state", ["draft", "fixed"])
def test_work_of_earlier_versions_stays_a_persons(run_folder: Path, state: Any) -> None:
    with Run.edit(run_folder) as run:
        record = run.record(KEY)
        assert record is not None
        run.append(replace(record, review=Review(state, "bea", 12.0), exact=True))
    session = opened(run_folder)
    assert state_after(session, ("rejected", None)) == "rejected"
    session.close()
    session = opened(run_folder)
    assert state_after(session, ("draft", None), ("accepted", None)) == "fixed"
    session.close()


def test_of_many_edits_at_once_one_is_written(run_folder: Path) -> None:
    session = opened(run_folder)
    seen = session.frame(NUMBER)

    def change(place: int) -> bool:
        moved = [{**seen["people"][0], "box": [place, 1, 50, 60]}]
        try:
            session.save(NUMBER, edit(seen["version"], "fixed", moved))
        except VersionConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(change, range(1, 17)))
    session.close()
    assert written.count(True) == num_lines(run_folder) == 1


def test_states_of_earlier_reviews_are_there_at_once(run_folder: Path) -> None:
    session = opened(run_folder)
    session.save(NUMBER, edit(session.frame(NUMBER)["version"], "fixed", []))
    assert session.num_edited == 1
    session.close()
    again = opened(run_folder)
    again.start()
    assert again.progress()["counts"]["fixed"] <= 1
    assert again.frames(Query())["counts"]["fixed"] == 1
    assert again.close() is None  # nothing was changed: nothing is written


def test_a_queue_gives_order_and_reasons(run_folder: Path) -> None:
    queue = {"none.jpg": (), PHOTOS[2]: ("blurred",), "clip.mp4/frame_000003.jpg": (), "a.jpg": ()}
    session = opened(run_folder, queue=queue)
    session.start()
    numbers = session.frames(Query(queued=True))["numbers"].tolist()
    assert [str(session.key(number)) for number in numbers] == list(queue)[1:]
    assert session.frame(numbers[0])["reasons"] == ("blurred",)
    assert session.progress()["queue_counts"]["todo"] == 3
    session.close()
    with pytest.raises(InputError, match="None of the 1 frames"):
        opened(run_folder, queue={"none.jpg": ()})


def test_a_queue_finds_names_in_any_form_of_unicode(run_folder: Path) -> None:
    decomposed, plain = unicodedata.normalize("NFD", PHOTOS[2]), PHOTOS[2]
    assert decomposed != plain
    queue = {decomposed: ("blurred",), "a.jpg": (), plain: ("twice",)}
    session = opened(run_folder, queue=queue)
    session.start()
    assert listed(session, Query(queued=True)) == [plain, "a.jpg"]
    session.close()
    with Run.open(run_folder, make_manifest(run_folder.parent / "media")) as run:
        run.append(FrameRecord(FrameKey("e\u0301.jpg"), SIZE_WH, instances=make_people(1)))
    session = opened(run_folder, queue={"\u00e9.jpg": ("blurred",), "e.jpg": ()})
    session.start()
    (number,) = session.frames(Query(queued=True))["numbers"].tolist()
    assert session.frame(number)["reasons"] == ("blurred",)
    session.close()


def test_a_run_without_frames_cannot_be_reviewed(tmp_path: Path) -> None:
    with Run.open(tmp_path / "empty", make_manifest(tmp_path)):
        pass
    with pytest.raises(InputError, match="no frames"):
        opened(tmp_path / "empty")


def test_an_unknown_frame_is_an_error(run_folder: Path) -> None:
    session = opened(run_folder)
    for number in (-1, 10_000):
        with pytest.raises(UnknownFrameError):
            session.frame(number)
    session.close()


def test_the_mean_pose_is_that_of_the_run_and_a_ring_where_there_is_none() -> None:
    people = make_people(1)
    people = replace(people, boxes=np.array([[10, 10, 50, 50]], np.float32))
    people.keypoints[0, 3] = (20, 40)
    pose = mean_pose([FrameRecord(KEY, SIZE_WH, instances=people)], 17)
    assert pose[3] == [0.25, 0.75]
    assert pose[0] == [0.5, 0.15]  # nobody has a labelled nose
    assert mean_pose([], 2) == [[0.5, 0.15], [0.5, 0.85]]


def test_the_page_gets_the_mean_pose_of_all_frames_of_a_small_run(run_folder: Path) -> None:
    with closing(Run.edit(run_folder)) as run:
        records = list(filter(None, map(run.record, map(FrameKey.from_text, run.texts()))))
    with closing(opened(run_folder)) as session:
        assert session.describe()["template"] == mean_pose(records, 17)
    assert len([record for record in records if record.instances]) > 1
