"""Videos whose files cannot be opened for a while: none of their frames is taken for labelled."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from video_cases import write_video

from vitpose_cli.annotate.actor_pool import Job, _given_up
from vitpose_cli.annotate.video_ends import with_ends
from vitpose_cli.annotate.worker_part import WorkerPart
from vitpose_cli.labeler import CHUNK_FRAMES
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

NUM = 40
MANIFEST = RunManifest(keypoint_set("coco").to_category())


def records(source: MediaSource, skip: Container[FrameKey] = ()) -> Iterator[FrameRecord]:
    for frame in source.frames(skip):
        if isinstance(frame, Frame):
            people = Instances.empty(17)
            yield FrameRecord(frame.key, frame.size_wh, frame.time_s, instances=people)
        else:
            yield FrameRecord(frame.key, error=frame.error)


def by_chunks(source: MediaSource, skip: Container[FrameKey]) -> Iterator[FrameRecord]:
    """Label frames so that it shows with how many others each was labelled."""
    frames = source.frames(skip)
    while chunk := [frame for frame in islice(frames, CHUNK_FRAMES) if isinstance(frame, Frame)]:
        for frame in chunk:
            people = replace(
                Instances.empty(17),
                boxes=np.array([[0, 0, len(chunk), 9]], np.float32),
                box_scores=np.ones(1, np.float32),
                keypoints=np.zeros((1, 17, 2), np.float32),
                keypoint_scores=np.ones((1, 17), np.float32),
                visibility=np.zeros((1, 17), np.int8),
            )
            yield FrameRecord(frame.key, frame.size_wh, frame.time_s, instances=people)


def label(
    folder: Path, options: VideoOptions | None = None, stop: int | None = None
) -> tuple[int, list[str], int]:
    """Label what lacks, until `stop` frames came; return how many came, failures, frames read."""
    source = open_source([str(folder / "media")], video=options)
    num_read = 0

    def read(skip: Container[FrameKey]) -> Iterator[FrameRecord]:
        nonlocal num_read
        for record in records(source, skip):
            num_read += 1
            yield record

    with Run.open(folder / "run", MANIFEST) as run:
        part = WorkerPart(source, run)
        num_new = 0
        for _ in part.label_missing(lambda skip: with_ends(read(skip), source), lambda *_: None):
            num_new += 1
            if num_new == stop:
                return num_new, [], num_read
        run.complete()
        return num_new, sorted(map(str, map(FrameKey.from_text, run.failed_texts()))), num_read


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return write_video(tmp_path / "media" / "clip.mp4", num=NUM)


@pytest.mark.parametrize(
    ("options", "num_frames", "stop", "missing"),
    [
        (VideoOptions(), NUM, 8, 8),
        (VideoOptions(), NUM, 35, 35),
        (VideoOptions(every=5), 8, 3, 1),
        (VideoOptions(fps=5), 8, 3, 1),
        (VideoOptions(start_s=0.4, max_frames=9), 9, 5, 0),
    ],
)
def test_a_file_that_cannot_be_opened_is_a_failure_where_frames_lack(
    tmp_path: Path, clip: Path, options: VideoOptions, num_frames: int, stop: int, missing: int
) -> None:
    label(tmp_path, options, stop)
    whole = clip.read_bytes()
    clip.write_bytes(b"")
    for _ in range(2):
        _, failures, _ = label(tmp_path, options)
        assert failures == [str(FrameKey("clip.mp4", missing))]
    clip.write_bytes(whole)
    num_new, failures, _ = label(tmp_path, options)
    assert (num_new, failures) == (num_frames - stop, [])
    with Run.read(tmp_path / "run") as run:
        assert len(run.done()) == num_frames
        assert run.videos() == {"clip.mp4": {len(whole)}}
    assert label(tmp_path, options) == (0, [], 0)


def test_a_failure_is_told_once_though_others_are_tried_again(tmp_path: Path, clip: Path) -> None:
    clip.write_bytes(b"")
    assert label(tmp_path)[1] == [str(FrameKey("clip.mp4", 0))]
    (tmp_path / "media" / "too.mp4").touch()
    label(tmp_path)
    (journal,) = (tmp_path / "run").glob("*.jsonl")
    assert journal.read_bytes().count(b'"media":"too.mp4"') == 1


def test_a_video_that_was_away_is_labelled_to_its_end_when_it_is_back(
    tmp_path: Path, clip: Path
) -> None:
    write_video(tmp_path / "media" / "zoo.mp4", num=3)
    label(tmp_path, stop=8)
    clip.rename(tmp_path / "away.mp4")
    assert label(tmp_path) == (3, [], 3)
    (tmp_path / "away.mp4").rename(clip)
    num_new, failures, _ = label(tmp_path)
    assert (num_new, failures) == (NUM - 8, [])


def test_a_video_that_breaks_off_among_labelled_frames_lacks_those_behind(
    tmp_path: Path, clip: Path
) -> None:
    label(tmp_path, stop=30)
    whole = write_video(clip, num=NUM, muxing={"movflags": "faststart"}).read_bytes()
    clip.write_bytes(whole[: len(whole) // 2])
    assert label(tmp_path)[1] == [str(FrameKey("clip.mp4", 30))]
    clip.write_bytes(whole)
    assert label(tmp_path)[:2] == (NUM - 30, [])


def test_journals_that_know_of_no_ends_cost_one_more_look(tmp_path: Path, clip: Path) -> None:
    label(tmp_path)
    (journal,) = (tmp_path / "run").glob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    assert b'"ended_after":40,"file_bytes":%d,' % clip.stat().st_size in lines[-1]
    journal.write_bytes(b"".join(lines[:-1]))
    num_new, failures, num_read = label(tmp_path)
    assert (num_new, failures) == (0, [])
    assert num_read < NUM
    assert journal.read_bytes() == b"".join(lines)
    assert label(tmp_path) == (0, [], 0)


def test_the_chunk_at_the_old_end_is_labelled_as_a_whole_where_frames_follow(
    tmp_path: Path, clip: Path
) -> None:
    def labelled() -> list[bytes]:
        source = open_source([str(clip)])
        with Run.open(tmp_path / "run", MANIFEST) as run:
            part = WorkerPart(source, run)
            for _ in part.label_missing(
                lambda skip: with_ends(by_chunks(source, skip), source), lambda *_: None
            ):
                pass
            run.export()
            return [record.to_json() for record in run.records()]

    write_video(clip, num=40)
    first = labelled()
    write_video(clip, num=40, options={"crf": "1"})
    assert labelled() == first
    write_video(clip, num=80)
    grown = labelled()
    assert grown[:32] == first[:32]
    assert all(before != after for before, after in zip(first[32:], grown[32:40], strict=True))
    shutil.rmtree(tmp_path / "run")
    assert labelled() == grown


def test_a_refresh_knows_nothing_of_ends_before_it(tmp_path: Path, clip: Path) -> None:
    label(tmp_path)
    fields = {name: value for name, value in asdict(MANIFEST).items() if name != "weights_hash"}
    with Run.open(
        tmp_path / "run", RunManifest(**fields, weights_hash="another"), refresh=True
    ) as run:
        assert run.videos() == {}


def test_a_video_of_which_workers_die_is_a_failure_where_frames_lack(
    tmp_path: Path, clip: Path
) -> None:
    label(tmp_path, stop=20)
    source = open_source([str(tmp_path / "media")])
    given_up = _given_up(Job(source.part(["clip.mp4"]), frozenset(), True), "3 workers died of it")
    with Run.open(tmp_path / "run", MANIFEST) as run:
        part = WorkerPart(source, run)
        written = list(part.label_missing(lambda _: iter(given_up), lambda *_: None))
        assert [record.key for record in written] == [FrameKey("clip.mp4", 20)]
        assert run.num_failed == 1
    assert label(tmp_path)[:2] == (NUM - 20, [])
