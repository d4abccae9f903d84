"""Another `--keypoint-threshold` on a run: the bytes of a fresh run with it, and no network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from runs import save_boxes, save_photos, save_weights, vitpose
from video_cases import write_video

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.annotate.summary import AnnotateSummary
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.journal import encode_line
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run

NUM_PHOTOS = 36  # a chunk and a part
NUM_PICTURES = 34
DOCUMENTS = ("annotations.json", "failures.jsonl")


@dataclass(frozen=True)
class Job:
    """Photos, a clip and a file that is no photo, and fresh runs at some thresholds.

    The last of them is a score that the journal holds.
    """

    folder: Path
    thresholds: tuple[float, float, float]

    def label(
        self, run: Path, threshold: float | None, **fields: object
    ) -> tuple[AnnotateSummary, str]:
        """Label everything; return what came of it, and what was said."""
        said: list[str] = []
        labeler = LabelerOptions(
            weights=str(self.folder / "weights.safetensors"),
            boxes=self.folder / "boxes.json",
            flip_test=False,
            device="cpu",
            keypoint_threshold=threshold,
        )
        options = AnnotateOptions((str(self.folder / "media"),), run, labeler, smooth=True)
        chosen = replace(options, **fields)  # type: ignore[arg-type]
        return annotate(chosen, lambda *_: None, said.append), "\n".join(said)

    def fresh(self, threshold: float) -> Path:
        """Return the run that was made with a threshold from its beginning."""
        return self.folder / f"fresh-{threshold}"

    def copy(self, threshold: float, to: Path) -> Path:
        return Path(shutil.copytree(self.fresh(threshold), to))

    def assert_fresh(self, run: Path, threshold: float) -> None:
        for name in DOCUMENTS:
            assert (run / name).read_bytes() == (self.fresh(threshold) / name).read_bytes()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("thresholds")
    names = save_photos(folder / "media", NUM_PHOTOS)
    write_video(folder / "media" / "clip.mp4", num=NUM_PICTURES)
    (folder / "media" / "no photo.jpg").write_bytes(b"text")
    names += [str(FrameKey("clip.mp4", index)) for index in range(NUM_PICTURES)]
    save_boxes(folder / "boxes.json", names)
    save_weights(folder / "weights.safetensors")
    made = Job(folder, (0.0, 0.0, 0.0))
    made.label(folder / "scores", 0.0)
    scores = stored_scores(folder / "scores")
    scores = scores[(scores > 0) & (scores < 1)]
    low, high = (float(each) for each in np.quantile(scores, [0.3, 0.7]).round(3))
    exact = float(np.format_float_positional(np.sort(scores)[len(scores) // 2]))
    job = Job(folder, (low, high, exact))
    for threshold in job.thresholds:
        job.label(job.fresh(threshold), threshold)
    return job


def stored_scores(run: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    with Run.read(run) as opened:
        people = [record.instances for record in opened.records() if record.instances is not None]
    return np.concatenate([each.keypoint_scores.ravel() for each in people])


def journals(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(run.glob("journal-*.jsonl"))}


def test_thresholds_change_labels_at_all(job: Job) -> None:
    documents = {(job.fresh(each) / "annotations.json").read_bytes() for each in job.thresholds}
    assert len(documents) == 3
    people = orjson.loads((job.fresh(job.thresholds[0]) / "annotations.json").read_bytes())
    tracked = [person for person in people["annotations"] if "keypoints_smoothed" in person]
    assert len(tracked) > NUM_PICTURES
    assert len({person["num_keypoints"] for person in people["annotations"]}) > 3


def test_a_finished_run_is_as_a_fresh_one_at_every_threshold(job: Job, tmp_path: Path) -> None:
    low, high, exact = job.thresholds
    run = job.copy(high, tmp_path / "run")
    before = journals(run)
    for threshold in (low, exact, high, low):
        summary, said = job.label(run, threshold)
        # The file that is no photo is tried again by every call.
        assert summary.num_new == 1
        assert f"Keypoints are labelled from a score of {threshold:g} on (was " in said
        job.assert_fresh(run, threshold)
        assert journals(run) == before | {
            name: text for name, text in journals(run).items() if text.startswith(before[name])
        }
    _, said = job.label(run, low)
    assert "Keypoints are labelled" not in said


def test_who_asks_for_no_threshold_keeps_that_of_the_run(job: Job, tmp_path: Path) -> None:
    _, high, _ = job.thresholds
    run = job.copy(high, tmp_path / "run")
    journal = run / "journal-1-of-1.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
    summary, said = job.label(run, None, preview=True)
    assert summary.num_new == NUM_PHOTOS + NUM_PICTURES + 1 - 5
    job.label(tmp_path / "fresh", high, preview=True)
    assert pictures(run) == pictures(tmp_path / "fresh")
    _, more = job.label(run, None, refresh=True)
    assert "Keypoints are labelled" not in said + more
    job.assert_fresh(run, high)
    assert Run.read(run).manifest.past_thresholds == ()
    weights = save_weights(tmp_path / "other.safetensors", seed=1)
    labeler = LabelerOptions(
        str(weights), boxes=job.folder / "boxes.json", flip_test=False, device="cpu"
    )
    _, said = job.label(run, None, refresh=True, labeler=labeler)
    assert "weights: was " in said
    assert "keypoint-threshold" not in said
    assert Run.read(run).manifest.keypoint_threshold == high
    _, said = job.label(run, None, overwrite=True)
    assert Run.read(run).manifest.keypoint_threshold == 0.3


@pytest.mark.parametrize("num_lines", [1, 20, NUM_PHOTOS, NUM_PHOTOS + 20])
def test_a_run_that_was_stopped_goes_on_at_another_threshold(
    job: Job, tmp_path: Path, num_lines: int
) -> None:
    low, high, _ = job.thresholds
    run = job.copy(low, tmp_path / "run")
    for name in ("annotations.json", "annotations.made", "journal-1-of-1.complete"):
        (run / name).unlink()
    journal = run / "journal-1-of-1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:num_lines]) + lines[num_lines][:70])
    job.label(run, high)
    job.assert_fresh(run, high)
    job.label(run, low)
    job.assert_fresh(run, low)


def test_workers_go_on_together_once_nobody_knows_the_old_one(job: Job, tmp_path: Path) -> None:
    low, high, exact = job.thresholds
    run = tmp_path / "run"
    job.label(run, low, worker=(1, 2))
    manifest = replace(Run.read(run).manifest)
    with Run.open(run, manifest, worker=(1, 2)):
        with pytest.raises(InputError, match=r"worker 1 of 2"):
            job.label(run, high, worker=(2, 2))
        assert Run.read(run).manifest == manifest
    summary, said = job.label(run, high, worker=(2, 2))
    assert summary.annotations is not None
    assert "Keypoints are labelled" in said
    job.assert_fresh(run, high)
    job.label(run, exact)  # by one worker alone
    job.assert_fresh(run, exact)


def test_what_a_person_decided_stays_as_it_was_seen(job: Job, tmp_path: Path) -> None:
    low, high, _ = job.thresholds
    run = job.copy(high, tmp_path / "run")
    with Run.edit(run) as opened:
        keys = [key for key in sorted(opened.done()) if len(opened.record(key).uids)]  # type: ignore[union-attr]
        fixed, accepted, rejected = keys[2], keys[-1], keys[5]
        for key, state in ((fixed, "fixed"), (accepted, "accepted"), (rejected, "rejected")):
            seen = opened.record(key)
            assert seen is not None
            assert seen.instances is not None
            points = seen.instances.keypoints.copy()
            points[0, 3] += 4 if state == "fixed" else 0
            review = Review(state, "anna", 1.0, seen.version)  # type: ignore[arg-type]
            people = replace(seen.instances, keypoints=points)
            opened.append(replace(seen, instances=people, review=review, exact=True))
        before = {key: opened.record(key) for key in (fixed, accepted, rejected)}
    _, said = job.label(run, low)
    assert "3 reviewed frames stay unchanged." in said
    with Run.read(run) as opened:
        for key, record in before.items():
            assert opened.record(key).to_json() == record.to_json()  # type: ignore[union-attr]
    ours, fresh = by_name(run), by_name(job.fresh(low))
    assert fresh.keys() - ours.keys() == {str(rejected)}
    for name in ours.keys() - {str(fixed), str(accepted)}:
        assert ours[name] == fresh[name]
    assert ours[str(accepted)] == [
        person | {"attributes": person["attributes"] | {"source": "human", "review": "accepted"}}
        for person in by_name(job.fresh(high))[str(accepted)]
    ]


def by_name(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the people of each frame of a document, but for numbers that depend on others."""
    document = orjson.loads((run / "annotations.json").read_bytes())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    people: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for person in document["annotations"]:
        kept = {name: person[name] for name in person if name not in ("id", "image_id")}
        kept.pop("keypoints_smoothed", None)  # of neighbours, too
        kept["attributes"].pop("track_id", None)
        people[names[person["image_id"]]].append(kept)
    return people


def test_previews_are_drawn_anew(job: Job, tmp_path: Path) -> None:
    low, high, _ = job.thresholds
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    job.label(run, low, preview=True)
    job.label(fresh, high, preview=True)
    (run / "preview" / "mine.txt").write_text("mine")
    _, said = job.label(run, high)
    assert "Drawn copies showed the labels of before and were removed" in said
    assert [path.name for path in (run / "preview").rglob("*") if path.is_file()] == ["mine.txt"]
    (run / "preview" / "mine.txt").unlink()
    job.label(run, high, preview=True)
    assert pictures(run) == pictures(fresh)
    assert len(pictures(run)) == NUM_PHOTOS + NUM_PICTURES


def pictures(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in (run / "preview").rglob("*.jpg")
    }


def test_a_journal_of_a_version_that_compared_other_decimals(job: Job, tmp_path: Path) -> None:
    low, high, _ = job.thresholds
    run = job.copy(high, tmp_path / "run")
    journal = run / "journal-1-of-1.jsonl"
    records = [orjson.loads(line)["frame"] for line in journal.read_bytes().splitlines()]
    for frame in records:
        for row in frame.get("visibility", ()):
            row[5] = 2 - row[5]
    written = [encode_line(FrameRecord.from_json(orjson.dumps(frame))) for frame in records]
    journal.write_bytes(b"".join(written))
    for threshold in (high, low):
        job.label(run, threshold)
        job.assert_fresh(run, threshold)


def test_a_refresh_labels_nothing_anew_for_a_threshold_alone(job: Job, tmp_path: Path) -> None:
    low, high, _ = job.thresholds
    run = job.copy(high, tmp_path / "run")
    summary, said = job.label(run, low, refresh=True)
    assert (summary.num_new, "Labelling anew" in said) == (1, False)
    job.assert_fresh(run, low)
    weights = save_weights(tmp_path / "other.safetensors", seed=1)
    labeler = LabelerOptions(
        str(weights), boxes=job.folder / "boxes.json", flip_test=False, device="cpu",
        keypoint_threshold=high,
    )  # fmt: skip
    summary, said = job.label(run, high, refresh=True, labeler=labeler)
    assert summary.num_new == NUM_PHOTOS + NUM_PICTURES + 1
    assert f"\n  keypoint-threshold: was {low}, now {high}" in said
    assert "Keypoints are labelled" not in said
    manifest = Run.read(run).manifest
    assert manifest.past_thresholds == (low,)
    assert manifest.history[0]["options"]["keypoint-threshold"] == low


def test_only_the_threshold_is_changed_without_a_network(job: Job, tmp_path: Path) -> None:
    low, high, _ = job.thresholds
    run = job.copy(high, tmp_path / "run")
    before = (run / "manifest.json").read_bytes()
    done = vitpose(
        "annotate", job.folder / "media", "-o", run, "-w", job.folder / "weights.safetensors",
        "--boxes", job.folder / "boxes.json", "--no-flip-test", "--box-threshold", "0.5",
        "--device", "cpu", "--keypoint-threshold", str(low),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "box-threshold: was not given, now 0.5" in done.stderr
    assert "--refresh model" in done.stderr
    assert "keypoint-threshold" not in done.stderr
    assert (run / "manifest.json").read_bytes() == before
    job.assert_fresh(run, high)


def exported(run: Path, to: Path) -> Path:
    done = vitpose("export", run, "--format", "coco", "-o", to)
    assert done.returncode == 0, done.stderr
    return to / "annotations.json" if to.is_dir() else to


def imported(path: Path, run: Path, *more: str) -> dict[str, int]:
    done = vitpose("import", path, "--into", run, "--format", "coco", "--json", *more)
    assert done.returncode == 0, done.stderr + done.stdout
    counts: dict[str, int] = orjson.loads(done.stdout)["frames"]
    return counts


def test_corrections_of_labels_at_an_earlier_threshold_are_those_alone(
    job: Job, tmp_path: Path
) -> None:
    low, high, exact = job.thresholds
    run = job.copy(high, tmp_path / "run")
    job.label(run, low)
    out = exported(run, tmp_path / "out.json")
    fresh = exported(job.fresh(low), tmp_path / "fresh.json")
    told = [orjson.loads(path.read_bytes())["annotations"] for path in (out, fresh)]
    assert told[0] == told[1]
    job.label(run, exact)
    counts = imported(out, run, "--reviewer", "anna")
    assert (counts["changed"], counts["accepted"]) == (0, 0)
    document = orjson.loads(out.read_bytes())
    person = next(
        each
        for each in document["annotations"]
        if any(low < score < exact for score in each["keypoint_scores"])
    )
    place = next(at for at in range(2, 51, 3) if person["keypoints"][at] == 2) - 2
    person["keypoints"][place] += 3
    changed = tmp_path / "changed.json"
    changed.write_bytes(orjson.dumps(document))
    counts = imported(changed, run, "--reviewer", "anna")
    assert counts["changed"] == 1
    name = {each["id"]: each["file_name"] for each in document["images"]}[person["image_id"]]
    done = vitpose("history", run, name, "--json")
    versions = orjson.loads(done.stdout)["versions"]
    assert [each["origin"] for each in versions] == ["model", "human", "model"]
    seen, theirs, now = versions
    assert theirs["previous"] == seen["version"]
    assert theirs["changes"]["num_moved"] == 1
    assert seen["version"] != now["version"]
    assert [each["counts"] for each in versions] == [False, True, False]
    assert now["changes"]["num_moved"] == 0
    assert now["changes"]["num_visibility"] > 0


def merged(to: Path, *inputs: Path) -> Path:
    done = vitpose("merge", *inputs, "-o", to)
    assert done.returncode == 0, done.stderr
    return to


def test_merged_runs_may_have_another_and_those_of_files_not(job: Job, tmp_path: Path) -> None:
    low, high, _ = job.thresholds
    halves: Sequence[Path] = [tmp_path / name for name in ("one", "two")]
    for number, run in enumerate(halves, 1):
        job.label(run, high, worker=(number, 2))
    runs = merged(tmp_path / "runs", *halves)
    job.label(runs, low)
    expected, found = by_name(job.fresh(low)), by_name(runs)
    assert found == expected
    file = exported(job.fresh(high), tmp_path / "labels.json")
    of_file = merged(tmp_path / "of-file", halves[0], file)
    before = (of_file / "annotations.json").read_bytes()
    done = vitpose(
        "annotate", job.folder / "media", "-o", of_file, "-w", job.folder / "weights.safetensors",
        "--boxes", job.folder / "boxes.json", "--no-flip-test", "--keypoint-threshold", str(low),
    )  # fmt: skip
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, said
    assert f"keypoint-threshold: was {high}, now {low}" in said
    assert f"go on with --keypoint-threshold {high}, or choose it in the runs" in said
    assert (of_file / "annotations.json").read_bytes() == before


def test_to_draw_a_run_leaves_it_its_threshold(job: Job, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", num=3)
    what = ("clip.mp4", "-w", job.folder / "weights.safetensors", "--detector", "whole-image")
    done = vitpose("annotate", *what, "--keypoint-threshold", "0.01", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = tmp_path / "clip.mp4.vitpose" / "manifest.json"
    before = manifest.read_bytes()
    drawn = vitpose("render", *what, cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert manifest.read_bytes() == before
