"""An outside network as a teacher: PP-TinyPose in the format of ncnn, beside the checkout."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.training.cache import fill_crops
from vitpose_cli.training.config import NcnnTeacher
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.ncnn_teacher import NcnnNetwork
from vitpose_cli.training.process import Placement
from vitpose_cli.training.sources import open_data_source

CPU = torch.device("cpu")


def tinypose(shared_data: Path) -> Path:
    return shared_data / "teachers" / "tinypose_256x192.param"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_finds_keypoints_of_real_people(shared_data: Path, dtype: torch.dtype) -> None:
    options = NcnnTeacher(ncnn=tinypose(shared_data))
    teacher = NcnnNetwork.open(options, Placement(CPU, dtype))
    folder = shared_data / "coco_train"
    source = open_data_source(
        CocoSource(
            kind="coco",
            annotations=folder / "person_keypoints.json",
            images=folder / "images",
            limit=8,
        )
    )
    people = source.frames.people
    transforms = CropTransforms.from_boxes(people.boxes, (192, 256), alignment="classic")
    crops = np.zeros((len(people), 256, 192, 3), np.uint8)
    fill_crops(source.frames, transforms, crops)
    maps = teacher.maps(normalise(torch.from_numpy(crops)))
    assert maps.dtype == torch.float32
    decoded = teacher.codec.decode(maps)
    truth = transforms.to_crop(people.keypoints)
    known = (people.weights > 0) & (decoded.scores.numpy() > 0.5)
    assert known.sum() > 50
    wrong = (decoded.crop_keypoints.numpy() - truth)[known]
    assert np.median(np.linalg.norm(wrong, axis=-1)) < 6
    # Classic alignment: with UDP's decoding it is 1.5 px off to the right and 1.1 px down.
    assert np.abs(np.median(wrong, axis=0)).max() < 1


def test_a_network_of_other_keypoints_is_refused(shared_data: Path) -> None:
    options = NcnnTeacher(ncnn=tinypose(shared_data), keypoint_set="mpii")
    with pytest.raises(ConfigError, match="expected 16 heatmaps"):
        NcnnNetwork.open(options, Placement(CPU))


def test_a_network_of_another_input_is_refused(shared_data: Path) -> None:
    options = NcnnTeacher(ncnn=tinypose(shared_data), input_wh=(100, 100))
    with pytest.raises(WeightsError, match="cannot be shown crops of 100 x 100 px") as caught:
        NcnnNetwork.open(options, Placement(CPU))
    assert "input_wh" in caught.value.hint
