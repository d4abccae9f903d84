import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_cases import (
    RECORDS,
    exported,
    fill,
    make_failure,
    make_fixed,
    make_manifest,
    make_record,
)

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.journal import encode_line
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import document_files
from vitpose_cli.review.edits import Edit


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Return the files of a run that nothing happened to."""
    return exported(fill(tmp_path_factory.mktemp("run")))


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = fill(tmp_path / "new" / "run", RECORDS[:4])
    with Run.open(folder, make_manifest(notes={"device": "other"})) as run:
        assert run.manifest.notes == {}  # as it was first written
        assert len(run) == 4
        assert run.num_failed == 1
        assert run.done() == {record.key for record in RECORDS[:4]} - {FrameKey("bad.jpg")}
        assert FrameKey("bad.jpg") in run.done(retry_errors=False)
        assert list(run.damage) == []
        for record in RECORDS[4:]:
            run.append(record)
        assert [str(record.key) for record in run.records()] == [
            "a.jpg",
            "b.jpg",
            "bad.jpg",
            *(f"clip.mp4/frame_00000{index}.jpg" for index in range(3)),
            "sub/ä.jpg",
        ]
        found = run.record(FrameKey("clip.mp4", 1))
        assert found is not None
        assert found.to_json() == RECORDS[4].to_json()
        assert run.record(FrameKey("nowhere.jpg")) is None
    assert names(folder) == {"manifest.json", "journal-1-of-1.jsonl"}


def test_the_document_does_not_depend_on_the_order(
    tmp_path: Path, undisturbed: tuple[bytes, bytes]
) -> None:
    shuffled = random.Random(1).sample(RECORDS, len(RECORDS))
    for worker in (1, 2, 3):
        with Run.open(tmp_path, make_manifest(), worker=(worker, 3)) as run:
            for record in shuffled[worker - 1 :: 3]:
                run.append(make_failure(record.key.media) if worker == 2 else record)
    for record in shuffled[1::3]:
        fill(tmp_path, [record])
    assert exported(tmp_path)[0] == undisturbed[0]


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    with Run.open(fill(tmp_path), make_manifest()) as run:
        summary = run.export()
    assert (summary.num_images, summary.num_instances, summary.num_failures) == (6, 11, 1)
    document = json.loads(summary.annotations.read_bytes())
    assert len(document["images"]) == 6
    assert len(document["annotations"]) == 11
    failure = {
        "file_name": "bad.jpg",
        "media": "bad.jpg",
        "index": -1,
        "error": "the file is empty",
    }
    assert json.loads(summary.failures.read_bytes()) == failure
    assert names(tmp_path) == {
        "manifest.json",
        "journal-1-of-1.jsonl",
        "annotations.json",
        "failures.jsonl",
        "journal-review.exported",
        "annotations.made",
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_a_run_killed_at_any_byte_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[bytes, bytes], data: st.DataObject
) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    journal = fill(folder) / "journal-1-of-1.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with Run.open(folder, make_manifest()) as run:
        missing = [record for record in RECORDS if record.key not in run.done()]
        for record in missing:
            run.append(record)
    assert exported(folder) == undisturbed


def test_damage_is_reported_and_the_rest_is_used(tmp_path: Path) -> None:
    journal = fill(tmp_path) / "journal-1-of-1.jsonl"
    data = bytearray(journal.read_bytes())
    data[30] ^= 1
    journal.write_bytes(data + b'{"crc":"torn')
    with Run.read(tmp_path) as run:
        assert [(each.num_damaged, each.torn_bytes) for each in run.damage] == [(1, 12)]
        assert len(run) == len(RECORDS) - 1
    with Run.open(tmp_path, make_manifest()) as run:
        assert [(each.num_damaged, each.torn_bytes) for each in run.damage] == [(1, 12)]
        run.append(RECORDS[0])
        assert len(run) == len(RECORDS)


class TestFolder:
    """What may and may not become a run folder."""

    def test_other_options_are_refused(self, tmp_path: Path) -> None:
        fill(tmp_path)
        with pytest.raises(ConfigError, match=r"threshold: was not given, now 0\.5"):
            Run.open(tmp_path, make_manifest(options={"threshold": 0.5}))
        fill(tmp_path)  # and nothing stays locked

    def test_a_folder_with_something_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "holiday.jpg").touch()
        (tmp_path / "thesis.doc").touch()
        for overwrite in (False, True):
            with pytest.raises(InputError, match=r"holds holiday\.jpg and 1 more") as caught:
                Run.open(tmp_path, make_manifest(), overwrite=overwrite)
            assert "-o" in caught.value.hint
        assert names(tmp_path) == {"holiday.jpg", "thesis.doc"}

    def test_labels_without_a_manifest_are_not_touched(self, tmp_path: Path) -> None:
        fill(tmp_path)
        (tmp_path / "manifest.json").unlink()
        with pytest.raises(InputError, match=r"manifest\.json is missing"):
            Run.open(tmp_path, make_manifest(), overwrite=True)
        assert names(tmp_path) == {"journal-1-of-1.jsonl"}

    def test_the_manifest_of_another_program_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
        with pytest.raises(InputError, match="is not the manifest of a run"):
            Run.open(tmp_path, make_manifest(), overwrite=True)
        assert (tmp_path / "manifest.json").read_text() == '{"name": "a web page"}'

    def test_what_a_killed_start_leaves_is_no_obstacle(self, tmp_path: Path) -> None:
        (tmp_path / ".opening.lock").touch()
        (tmp_path / ".manifest.json.123.vitpose-tmp").touch()
        fill(tmp_path)

    def test_overwriting_deletes_our_files_alone(self, tmp_path: Path) -> None:
        exported(fill(tmp_path))
        (tmp_path / "preview").mkdir()
        (tmp_path / "notes.txt").touch()
        with Run.open(tmp_path, make_manifest(weights_hash="ff"), overwrite=True) as run:
            assert len(run) == 0
            assert run.manifest.weights_hash == "ff"
        kept = {"preview", "notes.txt", "manifest.json", "journal-1-of-1.jsonl"}
        assert names(tmp_path) == kept

    def test_human_work_is_never_overwritten(self, tmp_path: Path) -> None:
        fill(tmp_path)
        with Run.edit(tmp_path) as run:
            run.append(make_fixed("a.jpg"), make_fixed("a.jpg"))
        with pytest.raises(InputError, match="labels of a person, in 1 frame;"):
            Run.open(tmp_path, make_manifest(), overwrite=True)
        with Run.read(tmp_path) as run:
            assert len(run) == len(RECORDS)

    def test_a_run_in_use_is_not_overwritten(self, tmp_path: Path) -> None:
        fill(tmp_path)
        with (
            Run.open(tmp_path, make_manifest(), worker=(1, 2)),
            pytest.raises(InputError, match=f"process {os.getpid()}"),
        ):
            Run.open(tmp_path, make_manifest(), worker=(2, 2), overwrite=True)

    @pytest.mark.parametrize("worker", [(0, 1), (3, 2), (1, 0)])
    def test_workers_count_from_one(self, tmp_path: Path, worker: tuple[int, int]) -> None:
        with pytest.raises(ConfigError, match="no worker"):
            Run.open(tmp_path, make_manifest(), worker=worker)

    def test_a_place_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "run").touch()
        with pytest.raises(InputError, match="Cannot write"):
            Run.open(tmp_path / "run", make_manifest())

    def test_what_is_no_run_is_not_read(self, tmp_path: Path) -> None:
        for opened in (Run.read, Run.edit):
            with pytest.raises(InputError, match="is not a run folder"):
                opened(tmp_path)
        assert names(tmp_path) == set()

    def test_photos_given_as_their_run_give_a_hint(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        Run.open(tmp_path / "photos.vitpose", make_manifest()).close()
        for read in (Run.read, document_files):
            with pytest.raises(InputError) as raised:
                read(tmp_path / "photos")
            assert raised.value.hint == f"Did you mean {tmp_path / 'photos.vitpose'}?"
            with pytest.raises(InputError) as raised:
                read(tmp_path)
            assert "vitpose annotate -o" in raised.value.hint
        with pytest.raises(InputError, match="is not finished"):
            document_files(tmp_path / "photos.vitpose")
        with pytest.raises(InputError, match="no run folder"):
            Run.read(tmp_path / "nowhere")
        with pytest.raises(InputError, match="is a file, not a run folder"):
            Run.read(tmp_path / "photos.vitpose" / "manifest.json")


class TestEditing:
    """A person's labels, beside a run that goes on."""

    def test_human_wins_over_any_later_run(self, tmp_path: Path) -> None:
        fill(tmp_path)
        fixed = make_fixed("a.jpg")
        with Run.open(tmp_path, make_manifest()) as run:
            with Run.edit(tmp_path) as editing:
                editing.append(fixed)
            run.append(make_record("a.jpg", count=1))
            run.export()
        with Run.read(tmp_path) as run:
            found = run.record(fixed.key)
        assert found is not None
        assert found.to_json() == fixed.to_json()
        document = json.loads((tmp_path / "annotations.json").read_bytes())
        assert document["images"][0]["review"] == "fixed"
        attributes = document["annotations"][0]["attributes"]
        assert attributes["source"] == "human"
        assert attributes["review"] == "fixed"

    def test_rejected_frames_are_left_out(self, tmp_path: Path) -> None:
        fill(tmp_path)
        with Run.edit(tmp_path) as run:
            run.append(make_record("a.jpg", review=Review("rejected", "anna")))
        annotations, failures = exported(tmp_path)
        assert b"a.jpg" not in annotations + failures

    def test_labels_made_after_a_decision_are_nobodys_work(self, tmp_path: Path) -> None:
        fill(tmp_path, [make_failure("a.jpg")])
        with Run.edit(tmp_path) as editing:
            editing.append(replace(make_failure("a.jpg"), review=Review("rejected", "anna")))
        fill(tmp_path, [make_record("a.jpg")])
        with Run.read(tmp_path) as run:
            found = run.record(FrameKey("a.jpg"))
            assert found is not None
            assert found.rejected
            assert found.instances is not None
            looked_at = Edit(found.version, "accepted", found.instances, found.uids)
            after = looked_at.applied(found, "anna", 1.0)
        assert after.review is not None
        assert after.review.state == "accepted"

    def test_only_one_edits(self, tmp_path: Path) -> None:
        fill(tmp_path)
        with Run.edit(tmp_path), pytest.raises(InputError, match="journal-review"):
            Run.edit(tmp_path)


LINES = [*map(encode_line, RECORDS), *map(encode_line, (make_fixed("a.jpg"), make_fixed("b.jpg")))]
PIECES = [*LINES, LINES[0][:-1], LINES[3][:-40], b"\n", b"garbage\n", b'{"crc":"']


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    journals=st.lists(st.lists(st.sampled_from(PIECES)), min_size=1, max_size=3),
    later=st.lists(st.sampled_from(LINES), max_size=3),
    max_bytes=st.integers(1, 2000),
)
def test_a_run_read_bit_by_bit_is_the_run_read_at_once(
    tmp_path: Path, journals: list[list[bytes]], later: list[bytes], max_bytes: int
) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    folder = fill(tmp_path / "run", [])
    paths = [folder / f"journal-{place}-of-3.jsonl" for place in range(1, len(journals) + 1)]
    for path, pieces in zip(paths, journals, strict=True):
        path.write_bytes(b"".join(pieces))
    with Run.edit(folder, read=False) as bit_by_bit:
        assert len(bit_by_bit) == 0
        bit_by_bit.refresh(max_bytes)
        with paths[-1].open("ab") as stream:  # its worker still goes on
            stream.write(b"\n" + b"".join(later))
        while not bit_by_bit.refresh(max_bytes):
            pass
        at_once = Run.read(folder)
        for one, other in zip(bit_by_bit.records(), at_once.records(), strict=True):
            assert one.to_json() == other.to_json()
        every = at_once.done(retry_errors=False)
        assert bit_by_bit.texts() == at_once.texts() == [key.text for key in sorted(every)]
        assert bit_by_bit.failed_texts() == at_once.failed_texts()
        assert bit_by_bit.progress() == at_once.progress()
        assert bit_by_bit.reviewed() == at_once.reviewed()


def test_what_is_written_before_all_is_read_passes_nothing_over(tmp_path: Path) -> None:
    fill(tmp_path)
    with Run.edit(tmp_path, read=False) as run:
        run.append(make_fixed("a.jpg"))
    with Run.edit(tmp_path, read=False) as run:
        assert not run.refresh(1)
        assert len(run) == 1
        run.append(make_fixed("b.jpg"))
        assert run.refresh()
        assert run.reviewed() == {FrameKey("a.jpg"), FrameKey("b.jpg")}
        assert len(run) == len(RECORDS)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with Run.read(fill(tmp_path)) as run, pytest.raises(InputError, match="only to be read"):
        run.append(RECORDS[0])


def test_keypoints_must_be_those_of_the_run(tmp_path: Path) -> None:
    manifest = make_manifest(keypoint_set={"id": 1, "name": "x", "keypoints": ["a"]})
    with (
        Run.open(tmp_path, manifest) as run,
        pytest.raises(InputError, match=r"17 keypoints, the run .* has 1"),
    ):
        run.append(RECORDS[0])


def test_progress_says_who_is_done_since_the_last_refresh(tmp_path: Path) -> None:
    def done() -> list[bool]:
        return [worker.complete for worker in reader.progress()]

    with Run.open(tmp_path, make_manifest()) as writer:
        writer.append(RECORDS[0])
        reader = Run.read(tmp_path)
        writer.complete()
        assert done() == [False]
        reader.refresh()
        assert done() == [True]
        writer.append(RECORDS[1])
        reader.refresh()
        assert done() == [False]


@pytest.mark.parametrize("order", [(1, 2, 3), (2, 3, 1)])
def test_the_last_worker_to_end_knows_that_all_are_done(
    tmp_path: Path, order: tuple[int, int, int]
) -> None:
    for number in order:
        with Run.open(tmp_path, make_manifest(), worker=(number, 3)) as run:
            assert run.complete() == (number == order[-1])
    with Run.open(tmp_path, make_manifest(), worker=(2, 3)) as run:
        run.append(RECORDS[0])  # there was something left to do, as a photo was added
    with Run.open(tmp_path, make_manifest(), worker=(1, 3)) as run:
        assert not run.complete()


def test_workers_see_each_other_when_they_look(tmp_path: Path) -> None:
    with (
        Run.open(tmp_path, make_manifest(), worker=(1, 2)) as first,
        Run.open(tmp_path, make_manifest(), worker=(2, 2)) as second,
    ):
        first.append(RECORDS[0])
        second.append(RECORDS[1])
        assert len(first) == 1
        first.refresh()
        assert len(first) == 2
        first.refresh()
        second.append(RECORDS[3])
        assert first.export().num_images == 3


def test_the_end_of_a_video_is_written_down_once_for_a_file(tmp_path: Path) -> None:
    end = FrameRecord(FrameKey("v.mp4", 3), error="", ended_after=3, file_bytes=700)
    other_file = replace(end, file_bytes=900)
    grown = replace(end, key=FrameKey("v.mp4", 5), ended_after=5)
    with Run.open(tmp_path, make_manifest()) as run:
        for record in (end, end, other_file, end, other_file, grown, grown):
            run.append_end(record)
    lines = (tmp_path / "journal-1-of-1.jsonl").read_bytes()
    assert lines == b"".join(map(encode_line, (end, other_file, grown)))
