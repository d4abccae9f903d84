"""The project's own small detectors: their size, where they answer, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.detection import DetectorOptions
from vitpose_cli.models.detectors import open_detector
from vitpose_cli.models.person_fcos import PERSON_FCOS, STRIDES, build_person_fcos
from vitpose_cli.models.torchvision_detector import DetectorHeader, build_network, save_detector


@pytest.mark.parametrize("name", sorted(PERSON_FCOS))
def test_files_are_small(name: str) -> None:
    """Every network fits into 12 MB at two bytes a weight."""
    network = build_person_fcos(PERSON_FCOS[name], num_classes=2)
    assert sum(value.numel() for value in network.state_dict().values()) * 2 < 12e6


@pytest.mark.parametrize("size_hw", [(320, 320), (239, 320), (320, 100)])
def test_places_lie_on_their_grids(size_hw: tuple[int, int]) -> None:
    """Whatever the photo's shape, a level's places are multiples of its stride."""
    network: Any = build_person_fcos(PERSON_FCOS["person_fcos_nano"], num_classes=2).eval()
    with torch.inference_mode():
        images, _ = network.transform([torch.rand(3, *size_hw)])
        features = list(network.backbone(images.tensors).values())
    listed = ImageList(images.tensors, images.image_sizes)
    [anchors] = network.anchor_generator(listed, features)
    ends = np.cumsum([feature.shape[-1] * feature.shape[-2] for feature in features])
    for stride, own in zip(STRIDES, np.split(anchors.numpy(), ends[:-1]), strict=True):
        assert ((own[:, :2] + own[:, 2:]) / 2 % stride == 0).all()
        assert (own[:, 2:] - own[:, :2] == stride).all()


def test_a_file_opens_as_any_other(tmp_path: Path) -> None:
    """A saved network is opened by its header and finds boxes within the photo."""
    size = (128, 128)
    header = DetectorHeader(
        "person_fcos_nano", ("__background__", "person"), "a test", "CC0-1.0", size, threshold=0.2
    )
    torch.manual_seed(0)
    path = tmp_path / "detector.safetensors"
    state = build_network(header).state_dict()
    state["head.regression_head.bbox_reg.bias"] += 3  # untrained boxes have no area
    state["head.classification_head.cls_logits.bias"][1] += 3
    save_detector(path, state, header, dtype=torch.float16)
    image = np.random.default_rng(0).integers(0, 256, (90, 200, 3), np.uint8)
    detector = open_detector(str(path), DetectorOptions(threshold=0.0))
    [found] = detector.detect([Frame(FrameKey("a.jpg"), image)])
    assert len(found) > 0
    assert found.boxes.min() >= 0
    assert (found.boxes.max(axis=0) <= [200, 90, 200, 90]).all()
