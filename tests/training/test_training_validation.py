import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_cases import write_coco

from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.training.config import CocoSource, DataOptions, ValidationOptions
from vitpose_cli.training.data import open_data
from vitpose_cli.training.sheets import sheet
from vitpose_cli.training.sources import open_source
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
    source = open_source(
        CocoSource(kind="coco", annotations=tmp_path / "people.json", images=tmp_path / "images")
    )
    validator = Validator(source, "coco", CODEC, ValidationOptions(batch_size=batch_size))
    people = source.frames.people
    placed = torch.from_numpy(validator._transforms.to_crop(people.keypoints).astype(np.float32))
    maps, _ = CODEC.encode(placed, torch.ones(6, 17))
    model = Knowing(maps, torch.from_numpy(people.keypoint_set.flip_order))
    validation = validator.measure(model, torch.device("cpu"), torch.float32)
    assert mean_ap([validation]) == pytest.approx(1.0, abs=0.02)
    # Decoding is exact to a hundredth of a cell away from the border.
    assert np.abs(validation.found.keypoints - people.keypoints).max() < 1.0
    picture = validator.worst(validation, count=2)
    assert picture.shape[1] == 4 * (96 * 2 + 4)


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
    validator = Validator(open_source(source), "robot", CODEC, ValidationOptions())
    maps = torch.zeros(3, len(names), 32, 24)
    maps[..., 16, 6] = 1
    model = Mirrorless(maps)
    found = validator.measure(model, torch.device("cpu"), torch.float32).found
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
    validation = validator.measure(model, torch.device("cpu"), torch.float32)
    assert len(validation.found) == validation.evaluation.num_predicted == num_boxes
    assert validation.evaluation.num_people == 3
    assert 0 <= mean_ap([validation]) < 0.5
    expected = sheet([np.zeros((256, 192, 3), np.uint8)] * 2 * num_boxes)  # nobody else's photo
    assert validator.worst(validation).shape == expected.shape
