"""Crops on the CPU and on a device."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.device_crops import DeviceFrames
from vitpose_cli.media.images import decode_image
from vitpose_cli.pose.geometry import CropTransforms

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))
SIZE_WH = (192, 256)

# OpenCV 4 rounds sampling positions to 1/32 px; levels at the sharpest edges of these photos.
TOLERANCE = 1 if int(cv2.__version__.split(".")[0]) >= 5 else 10

EXTREME_BOXES = [
    (100, 50, 400, 500),  # inside
    (-150, -200, 250, 300),  # over the top-left corner
    (300, 200, 900, 800),  # over the bottom-right corner
    (-3000, -4000, 3000, 4000),  # far larger than the frame
    (200.25, 200.5, 204, 206.75),  # tiny
    (250, 0, 251, 512),  # narrow
    (2000, 2000, 2100, 2200),  # outside
    (0, 0, 512, 512),
]


@pytest.fixture(params=PHOTOS, ids=lambda path: path.stem)
def photo(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    path: Path = request.param
    return decode_image(path.read_bytes())


def cut_on_device(
    image: NDArray[np.uint8], transforms: CropTransforms, device: str = "cpu"
) -> NDArray[np.uint8]:
    frames = DeviceFrames.upload([image], torch.device(device))
    crops: NDArray[np.uint8] = frames.warp([transforms]).cpu().numpy()
    return crops


def sampled(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample bilinearly in float64, zero outside: what a warp is meant to be."""
    width, height = SIZE_WH
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    u, v = np.moveaxis(np.stack([x, y, np.ones_like(x)], axis=-1) @ inverse.T, -1, 0)
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    left, top = np.floor(u), np.floor(v)
    right_part, lower_part = (u - left)[..., None], (v - top)[..., None]
    rows, columns = padded.shape[0] - 1, padded.shape[1] - 1

    def at(row: NDArray[np.float64], column: NDArray[np.float64]) -> NDArray[np.float64]:
        pixels: NDArray[np.float64] = padded[
            np.clip(row + 1, 0, rows).astype(int), np.clip(column + 1, 0, columns).astype(int)
        ]
        return pixels

    upper = at(top, left) * (1 - right_part) + at(top, left + 1) * right_part
    lower = at(top + 1, left) * (1 - right_part) + at(top + 1, left + 1) * right_part
    exact: NDArray[np.float64] = upper * (1 - lower_part) + lower * lower_part
    return exact


@pytest.mark.parametrize("alignment", ["udp", "classic"])
def test_crops_are_bilinear_samples_with_a_black_border(
    photo: NDArray[np.uint8], alignment: str
) -> None:
    transforms = CropTransforms.from_boxes(
        EXTREME_BOXES,
        SIZE_WH,
        alignment="udp" if alignment == "udp" else "classic",
        rotations_deg=[0, 0, 30, 0, -45, 0, 0, 90],
        flips=[False, False, False, False, True, True, False, False],
    )
    crops = warp_crops(photo, transforms)
    on_device = cut_on_device(photo, transforms)
    assert crops.shape == on_device.shape == (8, 256, 192, 3)
    for matrix, crop, other in zip(transforms.matrices, crops, on_device, strict=True):
        exact = sampled(photo, matrix)
        assert np.abs(crop - exact).max() <= TOLERANCE
        assert np.abs(other - exact).max() <= 0.6  # rounding, and float32 positions
    assert not crops[6].any()


@settings(max_examples=25, deadline=None)
@given(
    centre=st.tuples(st.floats(-100, 800), st.floats(-100, 600)),
    size=st.tuples(st.floats(1, 2000), st.floats(1, 2000)),
    rotation_deg=st.floats(-180, 180),
)
def test_both_warps_agree_on_any_box(
    centre: tuple[float, float], size: tuple[float, float], rotation_deg: float
) -> None:
    image = decode_image(PHOTOS[0].read_bytes())
    box = [
        centre[0] - size[0] / 2,
        centre[1] - size[1] / 2,
        centre[0] + size[0] / 2,
        centre[1] + size[1] / 2,
    ]
    transforms = CropTransforms.from_boxes(
        [box], SIZE_WH, alignment="udp", rotations_deg=rotation_deg
    )
    crop = warp_crops(image, transforms).astype(int)
    other = cut_on_device(image, transforms)
    assert np.abs(crop - other).max() <= max(2, TOLERANCE)  # grey levels


@pytest.mark.shared_data
def test_both_warps_agree_on_real_people(shared_data: Path) -> None:
    document = json.loads((shared_data / "coco_val" / "person_keypoints.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    for annotation in document["annotations"][::10]:
        x, y, width, height = annotation["bbox"]
        data = (shared_data / "coco_val" / "images" / names[annotation["image_id"]]).read_bytes()
        image = decode_image(data)
        box = [x, y, x + width, y + height]
        transforms = CropTransforms.from_boxes([box], SIZE_WH, alignment="udp")
        crop = warp_crops(image, transforms).astype(int)
        other = cut_on_device(image, transforms)
        assert np.abs(crop - other).max() <= max(2, TOLERANCE)  # grey levels; measured: 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_crops_on_a_gpu_equal_those_of_the_cpu(photo: NDArray[np.uint8]) -> None:
    transforms = CropTransforms.from_boxes(EXTREME_BOXES, SIZE_WH, alignment="udp")
    crops = warp_crops(photo, transforms).astype(int)
    on_device = cut_on_device(photo, transforms, "cuda")
    assert np.abs(crops - on_device).max() <= max(2, TOLERANCE)  # grey levels


def test_an_identity_crop_is_the_frame_itself(photo: NDArray[np.uint8]) -> None:
    matrices = np.array([[[1.0, 0, -100], [0, 1, -200]]])
    transforms = CropTransforms(matrices, SIZE_WH, "udp")
    expected = photo[200:456, 100:292]
    assert (warp_crops(photo, transforms)[0] == expected).all()
    assert (cut_on_device(photo, transforms)[0] == expected).all()


def test_crops_are_written_into_their_place_in_a_batch(photo: NDArray[np.uint8]) -> None:
    transforms = CropTransforms.from_boxes(EXTREME_BOXES[:2], SIZE_WH, alignment="udp")
    batch = np.full((5, 256, 192, 3), 77, np.uint8)
    returned = warp_crops(photo, transforms, out=batch[2:4])
    assert np.shares_memory(returned, batch)
    assert (batch[2:4] == warp_crops(photo, transforms)).all()
    assert (batch[[0, 1, 4]] == 77).all()
    with pytest.raises(ValueError, match="expected uint8"):
        warp_crops(photo, transforms, out=batch)


def test_no_crop_at_all(photo: NDArray[np.uint8]) -> None:
    none = CropTransforms(np.zeros((0, 2, 3)), SIZE_WH, "udp")
    assert warp_crops(photo, none).shape == (0, 256, 192, 3)
    assert cut_on_device(photo, none).shape == (0, 256, 192, 3)


def test_tiny_and_giant_frames() -> None:
    dot = np.full((1, 1, 3), 200, np.uint8)
    whole = CropTransforms.from_boxes([[0, 0, 1, 1]], SIZE_WH, alignment="udp")
    assert warp_crops(dot, whole).max() == 200
    # 40,000 px wide: grey rises from left to right, so that a pixel tells where it came from.
    columns = np.linspace(0, 255, 40_000).astype(np.uint8)
    strip = np.broadcast_to(columns[None, :, None], (60, 40_000, 3)).copy()
    boxes = [[0, 0, 40_000, 60], [39_000, 5, 39_040, 55], [100, 0, 140, 60]]
    transforms = CropTransforms.from_boxes(boxes, SIZE_WH, alignment="udp")
    crops = warp_crops(strip, transforms).astype(int)
    other = cut_on_device(strip, transforms)
    assert np.abs(crops[1:] - other[1:]).max() <= max(2, TOLERANCE)  # grey levels
    # 2 levels: OpenCV 4 is given every second pixel of the widest crop.
    assert np.abs(crops[0, 128] - other[0, 128]).max() <= 2
