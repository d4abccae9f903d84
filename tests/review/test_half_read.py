"""A review whose run is still being read."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
from review_cases import PHOTOS, SIZE_WH, edit, make_manifest, make_people
from session_cases import listed, num_lines, opened

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.review.session import NotSavedError, ReviewSession, VersionConflictError
from vitpose_cli.review.table import Query


@pytest.fixture
def bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a session read a line at a time."""
    monkeypatch.setattr("vitpose_cli.review.run_table._READ_BYTES", 1)


def half_read(folder: Path) -> ReviewSession:
    return ReviewSession(Run.edit(folder, read=False), reviewer="anna")


@pytest.mark.usefixtures("bit_by_bit")
def test_the_first_frames_are_shown_before_the_rest_is_read(run_folder: Path) -> None:
    every = ["a.jpg", "b.jpg", "broken.jpg", PHOTOS[3], PHOTOS[2]]  # then the video
    every += [f"clip.mp4/frame_{index:06d}.jpg" for index in range(5)]
    session = half_read(run_folder)
    assert not session.is_whole
    assert listed(session, Query()) == every[:1]
    assert session.progress()["num_read"] == 1
    assert session.describe()["videos"] == []
    (row,) = session.rows([0])  # counted as it is shown, before all else
    assert (row["name"], row["num_people"], row["score"]) == (every[0], 0, 1.0)
    session.start()
    assert listed(session, Query(order="name")) == every  # waits
    assert session.is_whole
    assert listed(session, Query()) == every
    assert session.progress()["num_read"] is None
    assert session.describe()["videos"] == ["clip.mp4"]
    assert session.progress()["counts"]["failed"] == 1
    session.close()


@pytest.mark.usefixtures("bit_by_bit")
def test_frames_are_in_the_order_of_their_names_once_all_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "run.vitpose"
    with Run.open(folder, make_manifest(tmp_path)) as run:
        for name in ("b.jpg", "c.jpg", "a.jpg"):  # as several workers leave them
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=make_people(1)))
    session = half_read(folder)
    assert listed(session, Query()) == ["b.jpg"]
    session.start()
    session.frames(Query(text="b"))  # waits
    assert listed(session, Query()) == ["a.jpg", "b.jpg", "c.jpg"]
    session.close()


@pytest.mark.usefixtures("bit_by_bit")
def test_nothing_reads_on_behind_a_review_that_has_ended(run_folder: Path) -> None:
    session = half_read(run_folder)
    session.start()
    session.close()
    assert "review-table" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.usefixtures("bit_by_bit")
def test_nothing_is_written_over_what_was_not_read_yet(run_folder: Path) -> None:
    session = opened(run_folder)
    session.save(0, edit(session.frame(0)["version"], "fixed", []))
    session.close()
    session = half_read(run_folder)
    seen = session.frame(0)
    assert seen["row"]["state"] == "todo"  # the journal of reviews comes last
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(session.save, 0, edit(seen["version"], "accepted"))
        assert not wait([saving], timeout=0.1).done
        session.start()
        with pytest.raises(VersionConflictError):
            saving.result(60)
    session.close()
    assert num_lines(run_folder) == 1


@pytest.mark.usefixtures("bit_by_bit")
def test_a_queue_is_known_from_the_start(run_folder: Path) -> None:
    with closing(Run.edit(run_folder, read=False)) as run:
        session = ReviewSession(run, reviewer="anna", queue={"clip.mp4/frame_000004.jpg": ()})
        assert session.is_whole
        assert session.num_queued == 1


@pytest.mark.usefixtures("bit_by_bit")
def test_a_run_that_cannot_be_read_to_its_end_takes_no_edits(run_folder: Path) -> None:
    session = half_read(run_folder)
    version = session.frame(0)["version"]
    (run_folder / "journal-9-of-9.jsonl").mkdir()
    session.start()
    with pytest.raises(InputError, match="journal-9-of-9"):
        session.frames(Query(text="b"))
    with pytest.raises(NotSavedError, match="journal-9-of-9"):
        session.save(0, edit(version, "accepted"))
    assert "journal-9-of-9" in session.progress()["problem"]
    assert listed(session, Query()) == ["a.jpg"]
    session.close()
    assert num_lines(run_folder) == 0
