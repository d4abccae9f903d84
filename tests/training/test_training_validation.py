import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_cases import annotation, small_source, write_coco, write_document
from video_cases import write_video

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.instances import Instances
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.data import open_data
from vitpose_cli.training.data_options import CocoSource, DataOptions
from vitpose_cli.training.opened_source import OpenedSource
from vitpose_cli.training.sheets import tile_sheet
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.validate import Validator, mean_ap

CODEC = HeatmapCodec((96, 128), (24, 32), "udp")


class Knowing(nn.Module):
    """Says the true heatmaps of each batch, mirrored for mirrored crops."""

    def __init__(self, maps: Tensor, flip_order: Tensor) -> None:
        super().__init__()
        self.maps, self.flip_order, self.calls = maps, flip_order, 0

    def forward(self, crops: Tensor, head: str) -> Tensor:
        mirrored = self.calls % 2 == 1
        first = self.calls // 2 * len(crops)
        self.calls += 1
        maps = self.maps[first : first + len(crops)]
        return maps[:, self.flip_order].flip(-1) if mirrored else maps


@pytest.mark.parametrize("batch_size", [3, 6])
def test_true_heatmaps_reach_the_highest_ap(tmp_path: Path, batch_size: int) -> None:
    write_coco(tmp_path, 6)
    source = open_data_source(
        CocoSource(kind="coco", annotations=tmp_path / "people.json", images=tmp_path / "images"),
        purpose="measuring",
    )
    validator = Validator(source, "coco", CODEC, ValidationOptions(batch_size=batch_size))
    people = source.frames.people
    placed = torch.from_numpy(validator._transforms.to_crop(people.keypoints).astype(np.float32))
    maps, _ = CODEC.encode(placed, torch.ones(6, 17))
    model = Knowing(maps, torch.from_numpy(people.keypoint_set.flip_order))
    found = validator.find(model, torch.device("cpu"), torch.float32)
    assert mean_ap([validator.evaluate(found)]) == pytest.approx(1.0, abs=0.02)
    # Decoding is exact to a hundredth of a cell away from the border.
    assert np.abs(found.keypoints - people.keypoints).max() < 1.0
    picture = validator.worst(found)
    assert picture.shape[1] == 8 * (96 * 2 + 4)


def test_a_measurement_is_left_off_between_batches(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    opened = open_data_source(
        CocoSource.model_validate(small_source(tmp_path)), purpose="measuring"
    )
    validator = Validator(opened, "coco", CODEC, ValidationOptions(batch_size=2, flip_test=False))
    model = Mirrorless(torch.rand(2, 17, 32, 24))
    answers = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        validator.find(model, torch.device("cpu"), torch.float32, lambda: next(answers))
    assert model.calls == 2


class Hungry(nn.Module):
    """Finds no memory for more than two crops."""

    def forward(self, crops: Tensor, head: str) -> Tensor:
        if len(crops) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.rand(len(crops), 17, 32, 24)


def test_a_measurement_that_does_not_fit_into_memory_says_what_would(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    opened = open_data_source(
        CocoSource.model_validate(small_source(tmp_path)), purpose="measuring"
    )
    validator = Validator(opened, "coco", CODEC, ValidationOptions(batch_size=4))
    with pytest.raises(InputError, match="A pass of 4 crops") as caught:
        validator.find(Hungry(), torch.device("cpu"), torch.float32)
    assert "validation.batch_size=2" in caught.value.hint
    validator = Validator(opened, "coco", CODEC, ValidationOptions(batch_size=2))
    assert len(validator.find(Hungry(), torch.device("cpu"), torch.float32)) == 6


def measured(
    folder: Path, maps: Tensor | None = None, **options: Any
) -> tuple[OpenedSource, Evaluation]:
    """Measure a network that says `maps`, noise by default, on the pictures in `folder`."""
    source = CocoSource.model_validate(small_source(folder) | options)
    plain = CocoSource.model_validate(small_source(folder))
    (opened,) = open_data(DataOptions(train=(plain,), validation=(source,))).validation
    validator = Validator(opened, "coco", CODEC, ValidationOptions())
    flip_order = torch.from_numpy(opened.frames.people.keypoint_set.flip_order)
    model = Knowing(torch.rand(9, 17, 32, 24) if maps is None else maps, flip_order)
    found = validator.find(model, torch.device("cpu"), torch.float32)
    validator.worst(found)
    return opened, validator.evaluate(found)


def test_boxes_on_photos_without_people_count(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 6)
    document = json.loads(path.read_text())
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    del document["annotations"][2:]
    path.write_text(json.dumps(document))
    opened, evaluation = measured(tmp_path, boxes=tmp_path / "boxes.json")
    assert evaluation.num_images == len(opened.frames.keys) == 6
    assert evaluation.num_predicted == 6
    assert evaluation.num_people == 2
    opened, evaluation = measured(tmp_path, boxes=tmp_path / "boxes.json", limit=3)
    assert evaluation.num_images == evaluation.num_predicted == 3
    assert len(open_data_source(CocoSource.model_validate(small_source(tmp_path))).frames.keys) == 2


def test_boxes_are_found_in_every_form_of_a_name(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 2)
    document = json.loads(path.read_text())
    (tmp_path / "images" / "sub").mkdir()
    hashes = set()
    for image in document["images"]:
        name = image["file_name"]
        (tmp_path / "images" / name).rename(tmp_path / "images" / "sub" / name)
        image["file_name"] = f"sub/{name}"
    path.write_text(json.dumps(document))
    for slash in "/\\":
        for image in document["images"]:
            image["file_name"] = f"sub{slash}{image['file_name'][4:]}"
        (tmp_path / "boxes.json").write_text(json.dumps(document))
        opened, evaluation = measured(tmp_path, boxes=tmp_path / "boxes.json")
        assert evaluation.num_predicted == 2
        hashes.add(opened.fingerprint.people)
    assert len(hashes) == 1


def test_of_a_labelling_run_photos_that_somebody_has_looked_at_are_measured(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 4, attributes={"source": "model"})
    document = json.loads(path.read_text())
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    document["annotations"][0]["attributes"] = {"source": "human", "review": "accepted"}
    del document["annotations"][2:]  # nobody is on the last two, but has somebody looked?
    document["images"][2]["review"] = "fixed"
    path.write_text(json.dumps(document))
    opened, _ = measured(tmp_path, boxes=tmp_path / "boxes.json", include="reviewed")
    assert [key.media for key in opened.frames.keys] == ["001.png", "003.png"]


def test_people_whom_nobody_has_checked_are_neither_found_nor_missed(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 1)
    document = json.loads(path.read_text())
    (one,) = document["annotations"]
    draft = one | {"id": 2, "attributes": {"source": "model"}, "bbox": [70, 90, 30, 40]}
    document["annotations"].append(draft | {"keypoints": [5, 5, 2] * 17})
    path.write_text(json.dumps(document))
    found = [draft | {"score": 0.9}, one | {"score": 0.8}]  # by a detector
    (tmp_path / "boxes.json").write_text(json.dumps(found))
    people = open_data_source(CocoSource.model_validate(small_source(tmp_path))).frames.people
    transform = CropTransforms.from_boxes(people.boxes[:1], CODEC.input_wh, alignment="udp")
    placed = torch.from_numpy(transform.to_crop(people.keypoints[:1]).astype(np.float32))
    maps = CODEC.encode(placed, torch.ones(1, 17))[0].expand(2, -1, -1, -1)
    for boxes in (None, tmp_path / "boxes.json"):
        _, evaluation = measured(tmp_path, maps, include="human", boxes=boxes)
        assert evaluation.coco["AP"] == pytest.approx(1.0, abs=0.02)
        assert evaluation.num_people == 1
        _, evaluation = measured(tmp_path, maps, include="all", boxes=boxes)
        assert evaluation.coco["AP"] < 0.52
        assert evaluation.num_people == 2


@pytest.mark.parametrize(
    ("names", "calls"), [(("kp0", "kp1"), 1), (("left_eye", "right_eye", "left_wrist"), 2)]
)
def test_the_flip_test_says_nothing_of_unknown_sides(
    tmp_path: Path, names: tuple[str, ...], calls: int
) -> None:
    path = write_coco(tmp_path, 3)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": "robot", "keypoints": names}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][: 3 * len(names)]
    path.write_text(json.dumps(document))
    source = CocoSource(kind="coco", annotations=path, images=tmp_path / "images")
    validator = Validator(
        open_data_source(source, purpose="measuring"), "robot", CODEC, ValidationOptions()
    )
    maps = torch.zeros(3, len(names), 32, 24)
    maps[..., 16, 6] = 1
    model = Mirrorless(maps)
    found = validator.find(model, torch.device("cpu"), torch.float32)
    assert model.calls == calls
    # At its place, and not halved by what the mirrored crop says of another's.
    np.testing.assert_allclose(found.keypoint_scores[:, -1], 1, atol=1e-6)
    if calls == 2:
        np.testing.assert_allclose(found.keypoint_scores[:, 0], 0.5, atol=1e-6)


class Mirrorless(nn.Module):
    """Says the same heatmaps of every batch, mirrored or not."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps, self.calls = maps, 0

    def forward(self, crops: Tensor, head: str) -> Tensor:
        self.calls += 1
        return self.maps


@pytest.mark.parametrize("num_boxes", [0, 1])
def test_photos_without_boxes_are_measured_and_not_drawn(tmp_path: Path, num_boxes: int) -> None:
    document = json.loads(write_coco(tmp_path, 3).read_text())
    del document["annotations"][num_boxes:]
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    source = CocoSource(
        kind="coco",
        annotations=tmp_path / "people.json",
        images=tmp_path / "images",
        boxes=tmp_path / "boxes.json",
    )
    (opened,) = open_data(DataOptions(train=(source,), validation=(source,))).validation
    validator = Validator(opened, "coco", CODEC, ValidationOptions())
    model = Knowing(torch.rand(1, 17, 32, 24), torch.arange(17))
    found = validator.find(model, torch.device("cpu"), torch.float32)
    evaluation = validator.evaluate(found)
    assert len(found) == evaluation.num_predicted == num_boxes
    assert evaluation.num_people == 3
    assert 0 <= mean_ap([evaluation]) < 0.5
    tiles = [np.zeros((256, 192, 3), np.uint8)] * 2 * num_boxes  # nobody else's photo
    expected = tile_sheet(tiles)
    assert validator.worst(found).shape == expected.shape


@pytest.mark.parametrize(("step", "num_kept"), [((8, 0), 2), ((0, 10), 1)])
def test_doubles_are_told_as_the_video_is_shown(
    tmp_path: Path, step: tuple[int, int], num_kept: int
) -> None:
    one = np.array([20.0, 20.0, 100.0, 300.0])
    image = {"file_name": "clip.mp4/frame_000000.jpg", "video_id": 1, "frame_id": 0}
    image |= {"id": 1, "width": 128, "height": 320}
    people = [
        annotation(number, tuple(box.tolist()), image_id=1)
        for number, box in enumerate((one, one + np.tile(step, 2)), start=1)
    ]
    write_document(tmp_path, [image], people)
    write_video(tmp_path / "clip.mp4", num=1, size_wh=(128, 320), options={"aspect": "2"})
    options = CocoSource(kind="coco", annotations=tmp_path / "people.json", images=tmp_path)
    source = open_data_source(options, purpose="measuring")
    truth = source.frames.people
    found = Instances(
        boxes=truth.boxes,
        box_scores=np.array([0.9, 0.8], np.float32),
        keypoints=truth.keypoints,
        keypoint_scores=np.ones((2, 17), np.float32),
        visibility=np.full((2, 17), 2),
    )
    evaluation = Validator(source, "coco", CODEC, ValidationOptions()).evaluate(found)
    assert evaluation.num_predicted == num_kept  # with square pixels it would be the other way
