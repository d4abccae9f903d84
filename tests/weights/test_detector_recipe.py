"""The person detector's recipe: its parts, and all of its stages on drawn photos."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from runs import program

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.detection import DetectorOptions
from vitpose_cli.models.detectors import open_detector

RECIPE = Path(__file__).parents[2] / "weights" / "recipes" / "detector"
PARTS = ("pack", "teacher", "store", "augment", "loss", "distillation", "measure")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Import the recipe's files, whose short names are nobody else's business."""
    monkeypatch.syspath_prepend(str(RECIPE))
    before: dict[str, ModuleType] = {}
    before.update({name: sys.modules.pop(name) for name in PARTS if name in sys.modules})
    yield {name: importlib.import_module(name) for name in PARTS}
    for name in PARTS:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def draw_photo(seed: int, size_wh: tuple[int, int] = (160, 120)) -> tuple[NDArray[Any], list[int]]:
    """Draw a red person on blue ground; return the photo (BGR) and the box xyxy."""
    random = np.random.default_rng(seed)
    image = np.full((size_wh[1], size_wh[0], 3), (200, 60, 20), np.uint8)
    left, top = int(random.integers(5, 90)), int(random.integers(5, 40))
    box = [left, top, left + int(random.integers(25, 60)), top + int(random.integers(40, 70))]
    cv2.rectangle(image, (box[0], box[1]), (box[2] - 1, box[3] - 1), (0, 0, 230), -1)
    return image, box


def test_boxes_follow_the_people(parts: dict[str, Any]) -> None:
    """Wherever a picture is red there is a box, and boxes are full of red."""
    photos = []
    for seed in range(6):
        image, box = draw_photo(seed)
        webp, _ = parts["pack"].encode_webp(image, 160, 95)
        boxes = np.array([box], np.float32)
        photos.append(parts["pack"].LabelledPhoto(str(seed), webp, boxes, np.ones(1, np.float32)))
    store = parts["store"].PhotoStore.load(photos, 160, torch.device("cpu"), 1.0, 2)
    batch = parts["augment"].Augmenter(store, 3).make(24, 128, mosaic=0.5, paste=0.5)
    assert batch.images.shape == (24, 3, 128, 128)
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1
    for image, boxes, weights in zip(batch.images, batch.boxes, batch.weights, strict=True):
        red = image[0] - image[2]
        inside = torch.zeros_like(red, dtype=torch.bool)
        for box, weight in zip(boxes, weights, strict=True):
            if weight < 0:
                continue
            left, top, right, low = (round(value) for value in box.tolist())
            inside[max(0, top - 2) : low + 2, max(0, left - 2) : right + 2] = True
            if weight > 0 and red.std() > 0.05:  # else the colours were taken away
                within = red[top:low, left:right].median()
                assert within > red.min() + 0.5 * (red.max() - red.min())
        if red.std() > 0.1 and not inside.all():
            assert (red[~inside] > 0.3).float().mean() < 0.02


def test_places_are_given_to_the_people_they_see(parts: dict[str, Any]) -> None:
    """A place whose box fits answers; one in a region of doubt is neither right nor wrong."""
    loss = parts["loss"]
    centres = torch.tensor([[16.0, 16.0], [48.0, 16.0], [16.0, 48.0], [48.0, 48.0]])
    places = loss.Places(centres, torch.full((4,), 32.0))
    boxes = torch.tensor([[[2.0, 2.0, 30.0, 30.0], [34.0, 34.0, 62.0, 62.0]]])
    weights = torch.tensor([[1.0, 0.0]])
    distances = torch.full((1, 4, 4), 14 / 32)
    owners, overlaps = loss.assign(
        torch.full((1, 4), 0.5), places.decode(distances), places, boxes, weights
    )
    assert owners.tolist() == [[0, -1, -1, -1]]
    assert overlaps[0, 0] == pytest.approx(1.0)
    answers = {
        "cls_logits": torch.tensor([[[0.0, 30.0], [0.0, -30.0], [0.0, -30.0], [0.0, 30.0]]]),
        "bbox_regression": distances,
        "bbox_ctrness": torch.full((1, 4, 1), 30.0),
    }
    found = loss.detection_loss(answers, places, boxes, weights)
    assert sum(found.values()).item() == pytest.approx(0.0, abs=1e-4)


def test_found_boxes_are_counted(parts: dict[str, Any]) -> None:
    """Two of three people are found, one box is false, one lies where nobody knows."""
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [20, 0, 30, 10], [80, 80, 90, 90]]
    true = [[0, 0, 10, 11], [20, 0, 31, 10], [0, 40, 40, 80], [75, 75, 95, 95]]
    result = parts["measure"].PhotoResult(
        np.array(boxes, np.float32),
        np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        np.array(true, np.float32),
        np.array([1, 1, 1, 0], np.float32),
    )
    matches = parts["measure"].match([result])
    assert matches.recall(0.5) == pytest.approx(2 / 3)
    assert matches.recall(0.5, side=20) == 0
    assert matches.false_boxes(0.5) == 1
    assert matches.threshold_at(0) == pytest.approx(0.8, abs=1e-5)
    assert matches.average_precision() == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)


def test_two_looks_become_one(parts: dict[str, Any]) -> None:
    """Who is seen twice keeps the score, who is seen once keeps half of it."""
    first = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    second = np.array([[0, 0, 10, 12]], np.float32)
    scores = np.array([0.8, 0.6], np.float32)
    boxes, merged = parts["teacher"].merge_looks(first, scores, second, np.array([0.8], np.float32))
    np.testing.assert_allclose(boxes, [[0, 0, 10, 11], [50, 50, 60, 60]])
    np.testing.assert_allclose(merged, [0.8, 0.3])


def write_data(folder: Path) -> None:
    """Write a few drawn photos in the folders that the recipe reads."""
    for name, num in (("coco_train", 12), ("coco_val", 2)):
        (folder / name / "images").mkdir(parents=True)
        document: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
        for seed in range(num):
            image, (left, top, right, low) = draw_photo(seed)
            cv2.imwrite(str(folder / name / "images" / f"{seed}.png"), image)
            document["images"].append({"id": seed, "file_name": f"{seed}.png"})
            bbox = [left, top, right - left, low - top]
            document["annotations"].append({"image_id": seed, "bbox": bbox})
        (folder / name / "person_keypoints.json").write_text(json.dumps(document))
    (folder / "people" / "street" / "images").mkdir(parents=True)
    image, _ = draw_photo(99)
    cv2.imwrite(str(folder / "people" / "street" / "images" / "a.png"), image)


def test_the_teacher_is_heard_everywhere(parts: dict[str, Any]) -> None:
    """The loss is least where the student says what the teacher says, and moves it there."""
    centres = torch.tensor([[4.0, 4.0], [12.0, 4.0]])
    places = parts["loss"].Places(centres, torch.tensor([8.0, 8.0]))
    hints = parts["distillation"].Hints(
        torch.tensor([[[0.0, 0.0, 8.0, 8.0], [4.0, 0.0, 20.0, 8.0]]]),
        torch.tensor([[0.9, 0.1]]),
        (),
    )
    agreed = {
        "cls_logits": torch.stack([torch.zeros(1, 2), torch.tensor([[2.197, -2.197]])], dim=-1),
        "bbox_regression": torch.tensor([[[0.5, 0.5, 0.5, 0.5], [9.0, 9.0, 9.0, 9.0]]]),
    }
    loss = parts["distillation"].hint_loss
    least = sum(loss(agreed, places, hints).values())
    assert least < 1e-4  # the second box is of nobody, and is not learnt
    for key in agreed:
        other = agreed | {key: agreed[key] + torch.tensor(0.3)}
        assert sum(loss(other, places, hints).values()) > least + 1e-4


def test_features_are_read_up_to_a_linear_map(parts: dict[str, Any]) -> None:
    """Whoever sees what the teacher sees can learn to tell it; noise tells nothing."""
    torch.manual_seed(0)
    stems = tuple(torch.randn(2, 64, side, side) for side in (8, 4, 2))
    mix = torch.randn(96, 64) / 8
    seen = [torch.einsum("cs,bshw->bchw", mix, stem) for stem in stems]
    noise = [torch.randn_like(feature) for feature in seen]
    losses = []
    for features in (seen, noise):
        reader = parts["distillation"].StemReader(96)
        optimizer = torch.optim.Adam(reader.parameters(), lr=0.02)
        for _ in range(60):
            optimizer.zero_grad()
            reader(features, stems).backward()
            optimizer.step()
        fresh = tuple(torch.randn(2, 64, side, side) for side in (8, 4, 2))
        told = [torch.einsum("cs,bshw->bchw", mix, stem) for stem in fresh]
        losses.append(reader(told if features is seen else noise, fresh).item())
    assert losses[0] < 0.5
    assert losses[1] > 0.8


TEACHER = Path(__file__).parents[3] / "shared/data/teachers/yolox_nano.onnx"


@pytest.mark.skipif(not TEACHER.exists(), reason="needs shared/data/teachers/yolox_nano.onnx")
@pytest.mark.parametrize("side", [384, 416, 448])
def test_hints_are_what_the_teacher_finds(parts: dict[str, Any], side: int) -> None:
    """The best hint is the best box of a plain look, whatever the size of the picture."""
    photo = cv2.imread(str(RECIPE.parents[2] / "examples/photos/astronaut.jpg"))
    assert photo is not None
    picture = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    places = parts["loss"].Places(
        torch.cat([_centres(side, stride) for stride in (8, 16, 32, 64)]),
        torch.cat([torch.full(((side // stride) ** 2,), stride) for stride in (8, 16, 32, 64)]),
    )
    pixels = torch.from_numpy(picture[:, :, ::-1].copy()).permute(2, 0, 1)[None] / 255
    hints = parts["distillation"].DenseTeacher(TEACHER, threads=1).look_at(pixels, places)
    boxes, scores = parts["teacher"].Teacher(TEACHER).detect_once(picture)
    best = hints.boxes[0, hints.scores[0].argmax()].numpy()
    assert parts["teacher"].box_iou(best[None].clip(0, side), boxes[:1]) > 0.9
    assert [stem.shape[-1] for stem in hints.stems] == [52, 26, 13]
    assert float(hints.scores.max()) == pytest.approx(float(scores[0]), abs=0.1)


def _centres(side: int, stride: int) -> torch.Tensor:
    steps = torch.arange(side // stride) * stride + stride / 2
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).reshape(-1, 2)


def test_all_stages_run(tmp_path: Path) -> None:
    """One command makes a weights file of raw photos, and the tool opens it."""
    data, work = tmp_path / "data", tmp_path / "work"
    write_data(data)
    work.mkdir()
    names = [f"coco_train/{seed}.png" for seed in range(12)]
    notes = [[name, []] for name in names] + [["street/a.png", [[5, 5, 40, 60, 0.9]]]]
    lines = "".join(json.dumps(note) + "\n" for note in notes)
    (work / "pack.teacher.jsonl").write_text(lines)
    out = tmp_path / "person-detector.safetensors"
    tiny = ("--network", "person_fcos_nano", "--side", "128", "--canvas", "160", "--batch", "2")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    here = ("--threads", "1", "--device", device)
    command: list[str | Path] = [data, work, out, "--crops", "0", *tiny, *here, "--steps", "2"]
    stopped = program(RECIPE / "recipe.py", *command, "--call-minutes", "1e-3")
    assert stopped.returncode == 0, stopped.stderr
    assert "not at its end" in stopped.stdout
    assert not out.exists()
    finished = program(RECIPE / "recipe.py", *command)
    assert finished.returncode == 0, finished.stderr
    numbers = [json.loads(line) for line in finished.stdout.splitlines() if line[0] == "{"]
    assert numbers[-2]["detector"] == out.name
    assert 0 <= numbers[-2]["recall_over_32px"] <= 1
    assert numbers[-1]["detector"] == "whole photo"
    detector = open_detector(str(out), DetectorOptions(threshold=0.0))
    image, _ = draw_photo(5)
    [found] = detector.detect([Frame(FrameKey("a.png"), np.ascontiguousarray(image[..., ::-1]))])
    assert found.boxes.shape[1] == 4
    assert out.stat().st_size < 12 * 2**20
    more: list[str | Path] = [work / "pack.npz", "--out", work / "run", *tiny, *here]
    assert program(RECIPE / "train.py", *more, "--steps", "4").returncode == 0
    state = torch.load(work / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4
    counts = [one["step"] for one in state["optimizer"]["state"].values()]
    # Where they were on a GPU, each step would wait for them.
    assert {(count.device.type, count.item()) for count in counts} == {("cpu", 4.0)}
