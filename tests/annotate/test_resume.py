"""What a resumed run reads: all that is missing, whatever was added meanwhile, in whole chunks."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import save_photos

from vitpose_cli.annotate.resume import finished
from vitpose_cli.annotate.worker_part import WorkerPart
from vitpose_cli.labeler import CHUNK_FRAMES
from vitpose_cli.media.frames import AllBut, FrameFailure, FrameKey
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run

NUM_FRAMES = 40  # of every clip: one chunk and a part


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.open(tmp_path / "run", RunManifest(keypoint_set("coco").to_category())) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "media"
    made.mkdir()
    return made


def save_clip(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 24))
    for shade in range(NUM_FRAMES):
        writer.write(np.full((24, 32, 3), shade, np.uint8))
    writer.release()


def record(run: Run, keys: Iterable[FrameKey], error: str | None = None) -> None:
    for key in keys:
        people = Instances.empty(17) if error is None else None
        run.append(FrameRecord(key, (32, 24), instances=people, error=error))


def record_end(run: Run, file: Path) -> None:
    size = file.stat().st_size
    end = FrameKey(file.name, NUM_FRAMES)
    run.append_end(FrameRecord(end, error="", ended_after=NUM_FRAMES, file_bytes=size))


def clip(name: str, start: int = 0, stop: int = NUM_FRAMES) -> list[FrameKey]:
    return [FrameKey(name, index) for index in range(start, stop)]


def read_again(source: MediaSource, run: Run) -> list[FrameKey]:
    return [frame.key for frame in source.frames(finished(source, run))]


def test_nothing_is_read_of_photos_that_are_done(folder: Path, run: Run) -> None:
    save_photos(folder, 3)
    source = open_source([str(folder)])
    record(run, source.keys())
    assert read_again(source, run) == []


def test_the_chunk_under_way_is_read_again_as_a_whole(folder: Path, run: Run) -> None:
    save_photos(folder, CHUNK_FRAMES + 8)
    source = open_source([str(folder)])
    record(run, source.keys()[: CHUNK_FRAMES + 3])
    assert read_again(source, run) == source.keys()[CHUNK_FRAMES:]
    record(run, source.keys()[CHUNK_FRAMES + 3 :])
    assert read_again(source, run) == []


def test_of_a_video_the_chunk_under_way_and_the_rest_are_read(folder: Path, run: Run) -> None:
    save_clip(folder / "a.avi")
    save_clip(folder / "b.avi")
    record(run, clip("a.avi"))
    record_end(run, folder / "a.avi")
    record(run, clip("b.avi", stop=CHUNK_FRAMES + 2))
    source = open_source([str(folder)])
    assert read_again(source, run) == clip("b.avi", CHUNK_FRAMES)


def test_a_video_is_whole_once_its_end_is_written_down_and_not_before(
    folder: Path, run: Run
) -> None:
    save_clip(folder / "a.avi")
    save_photos(folder, 2)
    source = open_source([str(folder)])
    record(run, [*clip("a.avi", stop=CHUNK_FRAMES), *source.keys()])
    assert run.complete()
    assert read_again(source, run) == clip("a.avi")
    record_end(run, folder / "a.avi")  # but a journal with the last frames was lost
    assert read_again(source, run) == clip("a.avi")
    record(run, clip("a.avi", CHUNK_FRAMES))
    assert read_again(source, run) == []


def test_a_video_left_in_the_middle_is_finished_though_files_came_before_it(
    folder: Path, run: Run
) -> None:
    save_clip(folder / "b.avi")
    record(run, clip("b.avi", stop=5))
    save_photos(folder, 2)
    save_clip(folder / "a.avi")
    source = open_source([str(folder)])
    record(run, source.keys())
    record(run, clip("a.avi", stop=3))  # and stopped again, before its turn came
    again = read_again(source, run)
    assert [key for key in again if key.video == "b.avi"] == clip("b.avi")


def test_a_video_of_which_only_a_person_labelled_frames_is_still_labelled(
    folder: Path, run: Run
) -> None:
    save_clip(folder / "a.avi")
    with Run.edit(run.path) as edits:
        people = Instances.empty(17)
        edits.append(
            FrameRecord(FrameKey("a.avi", 3), (32, 24), instances=people, review=Review("fixed"))
        )
    run.refresh()
    assert read_again(open_source([str(folder)]), run) == clip("a.avi")


@pytest.mark.parametrize("lost", [range(1), range(9, 10), range(CHUNK_FRAMES - 1)])
def test_chunks_that_a_damaged_journal_lacks_something_of_are_read_as_a_whole(
    folder: Path, tmp_path: Path, lost: range
) -> None:
    save_clip(folder / "a.avi")
    manifest = RunManifest(keypoint_set("coco").to_category())
    with Run.open(tmp_path / "damaged", manifest) as opened:
        record(opened, clip("a.avi"))
        record_end(opened, folder / "a.avi")
    (journal,) = (tmp_path / "damaged").glob("journal-*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    for place in lost:
        lines[place] = b"\0" * (len(lines[place]) - 1) + b"\n"
    journal.write_bytes(b"".join(lines))
    source = open_source([str(folder)])
    with Run.open(tmp_path / "damaged", manifest) as opened:
        assert read_again(source, opened) == clip("a.avi")


def test_failed_frames_alone_are_read_for_another_try(folder: Path, run: Run) -> None:
    save_photos(folder, 3)
    save_clip(folder / "a.avi")
    failed = [FrameKey("a/photo 1.jpg"), FrameKey("a.avi", 7)]
    source = open_source([str(folder)])
    assert [frame.key for frame in source.frames(AllBut(set(failed)))] == failed


def test_another_try_reads_what_failed_and_nothing_that_is_labelled(folder: Path, run: Run) -> None:
    save_photos(folder, 3)
    source = open_source([str(folder)])
    failed, *labelled = source.keys()
    record(run, labelled)
    record(run, [failed], error="cut off")
    read: list[FrameKey] = []

    def label(skip: Container[FrameKey]) -> Iterator[FrameRecord]:
        for frame in source.frames(skip):
            read.append(frame.key)
            yield FrameRecord(frame.key, (32, 24), instances=Instances.empty(17))

    done: list[tuple[int, int | None, int]] = []
    part = WorkerPart(source, run)
    written = [each.key for each in part.label_missing(label, lambda *count: done.append(count))]
    assert (read, written) == ([failed], [failed])
    assert done == [(3, 3, 1), (3, 3, 0)]
    assert not run.num_failed


def test_failures_are_counted_while_a_run_goes_on(folder: Path, run: Run) -> None:
    save_photos(folder, 4)
    (folder / "a" / "photo 1.jpg").write_bytes(b"cut off")
    source = open_source([str(folder)])

    def label(skip: Container[FrameKey]) -> Iterator[FrameRecord]:
        for frame in source.frames(skip):
            if isinstance(frame, FrameFailure):
                yield FrameRecord(frame.key, error=frame.error)
            else:
                yield FrameRecord(frame.key, (32, 24), instances=Instances.empty(17))

    done: list[tuple[int, int | None, int]] = []
    for _ in WorkerPart(source, run).label_missing(label, lambda *count: done.append(count)):
        pass
    assert done == [(0, 4, 0), (1, 4, 1), (2, 4, 1), (3, 4, 1), (4, 4, 1)]
