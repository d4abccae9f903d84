"""AP of ground truth with several categories of bodies, as COCOeval finds it by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_cases import COCO_SET, predictions_of, reference_metrics, truth_file
from runs import save_photos, save_weights, vitpose

from vitpose_cli.evaluate.body_categories import categories_of_boxes
from vitpose_cli.evaluate.coco_metrics import METRICS
from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions, evaluate_results
from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.records.coco import read_coco

NAMES = {3: "antelope", 7: "bison", 8: "cow", 20: "zebra"}
STRANGE = 99


def herds(path: Path, generator: np.random.Generator) -> dict[str, Any]:
    """Write ground truth of antelopes, bisons and cows; there are no zebras."""
    document: dict[str, Any] = json.loads(truth_file(path, 40, 4).read_text())
    document["categories"] = [
        COCO_SET.to_category() | {"id": number, "name": name} for number, name in NAMES.items()
    ]
    for animal in document["annotations"]:
        animal["category_id"] = int(generator.choice([3, 3, 7, 8]))
        animal["area"] *= generator.uniform(0.1, 1.2) ** 2
        animal["iscrowd"] = int(generator.uniform() < 0.15)
        if generator.uniform() < 0.15:
            animal |= {"keypoints": [0] * 51, "num_keypoints": 0}
    document["annotations"] = [
        animal for animal in document["annotations"] if generator.uniform() < 0.8
    ]
    generator.shuffle(document["images"])
    path.write_text(json.dumps(document))
    return document


def found_in(document: dict[str, Any], generator: np.random.Generator) -> list[dict[str, Any]]:
    """Return results for a document, some of a wrong category, or one that it lacks."""
    results = []
    for image in document["images"]:
        own = [one for one in document["annotations"] if one["image_id"] == image["id"]]
        for number in range(generator.choice([0, 2, 4, 70]) if own else 1):
            animal = own[number % len(own)] if own else document["annotations"][0]
            points = np.reshape(animal["keypoints"], (17, 3)).astype(float)
            points[:, :2] += generator.normal(0, generator.choice([0, 3, 12]), (17, 2))
            points[:, 2] = 1
            is_right = generator.uniform() < 0.8
            category = animal["category_id"] if is_right else generator.choice([*NAMES, STRANGE])
            results.append(
                {
                    "image_id": image["id"], "category_id": int(category),
                    "keypoints": points.ravel().tolist(),
                    "score": float(generator.choice([0.2, 0.5, 0.5, 0.9])),  # equal ones, too
                }
            )  # fmt: skip
    return results


def metrics(evaluation: Evaluation) -> list[float]:
    """Return the metrics in COCOeval's order."""
    return [evaluation.coco[name] for name in METRICS]


@pytest.mark.parametrize("seed", range(6))
def test_the_metrics_are_means_over_categories_as_pycocotools_takes_them(
    tmp_path: Path, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    truth = tmp_path / "gt.json"
    results = found_in(herds(truth, generator), generator)
    if seed % 2:
        for result in results:
            result["bbox"] = [0, 0, *generator.uniform(20, 150, 2)]
    (tmp_path / "results.json").write_text(json.dumps(results))
    wanted = reference_metrics(truth, results)
    assert 0.01 < wanted[0] < 0.99
    for ours in (
        evaluate_predictions(truth, tmp_path / "results.json"),
        evaluate_results(read_coco(truth), results),
    ):
        assert metrics(ours) == pytest.approx(wanted, abs=1e-12)
        assert ours.num_predicted == len(results)
        assert ours.counts_sentence().endswith(" AP and AR are means over 3 categories.")
    pooled = evaluate_results(
        read_coco(truth), [{**result, "category_id": 3} for result in results]
    )
    assert metrics(pooled) != pytest.approx(wanted, abs=1e-3)


def test_categories_of_a_document_are_matched_by_name(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    document = herds(tmp_path / "gt.json", generator)
    names = {one["id"]: one["name"].upper() for one in document["categories"]}
    people = [one for one in document["annotations"] if not one["iscrowd"]]
    kept = [one for one in people if generator.uniform() < 0.7]
    results = [
        {key: one[key] for key in ("image_id", "category_id", "keypoints", "bbox")}
        | {"score": round(float(generator.uniform()), 3)}
        for one in kept
    ]
    for result in results:
        points = np.reshape(result["keypoints"], (17, 3)).astype(float)
        points[:, :2] += generator.normal(0, 3, (17, 2))
        result["keypoints"] = points.clip(0).ravel().tolist()
    for result in results[::5]:
        result["category_id"] = STRANGE
    document["categories"] = [
        COCO_SET.to_category() | {"id": 100 - number, "name": name}
        for number, name in (names | {STRANGE: "yak"}).items()
    ]
    document["annotations"] = [
        one | result | {"category_id": 100 - result["category_id"]}
        for one, result in zip(kept, results, strict=True)
    ]
    (tmp_path / "labels.json").write_text(json.dumps(document))
    found = evaluate_predictions(tmp_path / "gt.json", tmp_path / "labels.json")
    assert found.by_category
    wanted = reference_metrics(tmp_path / "gt.json", results)
    assert metrics(found) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("known", [1, None])
def test_predictions_of_one_category_are_measured_as_one(tmp_path: Path, known: int | None) -> None:
    """Those of a network say that everybody is the first category, or nothing."""
    truth = truth_file(tmp_path / "gt.json")
    results = [one | {"category_id": known} for one in predictions_of(truth, 6.0)]
    (tmp_path / "results.json").write_text(json.dumps(results))
    alone = evaluate_predictions(truth, tmp_path / "results.json")
    assert alone.counts_sentence().endswith(" photos.")
    document = json.loads(truth.read_text())
    document["categories"].append(document["categories"][0] | {"id": 2, "name": "child"})
    for person in document["annotations"][::3]:
        person["category_id"] = 2
    truth.write_text(json.dumps(document))
    found = evaluate_predictions(truth, tmp_path / "results.json")
    assert metrics(found) == metrics(alone)
    assert found.as_dict() == alone.as_dict() | {"num_categories": 2}
    said = "of all 2 categories together, since the predictions do not tell them apart."
    assert found.counts_sentence().endswith(said)


def test_of_one_category_whatever_is_predicted_counts(tmp_path: Path) -> None:
    truth = truth_file(tmp_path / "gt.json")
    results = predictions_of(truth, 6.0)
    wanted = reference_metrics(truth, results)
    for number, result in enumerate(results):
        result["category_id"] = number % 3
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert metrics(evaluate_predictions(truth, tmp_path / "results.json")) == wanted
    assert metrics(evaluate_results(read_coco(truth), results)) == wanted


def test_the_command_says_how_categories_count(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    results = found_in(herds(tmp_path / "gt.json", generator), generator)
    (tmp_path / "results.json").write_text(json.dumps(results))
    given = ["evaluate", "-a", "gt.json", "-p", "results.json"]
    done = vitpose(*given, cwd=tmp_path)
    assert "AP and AR are means over 3 categories." in done.stderr
    done = vitpose(*given, "--json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert (said["num_categories"], said["by_category"]) == (3, True)
    wanted = reference_metrics(tmp_path / "gt.json", results)
    assert [*said["coco"].values()] == pytest.approx(wanted, abs=1e-12)


def test_bodies_cut_to_a_part_have_their_category(tmp_path: Path) -> None:
    names = save_photos(tmp_path / "photos", 6)
    save_weights(tmp_path / "w.safetensors")
    document = json.loads(truth_file(tmp_path / "gt.json", 6, 1).read_text())
    document["categories"].append(document["categories"][0] | {"id": 2, "name": "child"})
    generator = np.random.default_rng(0)
    for image, person, name in zip(document["images"], document["annotations"], names, strict=True):
        image |= {"file_name": name, "width": 120, "height": 90}
        points = np.c_[generator.uniform(10, 80, (17, 2)).round(1), np.full(17, 2)]
        person |= {"bbox": [10, 10, 70, 70], "keypoints": points.ravel().tolist()}
        person["category_id"] = 1 + person["id"] % 2
    (tmp_path / "gt.json").write_text(json.dumps(document))
    given = ["evaluate", "-a", "gt.json", "-i", "photos", "-w", "w.safetensors", "--json"]
    for how, by_category in ((["--truncate", "upper"], True), (["--boxes", "gt.json"], False)):
        done = vitpose(*given, *how, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["num_categories"], said["by_category"]) == (2, by_category)


def test_a_box_says_whose_it_is() -> None:
    def body(category: int, bbox: list[float], **fields: Any) -> dict[str, Any]:
        seen = {"keypoints": [1, 1, 2], "iscrowd": 0}
        return {"category_id": category, "bbox": bbox, **seen, **fields}

    bodies = [
        body(3, [-10, 5, 60, 200]),  # reaches out of its frame
        body(7, [20.3, 5, 30, 20]),
        body(8, [20.3, 5, 30, 20], score=1.5),  # its pose is kept, and not that of the one before
        body(9, [0, 5, 50, 75], iscrowd=1),
        body(10, [0, 5, 50, 75], keypoints=[0, 0, 0]),
    ]
    boxes = np.array([[20.3, 5, 50.3, 25], [0, 5, 50, 80]], np.float32)
    assert categories_of_boxes(boxes, bodies, (100, 80)) == [8, 3]
    assert categories_of_boxes(boxes, bodies[3:], (100, 80)) == [None, None]
