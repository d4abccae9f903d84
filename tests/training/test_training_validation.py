from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_cases import write_coco

from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.training.config import CocoSource, ValidationOptions
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
