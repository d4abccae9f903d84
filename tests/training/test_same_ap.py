"""The AP that training measures is the one that `vitpose evaluate --gt-boxes` finds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import EXAMPLES, vitpose
from training_cases import small_source, write_document

from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.instances import Instances
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.validate import Validator

WEIGHTS = Path(__file__).parents[2] / "weights" / "vitpose-tiny.safetensors"


def validated(folder: Path, **options: Any) -> tuple[Evaluation, Instances]:
    """Measure the shipped network as training does; return also what it finds."""
    model = load_model(WEIGHTS)
    ((name, head),) = model.header.heads.items()
    shape = model.config
    codec = HeatmapCodec(shape.input_wh, shape.map_wh, head.alignment)
    source = open_data_source(
        CocoSource.model_validate(small_source(folder) | options), purpose="measuring"
    )
    validator = Validator(source, name, codec, ValidationOptions())
    found = validator.find(model, torch.device("cpu"), torch.float32)
    return validator.evaluate(found), found


def person(number: int, size_wh: tuple[int, int], points: Any, **extra: Any) -> dict[str, Any]:
    """Return somebody whose box reaches beyond the photo."""
    width, height = size_wh
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "bbox": [-0.3 * width, 0.05 * height, 1.5 * width, 1.4 * height],
        "area": 0.5 * width * height,
        "iscrowd": 0,
        "keypoints": np.c_[points, np.full(17, 2)].ravel().tolist(),
        "num_keypoints": 17,
        **extra,
    }


def evaluated(path: Path, *options: str | Path) -> dict[str, Any]:
    """Measure the shipped network by the command."""
    done = vitpose(
        "evaluate", "-a", path, "-i", path.parent / "images", "-w", WEIGHTS, "--json",
        "--device", "cpu", "--precision", "fp32", *options, cwd=path.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def categorised(path: Path, only: int | None = None) -> Path:
    """Make every other person of a file a child; or write a file beside it of one category."""
    document = json.loads(path.read_text())
    adult = document["categories"][0] | {"name": "adult"}
    document["categories"] = [adult, adult | {"id": 2, "name": "child"}]
    for one in document["annotations"]:
        one["category_id"] = 1 + one["id"] % 2
    if only is not None:
        document["annotations"] = [
            one for one in document["annotations"] if one["category_id"] == only
        ]
        path = path.with_name(f"only-{only}.json")
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(("stated", "by_category"), [(True, False), (False, False), (False, True)])
def test_boxes_and_keypoints_beyond_the_photo_and_people_without_any_give_the_same_ap(
    tmp_path: Path, stated: bool, by_category: bool
) -> None:
    (tmp_path / "images").mkdir()
    images, people = [], []
    with Image.open(EXAMPLES / "astronaut.jpg") as whole:
        for number in range(1, 7):
            name = f"{number}.png"
            photo = whole.crop((20 * number, 0, whole.width - 10 * number, whole.height))
            photo.save(tmp_path / "images" / name)
            size = {"width": photo.width, "height": photo.height} if stated else {}
            images.append({"id": number, "file_name": name, **size})
            people.append(person(number, photo.size, np.full((17, 2), 9.0)))
            last = photo.size
    write_document(tmp_path, images, people)
    random = np.random.default_rng(0)
    for number, points in enumerate(validated(tmp_path)[1].keypoints):
        moved = points + random.normal(0, 2 * (number + 1), points.shape)
        flat = np.c_[moved.clip(0, np.array(last) - 60).round(1), np.full(17, 2)]
        people[number]["keypoints"] = flat.ravel().tolist()
    for number in (1, 2, 3):  # nobody knows where their keypoints are
        box = [100, 60 * number, 200, 300]
        nobody = people[number] | {"id": 10 + number, "bbox": box, "area": 30000}
        people.append(nobody | {"keypoints": [0] * 51, "num_keypoints": 0})
    beyond = np.c_[np.full((17, 2), -9.0), np.full(17, 2)].ravel().tolist()
    people.append(people[4] | {"id": 20, "bbox": [0, 0, 60, 60], "keypoints": beyond})
    path = write_document(tmp_path, images, people)
    if by_category:
        categorised(path)
    measured, by_command = validated(tmp_path)[0].as_dict(), evaluated(path, "--gt-boxes")
    assert measured["coco"] == by_command["coco"]
    assert 0.2 < measured["coco"]["AP"] < 0.95
    assert measured["num_predicted"] == by_command["num_predicted"] == 7
    assert measured["by_category"] == by_command["by_category"] == by_category
    if by_category:
        parts = [evaluated(categorised(path, only), "--gt-boxes")["coco"] for only in (1, 2)]
        for name, mean in measured["coco"].items():
            values = [part[name] for part in parts if part[name] is not None]
            assert mean == (pytest.approx(np.mean(values)) if values else None)
    for mine, theirs in zip(measured["keypoints"], by_command["keypoints"], strict=True):
        assert mine["oks"] == pytest.approx(theirs["oks"], rel=1e-4)
    document = json.loads(path.read_text())
    document["annotations"].append(people[0] | {"id": 30})  # found twice, and counted once
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    with_boxes = validated(tmp_path, boxes=tmp_path / "boxes.json")[0].as_dict()
    by_command = evaluated(path, "--boxes", "boxes.json")
    assert with_boxes["coco"] == by_command["coco"]
    assert not with_boxes["by_category"]
    assert not by_command["by_category"]
    assert with_boxes["num_predicted"] == 10
