"""An outside network as a teacher: PP-TinyPose in the format of ncnn, beside the checkout."""

import sys
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
from vitpose_cli.training.sources import open_source


def test_what_runs_it_must_be_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        NcnnNetwork.open(NcnnTeacher(ncnn=tmp_path / "a.param"), 1)
    assert "vitpose-cli[teachers]" in str(caught.value.hint)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    path = tmp_path / "a.param"
    with pytest.raises(WeightsError, match=r"a\.param"):
        NcnnNetwork.open(NcnnTeacher(ncnn=path), 1)
    path.write_text("no network")
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="cannot be read as an ncnn network"):
        NcnnNetwork.open(NcnnTeacher(ncnn=path), 1)


def test_it_finds_keypoints_of_real_people(shared_data: Path) -> None:
    pytest.importorskip("ncnn")
    path = shared_data / "teachers" / "tinypose_256x192.param"
    teacher = NcnnNetwork.open(NcnnTeacher(ncnn=path), 2)
    folder = shared_data / "coco_train"
    source = open_source(
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
    decoded = teacher.codec.decode(teacher.maps(normalise(torch.from_numpy(crops))))
    truth = transforms.to_crop(people.keypoints)
    known = (people.weights > 0) & (decoded.scores.numpy() > 0.5)
    assert known.sum() > 50
    wrong = (decoded.crop_keypoints.numpy() - truth)[known]
    assert np.median(np.linalg.norm(wrong, axis=-1)) < 6
    # Classic alignment: with UDP's decoding it is 1.5 px off to the right and 1.1 px down.
    assert np.abs(np.median(wrong, axis=0)).max() < 1


def test_a_network_of_other_keypoints_is_refused(shared_data: Path) -> None:
    pytest.importorskip("ncnn")
    path = shared_data / "teachers" / "tinypose_256x192.param"
    with pytest.raises(ConfigError, match="expected 16 heatmaps"):
        NcnnNetwork.open(NcnnTeacher(ncnn=path, keypoint_set="mpii"), 1)
