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

from vitpose_cli.evaluate import Evaluation
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.instances import Instances
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.sources import open_source
from vitpose_cli.training.validate import Validator

WEIGHTS = Path(__file__).parents[2] / "weights" / "vitpose-tiny.safetensors"


def validated(folder: Path, **options: Any) -> tuple[Evaluation, Instances]:
    """Measure the shipped network as training does; return also what it finds."""
    model = load_model(WEIGHTS)
    ((name, head),) = model.header.heads.items()
    shape = model.config
    codec = HeatmapCodec(shape.input_wh, shape.map_wh, head.alignment)
    source = open_source(CocoSource.model_validate(small_source(folder) | options), measured=True)
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


@pytest.mark.parametrize("stated", [True, False])
def test_boxes_and_keypoints_beyond_the_photo_and_people_without_any_give_the_same_ap(
    tmp_path: Path, stated: bool
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
    done = vitpose(
        "evaluate", "-a", path, "-i", tmp_path / "images", "--gt-boxes", "-w", WEIGHTS, "--json",
        "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured, evaluated = validated(tmp_path)[0].as_dict(), json.loads(done.stdout)
    assert measured["coco"] == evaluated["coco"]
    assert 0.2 < measured["coco"]["AP"] < 0.95
    assert measured["num_predicted"] == evaluated["num_predicted"] == 7
    for mine, theirs in zip(measured["keypoints"], evaluated["keypoints"], strict=True):
        assert mine["oks"] == pytest.approx(theirs["oks"], rel=1e-4)
    (tmp_path / "boxes.json").write_text(path.read_text())
    with_boxes = validated(tmp_path, boxes=tmp_path / "boxes.json")[0].as_dict()
    done = vitpose(
        "evaluate", "-a", path, "-i", tmp_path / "images", "--boxes", "boxes.json", "-w", WEIGHTS,
        "--json", "--device", "cpu", "--precision", "fp32", cwd=tmp_path,
    )  # fmt: skip
    assert with_boxes["coco"] == json.loads(done.stdout)["coco"]
    assert with_boxes["num_predicted"] == 10
