"""Photos that are to be measured and cannot be read, are not there, or have boxes of others."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from evaluate_cases import predictions_of, truth_file, truth_of_photos
from label_cases import make_failure, make_record, make_run
from runs import vitpose
from video_cases import write_video

from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.video import VideoFile


@pytest.fixture
def photo_truth(tmp_path: Path) -> Path:
    """Write three photos, their ground truth `gt.json` with one person each, and weights."""
    truth_of_photos(tmp_path, 3)
    return tmp_path


def measured(folder: Path, *options: str) -> dict[str, Any]:
    """Return what `evaluate` says of the photos in a folder of `photo_truth`."""
    done = vitpose(
        "evaluate", "-a", "gt.json", "-i", "photos", "-w", "w.safetensors", "--json", *options,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("how", [["--gt-boxes"], ["--boxes", "gt.json"]])
def test_what_the_ground_truth_tells_besides_is_measured_of_photos(
    photo_truth: Path, how: list[str]
) -> None:
    document = json.loads((photo_truth / "gt.json").read_text())
    for image, crowding in zip(document["images"], (0.1, 0.5, 0.1), strict=True):
        image["crowdIndex"] = crowding
    for person in document["annotations"]:
        person["head_size"] = 1000.0
    (photo_truth / "gt.json").write_text(json.dumps(document))
    found = measured(photo_truth, *how)
    people = [kind["num_people"] for kind in found["crowding"].values()]
    assert people == [2, 1, 0]
    assert found["pckh"]["keypoints"][-1]["pckh"]["0.5"] == 1.0


def test_photos_that_the_predictions_lack_are_said(tmp_path: Path) -> None:
    truth = truth_file(tmp_path / "gt.json", num_images=3)
    run = make_run(tmp_path / "run", [make_record("1.jpg"), make_record("other.jpg")])
    for predictions in (run, run / "annotations.json"):
        found = evaluate_predictions(truth, predictions)
        assert found.as_dict()["num_missing"] == 2
        said = "2 of 3 photos are not in the predictions, and count as without people."
        assert found.counts_sentence().endswith(f"in 3 photos. {said}")
    whole = evaluate_predictions(truth, truth)
    assert whole.num_missing == 0
    assert whole.counts_sentence().endswith("in 3 photos.")
    results = tmp_path / "results.json"
    results.write_text(json.dumps(predictions_of(truth, 1.0)))
    assert evaluate_predictions(truth, results).as_dict()["num_missing"] is None


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_matched_in_any_form_of_unicode(
    tmp_path: Path, form: Literal["NFC", "NFD"]
) -> None:
    run = make_run(tmp_path / "run", [make_record(unicodedata.normalize(form, "Café/ü.jpg"))])
    truth = truth_file(tmp_path / "gt.json", num_images=1)
    document = json.loads(truth.read_text())
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    document["images"][0]["file_name"] = unicodedata.normalize(other, "Café/ü.jpg")
    truth.write_text(json.dumps(document))
    results = tmp_path / "results.json"
    exported = vitpose("export", run, "-f", "results", "-o", results)
    assert exported.returncode == 0, exported.stderr
    listed = json.loads(results.read_bytes())
    results.write_text(json.dumps([result | {"image_id": 77} for result in listed]))
    for predictions in (run, run / "annotations.json", results):
        assert evaluate_predictions(truth, predictions).num_predicted == 2, predictions


@pytest.mark.parametrize("option", ["--boxes", "--detector"])
def test_boxes_of_a_results_file_are_matched_by_image_id(photo_truth: Path, option: str) -> None:
    people = json.loads((photo_truth / "gt.json").read_text())["annotations"]
    results = [{key: one[key] for key in ("image_id", "category_id", "bbox")} for one in people]
    (photo_truth / "boxes.json").write_text(json.dumps([one | {"score": 1.0} for one in results]))
    found = measured(photo_truth, option, "boxes.json")
    assert found["num_predicted"] == 3
    assert found == measured(photo_truth, "--boxes", "gt.json")


@pytest.mark.parametrize("option", ["--boxes", "--detector"])
def test_boxes_of_other_photos_are_refused(photo_truth: Path, option: str) -> None:
    box = {"category_id": 1, "bbox": [10, 10, 60, 70], "score": 1.0}
    for name in ({"image_id": 77}, {"file_name": "photos/a/photo 1.jpg"}):
        (photo_truth / "boxes.json").write_text(json.dumps([name | box]))
        done = vitpose(
            "evaluate", "-a", "gt.json", "-i", "photos", "-w", "w.safetensors",
            option, "boxes.json", cwd=photo_truth,
        )  # fmt: skip
        assert done.returncode == 3
        assert "boxes.json names none of the photos" in done.stderr
        assert "image ids of a results file" in done.stderr


@pytest.mark.parametrize("how", [["--gt-boxes"], ["--truncate", "upper"]])
def test_photos_that_cannot_be_read_are_named(photo_truth: Path, how: list[str]) -> None:
    document = json.loads((photo_truth / "gt.json").read_text())
    for person in document["annotations"]:
        points = np.random.default_rng(person["id"]).uniform(10, 80, (17, 2)).round(1)
        person["keypoints"] = np.c_[points, np.full(17, 2)].ravel().tolist()
    (photo_truth / "gt.json").write_text(json.dumps(document))
    broken = document["images"][1]["file_name"]
    (photo_truth / "photos" / broken).write_bytes(b"no photo")
    done = vitpose(
        "evaluate", "-a", "gt.json", "-i", "photos", "-w", "w.safetensors", "--json", *how,
        cwd=photo_truth,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    found = json.loads(done.stdout)
    [failure] = found["failures"]
    assert found["num_failed"] == 1
    assert f"{failure['file_name']}: {failure['error']}" in done.stderr
    assert failure["file_name"].startswith(broken.removesuffix(".jpg"))
    assert "1 of 3 photos could not be labelled" in done.stderr


@pytest.mark.parametrize("how", [["--gt-boxes"], ["--truncate", "upper"]])
def test_frames_of_a_video_are_measured(photo_truth: Path, how: list[str]) -> None:
    photos = photo_truth / "photos"
    write_video(photos / "clip.mp4", num=12, size_wh=(120, 90))
    document = json.loads((photo_truth / "gt.json").read_text())
    document["videos"] = [{"id": 4, "name": "clip.mp4"}]
    for image, index in zip(document["images"][1:], (7, 9), strict=True):
        name = str(FrameKey("clip.mp4", index))
        image |= {"file_name": name, "video_id": 4, "frame_id": index}
    for person in document["annotations"]:
        points = np.random.default_rng(person["id"]).uniform(10, 80, (17, 2)).round(1)
        person["keypoints"] = np.c_[points, np.full(17, 2)].ravel().tolist()
    (photo_truth / "gt.json").write_text(json.dumps(document))
    found = measured(photo_truth, *how)
    del document["videos"]  # as other programs do
    (photo_truth / "gt.json").write_text(json.dumps(document))
    assert measured(photo_truth, *how) == found
    (photos / "clip.mp4").rename(photo_truth / "clip.mp4")
    for key in (FrameKey("clip.mp4", 7), FrameKey("clip.mp4", 9)):  # extracted, not in the video
        (photos / "clip.mp4").mkdir(exist_ok=True)
        shown = VideoFile(photo_truth / "clip.mp4", "clip.mp4").read(key).image
        cv2.imwrite(str(photos / str(key)) + ".png", shown[:, :, ::-1])
        (photos / f"{key}.png").rename(photos / str(key))  # nothing is lost
    assert measured(photo_truth, *how) == found
    assert found["num_images"] == 3
    assert found["num_predicted"] == 3


def test_failures_of_a_run_are_named(tmp_path: Path) -> None:
    failed = ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    run = make_run(tmp_path / "run", [make_record("1.jpg"), *map(make_failure, failed)])
    truth = truth_file(tmp_path / "gt.json", num_images=5)
    done = vitpose("evaluate", "-a", truth, "-p", run)
    assert done.returncode == 5, done.stderr
    assert "left_shoulder" in done.stdout
    assert "4 photos failed." in done.stderr
    named = [name for name in failed if f"{name}: the file is empty" in done.stderr]
    assert named == failed[:3]
    assert "4 of 5 photos could not be labelled" in done.stderr


def test_missing_photos_are_named(tmp_path: Path) -> None:
    truth_file(tmp_path / "gt.json")
    (tmp_path / "photos").mkdir()
    done = vitpose("evaluate", "-a", "gt.json", "-i", "photos", "--gt-boxes", cwd=tmp_path)
    assert done.returncode == 3
    assert "6 of 6 photos" in done.stderr
