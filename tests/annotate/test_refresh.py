"""`vitpose annotate --refresh model`: new weights label what nobody has reviewed, and only that."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from runs import save_boxes, save_photos, save_weights, vitpose
from video_cases import write_video

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run

NUM_PHOTOS = 40  # two chunks
REVIEWED = (3, 17, 35)


@dataclass(frozen=True)
class Job:
    """Photos and two sets of weights, and a run by the first of them with some frames reviewed."""

    folder: Path
    run: Path
    names: list[str]

    def annotate(self, run: Path, weights: str, *, refresh: bool, preview: bool = False) -> str:
        """Label the photos; return what was said."""
        said: list[str] = []
        options = AnnotateOptions(
            sources=(str(self.folder / "photos"),),
            run=run,
            labeler=LabelerOptions(
                weights=str(self.folder / f"{weights}.safetensors"),
                boxes=self.folder / ("moved.json" if weights == "new" else "boxes.json"),
                flip_test=False,
                device="cpu",
            ),
            refresh=refresh,
            preview=preview,
        )
        annotate(options, report=lambda *_: None, say=said.append)
        return " ".join(said)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("refresh")
    names = save_photos(folder / "photos", NUM_PHOTOS)
    save_boxes(folder / "boxes.json", names)
    save_boxes(folder / "moved.json", names, people=1)
    for seed, name in enumerate(("old", "new")):
        save_weights(folder / f"{name}.safetensors", seed=seed)
    made = Job(folder, folder / "run", names)
    made.annotate(made.run, "old", refresh=False)
    with Run.edit(made.run) as run:
        for record in list(run.records()):
            if names.index(record.key.media) in REVIEWED:
                run.append(replace(record, review=Review("fixed"), exact=True))
        run.export()
    return made


@pytest.fixture(scope="module")
def refreshed(job: Job) -> Path:
    run = job.folder / "refreshed"
    shutil.copytree(job.run, run)
    assert "3 reviewed frames stay" in job.annotate(run, "new", refresh=True)
    return run


def by_name(run: Path) -> dict[str, FrameRecord]:
    with Run.read(run) as opened:
        return {record.key.media: record for record in opened.records()}


def test_only_what_nobody_reviewed_is_replaced(job: Job, refreshed: Path) -> None:
    before, after = by_name(job.run), by_name(refreshed)
    old_model, new_model = (
        orjson.loads((run / "manifest.json").read_bytes())["weights_hash"]
        for run in (job.run, refreshed)
    )
    assert old_model != new_model
    for number, name in enumerate(job.names):
        if number in REVIEWED:
            assert after[name].to_json() == before[name].to_json()
            assert after[name].model == old_model
        else:
            assert after[name].model == new_model
            old, new = before[name].instances, after[name].instances
            assert old is not None
            assert new is not None
            assert not len(old) or not np.array_equal(old.boxes, new.boxes)


def test_previews_show_what_counts(job: Job, tmp_path: Path) -> None:
    kept, anew = (shutil.copytree(job.run, tmp_path / name) for name in ("kept", "anew"))
    job.annotate(kept, "old", refresh=False, preview=True)
    job.annotate(anew, "new", refresh=True, preview=True)
    same = [
        (kept / "preview" / name).read_bytes() == (anew / "preview" / name).read_bytes()
        for name in job.names
    ]
    assert all(same[number] for number in REVIEWED)
    assert not all(same)


def test_the_manifest_tells_what_was_before(job: Job, refreshed: Path) -> None:
    manifest = orjson.loads((refreshed / "manifest.json").read_bytes())
    first = orjson.loads((job.run / "manifest.json").read_bytes())
    (past,) = manifest["history"]
    assert past["weights_hash"] == first["weights_hash"]
    assert past["options"]["detector"].startswith("boxes of boxes.json")
    assert manifest["options"]["detector"].startswith("boxes of moved.json")
    assert sorted(path.name for path in refreshed.glob("journal-*.jsonl")) == [
        "journal-1-of-1.jsonl",
        "journal-g002-1-of-1.jsonl",
        "journal-review.jsonl",
    ]


def test_it_says_what_is_otherwise_than_before(job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(job.run, run)
    said = job.annotate(run, "new", refresh=True)
    begin = said.index("Labelling anew what nobody has reviewed:\n  weights: was ")
    assert "old.safetensors" in said[begin:]
    assert "\n  detector: was boxes of boxes.json (" in said[begin:]
    assert "Labelling anew" not in job.annotate(run, "new", refresh=True)


@pytest.mark.parametrize("num_lines", [0, 5, 20, 33])
def test_a_stopped_refresh_goes_on_to_the_same_bytes(
    job: Job, refreshed: Path, tmp_path: Path, num_lines: int
) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(refreshed, stopped)
    (stopped / "annotations.json").unlink()
    journal = stopped / "journal-g002-1-of-1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == NUM_PHOTOS
    journal.write_bytes(b"".join(lines[:num_lines]) + lines[num_lines][:70])
    # With --refresh once more, or without: the weights are those of the run now.
    job.annotate(stopped, "new", refresh=num_lines % 2 == 1)
    for name in ("annotations.json", "journal-g002-1-of-1.jsonl", "manifest.json"):
        assert (stopped / name).read_bytes() == (refreshed / name).read_bytes()


def test_reviewing_meanwhile_changes_no_other_label(
    job: Job, refreshed: Path, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(refreshed, stopped)
    journal = stopped / "journal-g002-1-of-1.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:33]))
    with Run.edit(stopped) as run:
        record = run.record(sorted(run.done())[-1])
        assert record is not None
        run.append(replace(record, review=Review("accepted"), exact=True))
    job.annotate(stopped, "new", refresh=True)
    assert journal.read_bytes() == (refreshed / journal.name).read_bytes()


def test_other_weights_without_refresh_are_refused(job: Job) -> None:
    done = vitpose(
        "annotate", job.folder / "photos", "-o", job.run, "-w", job.folder / "new.safetensors"
    )
    assert done.returncode == 2, done.stderr
    assert "--refresh model" in done.stderr


def test_another_choice_of_frames_is_refused(job: Job, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", num=4)
    command = (
        "annotate", tmp_path / "clip.mp4", "-o", tmp_path / "run", "--detector", "whole-image",
    )  # fmt: skip
    assert vitpose(*command, "-w", job.folder / "old.safetensors").returncode == 0
    before = (tmp_path / "run" / "annotations.json").read_bytes()
    other = ("-w", job.folder / "new.safetensors", "--refresh", "model", "--every", "2")
    done = vitpose(*command, *other)
    assert done.returncode == 2, done.stderr
    assert "every: was not given, now 2" in done.stderr
    assert "how frames are labelled may change, not which" in " ".join(done.stderr.split())
    assert (tmp_path / "run" / "annotations.json").read_bytes() == before


def test_rejected_and_failed_frames_are_counted_as_what_they_are(job: Job, tmp_path: Path) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(job.folder / "photos", photos)
    write_video(photos / "clip.mp4", num=3)
    (photos / "empty.jpg").touch()

    def label(weights: str, *more: str) -> tuple[dict[str, int], str]:
        ended = vitpose(
            *("annotate", photos, "-o", run, "--json", "--device", "cpu", "--no-flip-test"),
            *("--weights", job.folder / f"{weights}.safetensors", "--detector", "whole-image"),
            *more,
        )
        assert ended.returncode == 5, ended.stderr
        return orjson.loads(ended.stdout), ended.stderr

    first, _ = label("old")
    counts = {"num_frames": 44, "num_photos": 41, "num_videos": 1, "num_failed": 1}
    assert first.items() >= counts.items()
    with Run.edit(run) as opened:
        record = opened.record(FrameKey(job.names[0]))
        assert record is not None
        opened.append(replace(record, review=Review("rejected"), exact=True))
    again, said = label("new", "--refresh", "model")
    assert again.items() >= counts.items()
    assert "1 of 44 could not be labelled" in said
    assert "1 reviewed frame stays unchanged" in said
    assert "the labels of before" not in said  # the empty file never had any
