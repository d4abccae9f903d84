"""Crops of many frames at once; how each looks is tested beside the crops of the CPU."""

import numpy as np
import torch
from numpy.typing import NDArray
from warping import CROP_LEVELS

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.device_crops import CROPS_AT_ONCE, DeviceFrames
from vitpose_cli.pose.geometry import CropTransforms

SIZE_WH = (48, 64)
CPU = torch.device("cpu")


def frames_of_noise(sizes_wh: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for width, height in sizes_wh]


def some_transforms(counts: list[int]) -> list[CropTransforms]:
    random = np.random.default_rng(1)
    found = []
    for count in counts:
        corners = random.uniform(-30, 90, (count, 2))
        boxes = np.hstack([corners, corners + random.uniform(5, 120, (count, 2))])
        found.append(CropTransforms.from_boxes(boxes, SIZE_WH, alignment="udp"))
    return found


def test_frames_of_any_sizes_are_cut_together() -> None:
    images = frames_of_noise([(120, 90), (33, 200), (1, 1), (300, 40)])
    images[1] = images[1][:, ::-1]  # not contiguous
    transforms = some_transforms([3, 0, 2, CROPS_AT_ONCE + 1])
    crops = DeviceFrames.upload(images, CPU).warp(transforms).numpy()
    expected = [warp_crops(*each) for each in zip(images, transforms, strict=True)]
    # Noise is as sharp as can be.
    assert np.abs(crops.astype(int) - np.concatenate(expected)).max() <= CROP_LEVELS


def test_a_crop_does_not_depend_on_those_cut_with_it() -> None:
    images = frames_of_noise([(120, 90), (100, 100)])
    transforms = some_transforms([5, 4])
    together = DeviceFrames.upload(images, CPU).warp(transforms)
    alone = [
        DeviceFrames.upload([image], CPU).warp([each])
        for image, each in zip(images, transforms, strict=True)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_a_turned_crop_turns_nothing_else() -> None:
    images = frames_of_noise([(120, 90)])
    boxes = [[10, 10, 60, 80], [20, 5, 90, 70]]
    straight = CropTransforms.from_boxes(boxes, SIZE_WH, alignment="udp")
    turned = CropTransforms.from_boxes(boxes, SIZE_WH, alignment="udp", rotations_deg=[0, 40])
    frames = DeviceFrames.upload(images, CPU)
    crops = frames.warp([turned]).numpy().astype(int)
    assert np.abs(crops - warp_crops(images[0], turned)).max() <= CROP_LEVELS
    assert np.abs(crops[0] - frames.warp([straight])[0].numpy()).max() == 0


def test_cutting_never_reads_from_the_device() -> None:
    # The meta device has no values: whoever copies from it, or branches on them, fails.
    meta = torch.device("meta")
    images = frames_of_noise([(120, 90), (100, 100)])
    crops = DeviceFrames.upload(images, meta).warp(some_transforms([5, 4]))
    assert crops.shape == (9, 64, 48, 3)
    assert crops.device == meta
