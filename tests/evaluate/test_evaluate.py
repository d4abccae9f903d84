"""Evaluation against pycocotools and against numbers worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluate_cases import (
    COCO_SET,
    predictions_of,
    reference_metrics,
    truth_file,
    truth_of_photos,
)
from label_cases import make_record, make_run
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.coco_metrics import METRICS
from vitpose_cli.evaluate.evaluated_labels import (
    evaluate_predictions,
    evaluate_results,
)
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import Review


def test_the_truth_itself_scores_one(tmp_path: Path) -> None:
    truth = read_coco(truth_file(tmp_path / "gt.json"))
    result = evaluate_results(truth, predictions_of(truth.path, 0.0))
    assert result.coco["AP"] == pytest.approx(1.0)
    assert result.keypoints[-1].name == "all"
    assert result.keypoints[-1].oks == pytest.approx(1.0)
    assert result.keypoints[-1].pck == (1.0, 1.0, 1.0)
    assert result.num_people == len(truth.annotations)


def test_the_metrics_are_pycocotools(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "gt.json")
    results = predictions_of(path, 6.0)
    ours = evaluate_results(read_coco(path), results).coco
    assert [ours[name] for name in METRICS] == pytest.approx(
        reference_metrics(path, results), abs=1e-12
    )
    assert 0.1 < ours["AP"] < 0.99


def test_sigmas_of_the_truth_count(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "gt.json")
    results = predictions_of(path, 6.0)
    document = json.loads(path.read_text())
    sigmas = 0.5 * COCO_SET.sigmas
    document["categories"][0]["sigmas"] = sigmas.tolist()
    path.write_text(json.dumps(document))
    (tmp_path / "results.json").write_text(json.dumps(results))
    done = vitpose("evaluate", "-a", path, "-p", tmp_path / "results.json", "--json")
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout)["coco"]
    wanted = reference_metrics(path, results, sigmas=sigmas)
    assert [ours[name] for name in METRICS] == pytest.approx(wanted, abs=1e-12)
    assert ours["AP"] < reference_metrics(path, results)[0] - 0.1


def test_the_document_of_a_run_is_measured_with_a_note(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r.vitpose", [make_record("1.jpg")])
    document = run / "annotations.json"
    truth = tmp_path / "truth.json"
    truth.write_text(document.read_text())
    of_document = vitpose("evaluate", "-a", truth, "-p", document)
    assert of_document.returncode == 0, of_document.stderr
    assert f"the run knows them: -p {run}\n" in of_document.stderr
    for other in (run, truth):
        done = vitpose("evaluate", "-a", truth, "-p", other)
        assert done.returncode == 0, done.stderr
        assert "v=0" not in done.stderr


@pytest.mark.parametrize("seed", range(8))
def test_the_metrics_are_pycocotools_in_every_corner(tmp_path: Path, seed: int) -> None:
    """Crowds, unlabelled people, more than 20 predictions, equal scores, images in any order."""
    generator = np.random.default_rng(seed)
    path = truth_file(tmp_path / "gt.json", num_images=40, per_image=2)
    document = json.loads(path.read_text())
    people = document["annotations"]
    for person in people:
        scale = generator.uniform(0.1, 1.2)  # small, medium and large
        person["area"] *= scale**2
        person["iscrowd"] = int(generator.uniform() < 0.15)
        if generator.uniform() < 0.15:
            person |= {"keypoints": [0] * 51, "num_keypoints": 0}
    document["annotations"] = [person for person in people if generator.uniform() < 0.8]
    generator.shuffle(document["images"])
    path.write_text(json.dumps(document))
    results = []
    for image in document["images"]:
        own = [person for person in people if person["image_id"] == image["id"]]
        for number in range(generator.choice([0, 1, 2, 3, 25])):
            points = np.reshape(own[number % len(own)]["keypoints"], (17, 3)).astype(float)
            points[:, :2] += generator.normal(0, generator.choice([0, 3, 12]), (17, 2))
            score = float(generator.choice([0.2, 0.5, 0.5, 0.9]))  # equal ones, too
            result = {"image_id": image["id"], "category_id": 1, "score": score}
            results.append(result | {"keypoints": points.ravel().tolist()})
    if seed % 2:
        for result in results:
            result["bbox"] = [0, 0, *generator.uniform(20, 150, 2)]
    results_path = tmp_path / "results.json"
    results_path.write_text(json.dumps(results))
    wanted = reference_metrics(path, results)
    assert 0.01 < wanted[0] < 0.99
    for ours in (
        evaluate_predictions(path, results_path),
        evaluate_results(read_coco(path), json.loads(results_path.read_text())),
    ):
        assert [ours.coco[name] for name in METRICS] == pytest.approx(wanted, abs=1e-12)
        assert ours.num_predicted == len(results)


def test_areas_that_a_file_lacks_are_filled_in(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "gt.json")
    document = json.loads(path.read_text())
    for person in document["annotations"]:
        del person["area"], person["num_keypoints"]
    path.write_text(json.dumps(document))
    assert evaluate_results(read_coco(path), predictions_of(path, 0)).coco["AP"] == 1.0


def test_nobody_predicted_scores_zero_and_missed_people_count(tmp_path: Path) -> None:
    truth = read_coco(truth_file(tmp_path / "gt.json"))
    nothing = evaluate_results(truth, [])
    assert nothing.coco["AP"] == 0.0
    assert nothing.keypoints[-1].oks == 0.0
    assert nothing.keypoints[-1].pck == (0.0, 0.0, 0.0)
    half = evaluate_results(truth, predictions_of(truth.path, 0.0)[::2])
    share = half.keypoints[-1].pck[0]
    assert share is not None
    assert 0.3 < share < 0.7


def test_a_prediction_is_given_to_one_person(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "gt.json", num_images=1, per_image=2)
    document = json.loads(path.read_text())
    one, other = document["annotations"]
    other |= {name: one[name] for name in ("keypoints", "bbox", "area", "num_keypoints")}
    path.write_text(json.dumps(document))
    near, far = predictions_of(path, 0.0)
    far["keypoints"] = [value + 1e4 for value in far["keypoints"]]
    row = evaluate_results(read_coco(path), [near, far]).keypoints[-1]
    assert row.oks == pytest.approx(0.5)
    assert row.pck == (0.5, 0.5, 0.5)


def test_what_nobody_has_is_not_measured(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "gt.json", num_images=2, per_image=1)
    document = json.loads(path.read_text())
    for person in document["annotations"]:
        person["keypoints"][3:6] = [0, 0, 0]  # the left eye
        person["area"] = 100.0 * 100.0  # large
    path.write_text(json.dumps(document))
    for results in ([], predictions_of(path, 0.0)):
        measured = evaluate_results(read_coco(path), results)
        assert measured.coco["AP_M"] == -1
        assert measured.coco["AP"] >= 0
        eye = measured.as_dict()["keypoints"][1]
        assert (eye["count"], eye["oks"]) == (0, None)
        assert set(eye["pck"].values()) == {None}
        assert measured.as_dict()["coco"]["AP_M"] is None
    (tmp_path / "results.json").write_text(json.dumps(predictions_of(path, 0.0)))
    table = vitpose("evaluate", "-a", path, "-p", tmp_path / "results.json")
    (line,) = (line for line in table.stdout.splitlines() if "left_eye" in line)
    assert line.split()[2:] == ["-"] * 4, line
    for person in document["annotations"]:
        person |= {"keypoints": [0] * 51, "num_keypoints": 0}
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="no people with labelled keypoints"):
        evaluate_predictions(path, tmp_path / "results.json")


def test_a_known_distance_gives_the_known_oks(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "gt.json", num_images=1, per_image=1)
    results = predictions_of(path, 0.0)
    results[0]["keypoints"][15] += 10.0  # left shoulder, 10 px to the right
    truth = read_coco(path)
    person = truth.annotations[0]
    row = evaluate_results(truth, results).keypoints[5]
    if row.count:
        expected = np.exp(-100 / (2 * person["area"] * (2 * 0.079) ** 2))
        assert row.oks == pytest.approx(expected, rel=1e-6)


def test_labels_are_measured_without_the_networks_libraries(tmp_path: Path) -> None:
    truth = truth_file(tmp_path / "gt.json")
    (tmp_path / "found.json").write_text(json.dumps(predictions_of(truth, noise_px=2)))
    script = (
        "import sys\nfrom vitpose_cli.cli.app import run\n"
        "assert run('evaluate -a gt.json -p found.json --json'.split()) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_another_keypoint_set_is_refused(tmp_path: Path) -> None:
    truth = read_coco(truth_file(tmp_path / "gt.json"))
    with pytest.raises(InputError, match="14 keypoints a person"):
        evaluate_results(truth, [{"image_id": 1, "keypoints": [0.0] * 42, "score": 1.0}])


def test_a_run_a_document_and_results_are_all_measured(tmp_path: Path) -> None:
    document, weights = truth_of_photos(tmp_path, 4), "w.safetensors"
    direct = vitpose(
        "evaluate", "-a", "gt.json", "-i", "photos", "--gt-boxes", "-w", weights, "--json",
        "--no-flip-test", cwd=tmp_path,
    )  # fmt: skip
    assert direct.returncode == 0, direct.stderr
    run = vitpose(
        "annotate", "photos", "-o", "run", "--boxes", "gt.json", "-w", weights, "--no-flip-test",
        cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    from_run = vitpose("evaluate", "-a", "gt.json", "-p", "run", "--json", cwd=tmp_path)
    means = [
        [row["oks"] for row in json.loads(done.stdout)["keypoints"]] for done in (direct, from_run)
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-3)  # records keep 0.01 px
    table = vitpose("evaluate", "-a", "gt.json", "-p", "run/annotations.json", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert "left_shoulder" in table.stdout
    assert "…" not in table.stdout  # nothing is cut in 80 columns
    document["images"] = [image | {"file_name": "other.jpg"} for image in document["images"][:1]]
    document["annotations"] = document["annotations"][:1]
    (tmp_path / "other.json").write_text(json.dumps(document))
    elsewhere = vitpose("evaluate", "-a", "other.json", "-p", "run", cwd=tmp_path)
    assert elsewhere.returncode == 3
    assert "None of the images in run" in elsewhere.stderr
    assert evaluate_predictions(tmp_path / "gt.json", tmp_path / "run").num_predicted == 4


def test_rejected_frames_count_as_in_the_document(tmp_path: Path) -> None:
    kept, rejected = make_record("1.jpg"), make_record("2.jpg", review=Review("rejected", "anna"))
    run = make_run(tmp_path / "run", [kept, rejected])
    truth = truth_file(tmp_path / "gt.json", num_images=2)
    of_run = evaluate_predictions(truth, run)
    assert of_run.num_predicted == len(kept.uids)
    assert (of_run.num_failed, of_run.num_missing) == (0, 1)
    document = evaluate_predictions(truth, run / "annotations.json")
    assert document.num_predicted == of_run.num_predicted
    assert document.num_missing == of_run.num_missing


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "--gt-boxes --weights no-such --detector nope --boxes nofile.json",
            "--weights and --gt-boxes and --boxes and --detector do nothing beside --predictions",
        ),
        ("--device cpu", "--device does nothing beside --predictions"),
        ("--no-flip-test --batch-size 4", "--flip-test and --batch-size do nothing"),
    ],
)
def test_labels_are_either_measured_or_made(tmp_path: Path, options: str, said: str) -> None:
    truth = truth_file(tmp_path / "gt.json")
    done = vitpose("evaluate", "-a", truth, "-p", truth, *options.split())
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_boxes_come_from_one_place(tmp_path: Path) -> None:
    truth = truth_file(tmp_path / "gt.json")
    given: list[str | Path] = ["evaluate", "-a", truth, "-i", tmp_path, "--gt-boxes"]
    for other in (["--boxes", "nofile.json"], ["--detector", "nope"], ["--detector-tile", "640"]):
        done = vitpose(*given, *other)
        assert done.returncode == 2
        assert "exclude each other" in done.stderr
        done = vitpose(*given[:-1], "--truncate", "upper", *other)
        assert done.returncode == 2
        assert "--truncate cuts photos" in done.stderr


@pytest.mark.parametrize("how", [["--gt-boxes"], ["--truncate", "upper"]])
def test_ground_truth_that_lists_right_before_left_is_measured_alike(
    tmp_path: Path, how: list[str]
) -> None:
    document, weights = truth_of_photos(tmp_path, 3), tmp_path / "w.safetensors"
    for person in document["annotations"]:
        points = np.random.default_rng(person["id"]).uniform(10, 80, (17, 2)).round(1)
        person["keypoints"] = np.c_[points, np.full(17, 2)].ravel().tolist()
        person["bbox"] = [10.0, 10.0, 70.0, 70.0]
    (tmp_path / "gt.json").write_text(json.dumps(document))
    order = COCO_SET.flip_order
    for person in document["annotations"]:
        person["keypoints"] = np.reshape(person["keypoints"], (17, 3))[order].ravel().tolist()
    listed = [COCO_SET.names[k] for k in order]
    document["categories"] = [{"id": 1, "name": "person", "keypoints": listed}]
    (tmp_path / "turned.json").write_text(json.dumps(document))
    found = []
    for truth in ("gt.json", "turned.json"):
        done = vitpose(
            "evaluate", "-a", truth, "-i", "photos", "-w", weights, "--json", *how, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["keypoints"]
        found.append({row["name"]: row["oks"] for row in rows if row["count"]})
    assert found[0] == pytest.approx(found[1])
    document["categories"] = [keypoint_set("ap10k").to_category()]
    (tmp_path / "animals.json").write_text(json.dumps(document))
    done = vitpose(
        "evaluate", "-a", "animals.json", "-i", "photos", "-w", weights, *how, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "other keypoints than the ground truth: nose, left_eye" in " ".join(done.stderr.split())
