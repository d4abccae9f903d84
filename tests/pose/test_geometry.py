"""Boxes and crop transforms: the formulas of the original, and that nothing is lost on the way."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.pose.geometry import (
    Alignment,
    CropTransforms,
    Region,
    box_areas,
    box_iou,
    clip_boxes,
    xywh_to_xyxy,
    xyxy_to_xywh,
)

SIZES_WH = [(192, 256), (288, 384), (256, 256), (128, 64)]


@st.composite
def crop_cases(draw: st.DrawFn) -> tuple[CropTransforms, NDArray[np.float64]]:
    """Draw transforms of a few boxes, with frame points in and round their regions."""
    count = draw(st.integers(0, 4))
    number = st.floats(-500, 4000, width=32)
    side = st.floats(1, 2000, width=32)
    corners = np.array(draw(st.lists(st.tuples(number, number), min_size=count, max_size=count)))
    sizes = np.array(draw(st.lists(st.tuples(side, side), min_size=count, max_size=count)))
    corners, sizes = corners.reshape(-1, 2), sizes.reshape(-1, 2)
    transforms = CropTransforms.from_boxes(
        np.concatenate([corners, corners + sizes], axis=1),
        draw(st.sampled_from(SIZES_WH)),
        alignment=draw(st.sampled_from(["udp", "classic"])),
        rotations_deg=draw(st.lists(st.floats(-180, 180), min_size=count, max_size=count)),
        flips=draw(st.lists(st.booleans(), min_size=count, max_size=count)),
    )
    return transforms, (corners + sizes / 2)[:, None] + np.linspace(-300, 300, 14).reshape(7, 2)


def spec_udp_matrix(box: list[float], size_wh: tuple[int, int], angle: float) -> Any:
    """Write down the UDP formula of the original, one box, by hand."""
    width, height = box[2] - box[0], box[3] - box[1]
    centre_x, centre_y = box[0] + width / 2, box[1] + height / 2
    aspect = size_wh[0] / size_wh[1]
    if width > aspect * height:
        height = width / aspect
    else:
        width = height * aspect
    scale_x = (size_wh[0] - 1) / (width * 1.25)
    scale_y = (size_wh[1] - 1) / (height * 1.25)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [
        [
            scale_x * cosine,
            -scale_x * sine,
            scale_x * (-centre_x * cosine + centre_y * sine) + (size_wh[0] - 1) / 2,
        ],
        [
            scale_y * sine,
            scale_y * cosine,
            scale_y * (-centre_x * sine - centre_y * cosine) + (size_wh[1] - 1) / 2,
        ],
    ]


@pytest.mark.parametrize("size_wh", SIZES_WH)
@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
def test_udp_matrix_is_the_formula_of_the_original(size_wh: tuple[int, int], angle: float) -> None:
    boxes = [[412.8, 157.61, 465.85, 295.62], [-20.0, 30.0, 300.0, 90.0]]
    transforms = CropTransforms.from_boxes(boxes, size_wh, alignment="udp", rotations_deg=angle)
    expected = [spec_udp_matrix(box, size_wh, angle) for box in boxes]
    np.testing.assert_allclose(transforms.matrices, expected, rtol=0, atol=1e-9)


def test_square_regions_are_pressed_into_the_crop() -> None:
    boxes = np.array([[100.0, 100.0, 200.0, 400.0], [0.0, 0.0, 300.0, 100.0]])
    transforms = CropTransforms.from_boxes(
        boxes, (192, 256), alignment="udp", region="square", rotations_deg=25
    )
    # The original's: 191 px and 255 px to one side of 1.25 x 300 px, about the box's centre.
    cosine, sine = math.cos(math.radians(25)), math.sin(math.radians(25))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    linear = np.array([[191 / 375], [255 / 375]]) * turn
    for box, matrix in zip(boxes, transforms.matrices, strict=True):
        centre = (box[:2] + box[2:]) / 2
        np.testing.assert_allclose(matrix[:, :2], linear, rtol=0, atol=1e-12)
        np.testing.assert_allclose(linear @ centre + matrix[:, 2], [95.5, 127.5], atol=1e-9)
    np.testing.assert_allclose(transforms.region_areas, 375.0**2)


@pytest.mark.parametrize("region", ["fitted", "square"])
@pytest.mark.parametrize("aspect", [4 / 3, 16 / 15, 8 / 9])
def test_pixels_that_are_not_square_are_seen_as_they_are_shown(
    region: Region, aspect: float
) -> None:
    boxes = np.array([[100.0, 100.0, 200.0, 400.0], [-30.0, 20.0, 300.0, 100.0]])
    points = np.random.default_rng(0).uniform(0, 400, (2, 5, 2))
    stretch = np.array([aspect, 1])

    def transforms(boxes: NDArray[np.float64], aspects: Any) -> CropTransforms:
        return CropTransforms.from_boxes(
            boxes, (192, 256), alignment="udp", region=region, pixel_aspects=aspects,
            rotations_deg=[25, -50], flips=[True, False],
        )  # fmt: skip

    stored = transforms(boxes, [aspect, aspect])
    shown = transforms(boxes * np.tile(stretch, 2), 1.0)
    np.testing.assert_allclose(stored.to_crop(points), shown.to_crop(points * stretch), atol=1e-9)
    np.testing.assert_allclose(stored.to_frame(stored.to_crop(points)), points, atol=1e-9)
    np.testing.assert_allclose(stored.region_areas * aspect, shown.region_areas)


def test_classic_matrix_is_the_three_point_similarity_of_the_original() -> None:
    # centre -> (96, 128), and the point half a region width above the centre, turned by the
    # angle, -> (96, 128 - 96). The original turns this way for the negative angle.
    centre, region_width, angle = np.array([439.0, 226.0]), 1.25 * 138 * 0.75, math.radians(-20)
    up = np.array([math.sin(angle), -math.cos(angle)]) * region_width / 2
    right = np.array([-up[1], up[0]])
    transforms = CropTransforms.from_boxes(
        [[412, 157, 466, 295]], (192, 256), alignment="classic", rotations_deg=20
    )
    crop = transforms.to_crop(np.stack([centre, centre + up, centre + right])[None])
    np.testing.assert_allclose(crop[0], [[96, 128], [96, 32], [192, 128]], rtol=0, atol=1e-9)


def test_regions_corners_lie_where_the_alignment_says() -> None:
    boxes = [[100.0, 100.0, 175.0, 200.0]]  # already 3:4, so the region is 93.75 x 125
    corners = np.array([[[137.5 - 46.875, 150 - 62.5], [137.5 + 46.875, 150 + 62.5]]])
    udp = CropTransforms.from_boxes(boxes, (192, 256), alignment="udp")
    classic = CropTransforms.from_boxes(boxes, (192, 256), alignment="classic")
    np.testing.assert_allclose(udp.to_crop(corners)[0], [[0, 0], [191, 255]], atol=1e-9)
    np.testing.assert_allclose(classic.to_crop(corners)[0], [[0, 0], [192, 256]], atol=1e-9)
    for transforms in (udp, classic):
        np.testing.assert_allclose(transforms.region_areas, [93.75 * 125], rtol=1e-12)


@given(crop_cases())
def test_points_survive_the_way_to_the_crop_and_back(
    case: tuple[CropTransforms, NDArray[np.float64]],
) -> None:
    transforms, points = case
    assert len(transforms) == len(points)
    there_and_back = transforms.to_frame(transforms.to_crop(points))
    assert there_and_back.dtype == np.float64
    # frame px; conditioning is bounded by the smallest region, about 1 px
    np.testing.assert_allclose(there_and_back, points, rtol=0, atol=1e-6)


@given(crop_cases())
def test_region_areas_do_not_depend_on_turning_or_flipping(
    case: tuple[CropTransforms, NDArray[np.float64]],
) -> None:
    transforms, _ = case
    corners = np.array([[0, 0], [1, 0], [0, 1]], np.float64)
    last = np.array(transforms.size_wh) - (1 if transforms.alignment == "udp" else 0)
    origin, right, down = np.moveaxis(
        transforms.to_frame(np.broadcast_to(corners * last, (len(transforms), 3, 2))), 1, 0
    )
    areas = np.linalg.norm(right - origin, axis=1) * np.linalg.norm(down - origin, axis=1)
    np.testing.assert_allclose(transforms.region_areas, areas, rtol=1e-6)


@pytest.mark.parametrize("alignment", ["udp", "classic"])
def test_flip_mirrors_the_region_about_its_centre(alignment: Alignment) -> None:
    boxes, points = [[10, 20, 60, 150]], np.array([[[30.0, 40.0], [55.0, 120.0]]])
    plain = CropTransforms.from_boxes(boxes, (192, 256), alignment=alignment, rotations_deg=25)
    flipped = CropTransforms.from_boxes(
        boxes, (192, 256), alignment=alignment, rotations_deg=25, flips=[True]
    )
    mirror = 191 if alignment == "udp" else 192
    expected = plain.to_crop(points) * [-1, 1] + [mirror, 0]
    np.testing.assert_allclose(flipped.to_crop(points), expected, atol=1e-9)


def test_select_keeps_order_and_size() -> None:
    transforms = CropTransforms.from_boxes(
        [[0, 0, 10, 10], [5, 5, 40, 60], [1, 2, 3, 4]], (192, 256), alignment="udp"
    )
    chosen = transforms.select([2, 0])
    np.testing.assert_array_equal(chosen.matrices, transforms.matrices[[2, 0]])
    assert (chosen.size_wh, chosen.alignment, len(chosen)) == ((192, 256), "udp", 2)
    assert len(transforms.select(np.zeros(3, bool))) == 0


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 5], [10, 0, 5, 5], [0, 0, math.nan, 5], [0, 0, math.inf, 5]],
    ids=["point", "inside-out", "nan", "infinite"],
)
def test_a_box_that_encloses_nothing_is_named(box: list[float]) -> None:
    with pytest.raises(InputError, match="Box 1 of 2"):
        CropTransforms.from_boxes([[0.0, 0.0, 4.0, 4.0], box], (192, 256), alignment="udp")


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="boxes"):
        CropTransforms.from_boxes([1, 2, 3, 4], (192, 256), alignment="udp")
    with pytest.raises(InputError, match="matrices"):
        CropTransforms(np.eye(3), (192, 256), "udp")


def test_box_forms_round_trip_and_keep_their_type() -> None:
    boxes = np.array([[1, 2, 4, 8], [0, 0, 10, 5]], np.float32)
    xywh = xyxy_to_xywh(boxes)
    np.testing.assert_array_equal(xywh, [[1, 2, 3, 6], [0, 0, 10, 5]])
    np.testing.assert_array_equal(xywh_to_xyxy(xywh), boxes)
    assert xywh.dtype == np.float32
    assert xyxy_to_xywh(np.zeros((0, 4))).shape == (0, 4)


def test_clipped_boxes_lie_in_the_frame() -> None:
    boxes = np.array([[-5, -1, 700, 300], [10, 20, 30, 40]], np.float32)
    clipped = clip_boxes(boxes, (640, 480))
    np.testing.assert_array_equal(clipped, [[0, 0, 640, 300], [10, 20, 30, 40]])
    assert clipped.dtype == np.float32


def test_box_iou() -> None:
    a = np.array([[0, 0, 2, 2], [1, 1, 1, 1]], np.float32)
    b = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [1, 1, 1, 1]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[1.0, 1 / 3, 0.0, 0.0], [0.0] * 4], rtol=1e-6)
    assert box_iou(a[:0], b).shape == (0, 4)


def test_boxes_without_an_extent_have_an_area_that_oks_can_use() -> None:
    boxes = np.array([[5, 5, 5, 9], [3, 3, 3, 3], [0, 0, 0.5, 4], [0, 0, 2, 3]], np.float32)
    assert box_areas(boxes).tolist() == [4, 1, 4, 6]
