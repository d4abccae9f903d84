"""The measures that data sets publish beside AP of all keypoints, against references of their own.

Parts of whole bodies and crowded photos against COCOeval, PCKh against its definition.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_cases import reference_metrics
from runs import vitpose
from scipy.io import savemat

from vitpose_cli.evaluate.coco_metrics import METRICS
from vitpose_cli.evaluate.coco_subsets import Subset
from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions, evaluate_results
from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco import read_coco

WHOLE, CROWDPOSE, MPII = (keypoint_set(name) for name in ("wholebody", "crowdpose", "mpii"))
PARTS = {
    "body": slice(0, 17), "foot": slice(17, 23), "face": slice(23, 91),
    "lefthand": slice(91, 112), "righthand": slice(112, 133),
}  # fmt: skip
FIELDS = {name: f"{name}_kpts" for name in PARTS} | {"body": "keypoints"}


def people(
    keypoints: KeypointSet, generator: np.random.Generator, num_images: int = 40
) -> dict[str, Any]:
    """Return ground truth of people of all sizes, a few of them crowds or without keypoints."""
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(1, num_images + 1)]
    annotations: list[dict[str, Any]] = []
    for image in images:
        for _ in range(generator.choice([0, 1, 2, 4])):
            x, y, width, height = generator.uniform((0, 0, 15, 20), (300, 200, 250, 260))
            points = generator.uniform(
                (x, y), (x + width, y + height), (keypoints.num_keypoints, 2)
            )
            visible = generator.integers(0, 3, keypoints.num_keypoints)
            visible *= bool(generator.uniform() > 0.1)
            flat = np.where(visible[:, None] > 0, np.c_[points, visible], 0).ravel().round(2)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image["id"], "category_id": 1,
                    "bbox": [x, y, width, height], "keypoints": flat.tolist(),
                    "iscrowd": int(generator.uniform() < 0.1),
                    "num_keypoints": int((visible > 0).sum()),
                }
            )  # fmt: skip
    return {
        "images": images,
        "annotations": annotations,
        "categories": [keypoints.to_category()],
    }


def found_in(document: dict[str, Any], generator: np.random.Generator) -> list[dict[str, Any]]:
    """Return results near the people of a document: too few, too many, with equal scores."""
    results = []
    for person in document["annotations"]:
        for _ in range(generator.choice([0, 1, 1, 2])):
            points = np.reshape(person["keypoints"], (-1, 3)).astype(float)
            away = generator.choice([0.002, 0.02, 0.1]) * person["bbox"][3]
            points[:, :2] += generator.normal(0, away, (len(points), 2))
            points[:, 2] = 1
            score = float(generator.choice([0.2, 0.5, 0.5, 0.9]))
            results.append(
                {
                    "image_id": person["image_id"], "category_id": 1, "score": score,
                    "keypoints": points.ravel().tolist(),
                }
            )  # fmt: skip
    return results


def measured(
    folder: Path, document: dict[str, Any], results: list[dict[str, Any]]
) -> tuple[Evaluation, Evaluation]:
    """Return what is measured of files, frame by frame, and of what was read from them at once."""
    (folder / "gt.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps(results))
    return (
        evaluate_predictions(folder / "gt.json", folder / "results.json"),
        evaluate_results(
            read_coco(folder / "gt.json"), json.loads((folder / "results.json").read_text())
        ),
    )


def values(subset: Subset) -> list[float]:
    """Return the metrics in COCOeval's order."""
    return [subset.coco[name] for name in METRICS]


def part_of(flat: Sequence[float], place: slice) -> list[float]:
    """Return the numbers of some of the keypoints."""
    numbers: list[float] = np.reshape(flat, (-1, 3))[place].ravel().tolist()
    return numbers


def body_box(result: dict[str, Any]) -> list[float]:
    """Return what the keypoints of the body extend over, xywh: whose area counts for all parts."""
    points = np.reshape(result["keypoints"], (-1, 3))[PARTS["body"], :2]
    return [*points.min(axis=0).tolist(), *np.ptp(points, axis=0).tolist()]


@pytest.mark.parametrize("seed", range(4))
def test_each_part_of_whole_bodies_is_what_pycocotools_makes_of_it_alone(
    tmp_path: Path, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    document = people(WHOLE, generator)
    for person in document["annotations"]:
        person["area"] = person["bbox"][2] * person["bbox"][3] * 0.6
        points = np.reshape(person["keypoints"], (-1, 3))
        for place in PARTS.values():
            if generator.uniform() < 0.3:  # feet out of the photo, hands that are too small
                points[place] = 0
        person["keypoints"] = points.ravel().tolist()
    results = found_in(document, generator)
    wanted, counts = {}, {}
    for name, place in {**PARTS, "whole": slice(0, 133)}.items():
        alone = []
        for person in document["annotations"]:
            flat = part_of(person["keypoints"], place)
            counted = sum(value > 0 for value in flat[2::3])
            alone.append(person | {"keypoints": flat, "num_keypoints": counted})
        truth = tmp_path / f"{name}.json"
        truth.write_text(json.dumps(document | {"annotations": alone}))
        predicted = [
            one | {"keypoints": part_of(one["keypoints"], place), "bbox": body_box(one)}
            for one in results
        ]
        wanted[name] = reference_metrics(truth, predicted, WHOLE.sigmas[place])
        counts[name] = sum(person["num_keypoints"] > 0 for person in alone)
    hands = np.mean([wanted["lefthand"], wanted["righthand"]], axis=0)
    for person in document["annotations"]:  # as the data set's own files have them
        flat = person["keypoints"]
        person |= {FIELDS[name]: part_of(flat, place) for name, place in PARTS.items()}
        person["num_keypoints"] = sum(value > 0 for value in person["keypoints"][2::3])
    document["categories"] = [keypoint_set("coco").to_category()]
    for result in measured(tmp_path, document, results):
        assert list(result.parts) == [*PARTS, "hand"]
        assert [result.coco[name] for name in METRICS] == pytest.approx(wanted["whole"], abs=1e-12)
        for name in PARTS:
            assert values(result.parts[name]) == pytest.approx(wanted[name], abs=1e-12)
            assert result.parts[name].num_people == counts[name]
            assert 0.01 < wanted[name][0] < 0.99
        assert values(result.parts["hand"]) == pytest.approx(hands, abs=1e-12)


def test_a_part_that_nobody_shows_is_not_measured(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    document = people(WHOLE, generator)
    for person in document["annotations"]:
        points = np.reshape(person["keypoints"], (-1, 3))
        points[PARTS["foot"]] = points[PARTS["lefthand"]] = 0
        person["keypoints"] = points.ravel().tolist()
    said = measured(tmp_path, document, found_in(document, generator))[0].as_dict()["parts"]
    assert said["foot"] == {**dict.fromkeys(METRICS), "num_people": 0}
    assert said["hand"] == said["righthand"]
    table = vitpose(
        "evaluate", "-a", tmp_path / "gt.json", "-p", tmp_path / "results.json", cwd=tmp_path
    )
    assert table.returncode == 0, table.stderr
    (line,) = (line for line in table.stdout.splitlines() if line.startswith("foot "))
    assert line.split()[2:] == ["-"] * 6, line
    assert "…" not in table.stdout  # nothing is cut in 80 columns
    assert max(map(len, table.stdout.splitlines())) <= 80


@pytest.mark.parametrize("seed", range(4))
def test_crowded_photos_are_what_pycocotools_makes_of_them_alone(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    document = people(CROWDPOSE, generator, 120)
    for image in document["images"]:
        crowding = generator.choice([0, 0.1, 0.19, 0.2, 0.5, 0.79, 0.8, 1])
        image["crowdIndex"] = float(crowding) if crowding % 1 else int(crowding)
    del document["images"][-1]["crowdIndex"]  # of no kind
    generator.shuffle(document["images"])
    document["categories"][0]["keypoints"][-2] = "head"  # as its own files call it
    results = found_in(document, generator)
    with_areas = [
        person | {"area": person["bbox"][2] * person["bbox"][3] * 0.53}  # its files have none
        for person in document["annotations"]
    ]
    (tmp_path / "areas.json").write_text(json.dumps(document | {"annotations": with_areas}))
    kinds = {"easy": (0, 0.2), "medium": (0.2, 0.8), "hard": (0.8, 2)}
    for result in measured(tmp_path, document, results):
        everything = reference_metrics(tmp_path / "areas.json", results, CROWDPOSE.sigmas)
        assert [result.coco[name] for name in METRICS] == pytest.approx(everything, abs=1e-12)
        assert list(result.crowding) == list(kinds)
        for kind, (low, high) in kinds.items():
            ids = [
                image["id"]
                for image in document["images"]
                if low <= image.get("crowdIndex", -1) < high
            ]
            wanted = reference_metrics(tmp_path / "areas.json", results, CROWDPOSE.sigmas, ids)
            assert values(result.crowding[kind]) == pytest.approx(wanted, abs=1e-12)
            assert 0.01 < wanted[0] < 0.99
            assert result.crowding[kind].num_people == sum(
                person["num_keypoints"] > 0 and person["image_id"] in ids
                for person in document["annotations"]
            )
    table = vitpose("evaluate", "-a", "gt.json", "-p", "results.json", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    (line,) = (line for line in table.stdout.splitlines() if line.startswith("medium "))
    assert f"{result.crowding['medium'].coco['AP']:.3f}" in line


def test_nothing_more_is_measured_where_the_ground_truth_has_nothing_more(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    document = people(keypoint_set("coco"), generator)
    for result in measured(tmp_path, document, found_in(document, generator)):
        said = result.as_dict()
        assert (said["parts"], said["crowding"], said["pckh"]) == ({}, {}, None)


def heads(generator: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return ground truth as MPII's, one person in each photo, and results for all but the last."""
    document = people(MPII, generator, 60)
    first = {person["image_id"]: person for person in reversed(document["annotations"])}
    document["annotations"] = [
        person | {"iscrowd": 0} for person in first.values() if person["num_keypoints"]
    ]
    results = []
    for person in document["annotations"][:-1]:
        points = np.reshape(person["keypoints"], (-1, 3)).astype(float)
        points[:, :2] += generator.normal(0, 12, (16, 2))
        results.append(
            {
                "image_id": person["image_id"], "category_id": 1, "score": 0.5,
                "keypoints": points.ravel().tolist(),
            }
        )  # fmt: skip
    return document, results


def pckh(
    document: dict[str, Any],
    results: list[dict[str, Any]],
    sizes: Sequence[float | None],
    at: float,
) -> tuple[list[float], list[int]]:
    """Return shares by keypoint and over all but pelvis and thorax, and how many are labelled."""
    found = {one["image_id"]: np.reshape(one["keypoints"], (16, 3)) for one in results}
    hits, counts = np.zeros(16), np.zeros(16, int)
    for person, size in zip(document["annotations"], sizes, strict=True):
        truth = np.reshape(person["keypoints"], (16, 3))
        for number in range(16):
            if size is None or truth[number, 2] == 0:
                continue
            counts[number] += 1
            if person["image_id"] in found:
                away = np.linalg.norm(found[person["image_id"]][number, :2] - truth[number, :2])
                hits[number] += away <= at * size
    meant = [number for number in range(16) if number not in (6, 7)]
    return [*(hits / counts), hits[meant].sum() / counts[meant].sum()], [
        *counts.tolist(),
        int(counts[meant].sum()),
    ]


def test_pckh_is_by_the_head_sizes_that_are_given(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    document, results = heads(generator)
    sizes: list[float | None] = []
    for person in document["annotations"]:
        given = generator.uniform() < 0.8
        sizes.append(float(generator.uniform(10, 60)) if given else None)
        if given:
            person["head_size"] = sizes[-1]
    for result in measured(tmp_path, document, results):
        assert result.pckh is not None
        assert result.pckh.by == "head_size"
        assert [row.name for row in result.pckh.rows] == [*MPII.names, "mean"]
        for column, at in enumerate((0.1, 0.5)):
            shares, counts = pckh(document, results, sizes, at)
            assert [row.pckh[column] for row in result.pckh.rows] == pytest.approx(shares)
            assert [row.count for row in result.pckh.rows] == counts
        assert 0.2 < shares[-1] < 0.9
        known = sum(size is not None for size in sizes)
        assert result.pckh.num_people == known
        assert result.counts_sentence().endswith(
            f"PCKh is of the {known} whose head_size is given."
        )
    table = vitpose("evaluate", "-a", "gt.json", "-p", "results.json", cwd=tmp_path)
    (line,) = (line for line in table.stdout.splitlines() if line.startswith("mean "))
    assert f"{shares[-1]:.3f}" in line.split()
    said = json.loads(
        vitpose("evaluate", "-a", "gt.json", "-p", "results.json", "--json", cwd=tmp_path).stdout
    )
    assert said["pckh"]["by"] == "head_size"
    assert said["pckh"]["keypoints"][-1]["pckh"]["0.5"] == pytest.approx(shares[-1])


def test_without_head_sizes_pckh_is_by_the_segment_of_the_head_and_says_so(tmp_path: Path) -> None:
    document, results = heads(np.random.default_rng(3))
    sizes: list[float | None] = []
    for person in document["annotations"]:
        points = np.reshape(person["keypoints"], (16, 3))
        neck, top = points[8], points[9]
        both = neck[2] > 0 and top[2] > 0
        sizes.append(float(np.linalg.norm(top[:2] - neck[:2])) if both else None)
    for result in measured(tmp_path, document, results):
        assert result.pckh is not None
        assert result.pckh.by == "head_top to upper_neck"
        shares, _ = pckh(document, results, sizes, 0.5)
        assert [row.pckh[1] for row in result.pckh.rows] == pytest.approx(shares)
        assert "PCKh is by the segment head_top to upper_neck" in result.counts_sentence()


@pytest.mark.parametrize("size", [0, -3, "20", True, None])
def test_a_head_size_that_is_none_is_passed_over(tmp_path: Path, size: Any) -> None:
    document, results = heads(np.random.default_rng(3))
    for person in document["annotations"]:
        person["head_size"] = size
    assert measured(tmp_path, document, results)[0].as_dict()["pckh"]["by"] != "head_size"


def test_mpii_as_it_is_handed_on_becomes_a_file_that_pckh_is_measured_by(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    joints = generator.uniform(20, 400, (4, 16, 2)).round(4)
    visible = generator.integers(0, 2, (4, 16))
    visible[:, 9] = 1
    joints[visible == 0] = -1
    people = [
        {
            "image": f"{number // 2:09}.jpg", "scale": 1.5 + number, "center": [300.0, 200.0],
            "joints": joints[number].tolist(), "joints_vis": visible[number].tolist(),
        }
        for number in range(4)
    ]  # fmt: skip
    heads = generator.uniform(0, 90, (2, 2, 4))
    (tmp_path / "mpii_val.json").write_text(json.dumps(people))
    savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": heads})
    script = Path(__file__).parents[2] / "examples" / "mpii_to_coco.py"
    subprocess.run(
        [sys.executable, script, "mpii_val.json", "mpii_gt_val.mat", "gt.json"],
        cwd=tmp_path,
        check=True,
    )
    document = json.loads((tmp_path / "gt.json").read_text())
    assert [image["file_name"] for image in document["images"]] == [
        "000000000.jpg",
        "000000001.jpg",
    ]
    first = document["annotations"][0]
    assert first["bbox"] == pytest.approx([149, 71.5, 300, 300])
    assert first["head_size"] == pytest.approx(
        0.6 * np.hypot(heads[1, 0, 0] - heads[0, 0, 0], heads[1, 1, 0] - heads[0, 1, 0])
    )
    assert "width" not in document["images"][0]
    for name in ("000000000.jpg", "000000001.jpg"):
        pixels = np.zeros((480, 640, 3), np.uint8)
        ImageSink(tmp_path / "images").write(Frame(FrameKey(name), pixels))
    subprocess.run(
        [sys.executable, script, "mpii_val.json", "mpii_gt_val.mat", "whole.json", "images"],
        cwd=tmp_path,
        check=True,
    )
    checked = vitpose("validate", tmp_path / "whole.json")
    assert checked.returncode == 0, checked.stdout
    whole = json.loads((tmp_path / "whole.json").read_text())
    assert {(image.pop("width"), image.pop("height")) for image in whole["images"]} == {(640, 480)}
    assert whole == document
    results = []
    for number, person in enumerate(document["annotations"]):
        away = person["head_size"] * (0.49 if number < 3 else 0.51)
        points = np.c_[joints[number] - 1 + [away, 0], np.ones(16)]
        results.append(
            {
                "image_id": person["image_id"], "category_id": 1, "score": 0.5,
                "keypoints": points.ravel().tolist(),
            }
        )  # fmt: skip
    for result in measured(tmp_path, document, results):
        assert result.pckh is not None
        assert result.pckh.num_people == 4
        assert dict(zip(MPII.names, result.pckh.rows, strict=False))["head_top"].pckh == (0, 0.75)
