"""The document of a run is not used while it lacks what a person has labelled since."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from review_cases import running
from runs import vitpose
from training_cases import small_run

from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import lacks_edits
from vitpose_cli.tracking.smoothed_labels import for_document


@pytest.fixture
def written(run_folder: Path) -> Path:
    """Return a run that has its document."""
    with Run.edit(run_folder) as run:
        run.export(for_document)
    return run_folder


@pytest.mark.parametrize(("killed", "of_file"), [(False, True), (True, False)])
def test_it_is_refused_while_a_review_is_open_and_after_it_was_killed(
    written: Path, killed: bool, of_file: bool
) -> None:
    labels = written / "annotations.json" if of_file else written
    config = written.parent / "train.yaml"
    images = str(written.parent / "media")
    source = {"kind": "coco", "annotations": str(labels), "images": images}
    config.write_text(yaml.safe_dump(small_run(written.parent, data={"train": [source]})))
    commands = [
        ("validate", labels),
        ("evaluate", "-a", labels, "-p", written),
        ("train", "-c", config, "--dry-run"),
        ("annotate", written.parent / "media", "--boxes", labels, "-o", written.parent / "new"),
    ]
    with running(written) as server:
        assert server.save("b.jpg", "accepted").status == 200
        if killed:
            server.kill()
        for command in commands:
            done = vitpose(*command)
            said = " ".join(done.stderr.split())
            assert done.returncode == 3, said
            assert "A person has labelled frames in" in said
            assert "vitpose review" in said
    if killed:
        with running(written):
            pass
    assert vitpose("validate", labels).returncode == 0


def test_a_copy_of_a_run_is_as_good_whatever_the_times_of_its_files(
    written: Path, tmp_path: Path
) -> None:
    with running(written) as server:
        server.save("b.jpg", "accepted")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in sorted(written.iterdir()):  # the document first, the journal of edits after it
        shutil.copy(path, copy / path.name)
    assert not lacks_edits(copy)
    assert vitpose("validate", copy).returncode == 0


def _as_of_an_earlier_version(folder: Path) -> None:
    (folder / "journal-review.exported").unlink(missing_ok=True)


def _as_it_is(_folder: Path) -> None:
    pass


@pytest.mark.parametrize("before", [(), ("accepted",)])
def test_edits_are_missed_whatever_the_clock_said(written: Path, before: tuple[str, ...]) -> None:
    for state in (*before, "rejected"):
        with running(written) as server:
            assert server.save("b.jpg", state).status == 200
            if state == "rejected":
                server.kill()
        for document in written.glob("annotations*.json"):
            os.utime(document, (4e9, 4e9))  # written by a clock that was set back since
    done = vitpose("validate", written)
    assert done.returncode == 3
    assert "their review or import is still open, or was killed" in " ".join(done.stderr.split())
    with running(written):
        pass
    assert vitpose("validate", written).returncode == 0


@pytest.mark.parametrize(
    ("change", "lacking"), [(_as_it_is, False), (_as_of_an_earlier_version, True)]
)
def test_only_runs_that_do_not_say_what_their_document_contains_are_judged_by_time(
    written: Path, change: Callable[[Path], None], lacking: bool
) -> None:
    with running(written) as server:
        server.save("b.jpg", "accepted")
    change(written)
    os.utime(written / "annotations.json", (1, 1))
    assert lacks_edits(written) is lacking


def test_a_document_from_a_backup_is_not_taken_for_the_one_that_was_written(
    written: Path, tmp_path: Path
) -> None:
    shutil.copy2(written / "annotations.json", tmp_path / "backup.json")
    with running(written) as server:
        server.save("b.jpg", "rejected")
    assert not lacks_edits(written)
    shutil.copy2(tmp_path / "backup.json", written / "annotations.json")
    assert lacks_edits(written)


def test_the_first_edits_of_a_journal_that_was_moved_away_are_not_taken_for_the_next(
    written: Path,
) -> None:
    with running(written) as server:
        server.save("b.jpg", "accepted")
    (written / "journal-review.jsonl").unlink()
    with running(written) as server:
        server.save("b.jpg", "fixed")
        server.kill()
    os.utime(written / "annotations.json", (4e9, 4e9))
    assert lacks_edits(written)
