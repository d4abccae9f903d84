"""Heatmaps: the numbers of the original, exact where it is exact, sane where it is not."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.errors import InputError
from vitpose_cli.pose.geometry import Alignment, CropTransforms
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import keypoint_set

DATA = Path(__file__).parents[1] / "data"
REFERENCE: Mapping[str, Any] = runpy.run_path(str(DATA / "make_pose_golden.py"))
ALIGNMENTS: tuple[Alignment, ...] = ("udp", "classic")


@pytest.fixture(scope="module")
def golden() -> Mapping[str, NDArray[Any]]:
    """Return what the original's formulas give, computed in float64."""
    with np.load(DATA / "pose_golden.npz") as file:
        return dict(file)


def codec_of(alignment: Alignment, map_wh: tuple[int, int] = (24, 32)) -> HeatmapCodec:
    return HeatmapCodec((map_wh[0] * 4, map_wh[1] * 4), map_wh, alignment)


def map_points(codec: HeatmapCodec, maps: Tensor) -> NDArray[Any]:
    return (codec.decode(maps).crop_keypoints / torch.tensor(codec.stride_wh)).numpy()


def blobs(points: NDArray[np.float64], sigma: float, map_wh: tuple[int, int]) -> Tensor:
    """Draw blobs without end at map points (..., 2)."""
    x, y = (torch.arange(size) for size in map_wh)
    centre = torch.as_tensor(points)[..., None, None, :]
    squared = (x[None, :] - centre[..., 0]) ** 2 + (y[:, None] - centre[..., 1]) ** 2
    return torch.exp(-squared / (2 * sigma**2)).float()


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_decoding_is_the_originals(
    alignment: Alignment, golden: Mapping[str, NDArray[Any]]
) -> None:
    codec = codec_of(alignment)
    decoded = codec.decode(torch.tensor(golden["maps"] / REFERENCE["SCALE"]))
    np.testing.assert_array_equal(decoded.scores, golden["scores"].astype(np.float32))
    points = decoded.crop_keypoints.double().numpy()
    # map px; float32 against float64, borders and faint peaks included
    np.testing.assert_allclose(
        points / codec.stride_wh, golden[f"{alignment}_map_points"], rtol=0, atol=2e-5
    )
    transforms = CropTransforms.from_boxes(golden["boxes"], codec.input_wh, alignment=alignment)
    # frame px
    np.testing.assert_allclose(
        transforms.to_frame(points), golden[f"{alignment}_frame_points"], rtol=0, atol=3e-4
    )


@pytest.mark.parametrize("height", [0.02, 3.0, 200.0])
def test_very_low_and_very_high_maps_are_read_as_by_the_original(
    height: float, golden: Mapping[str, NDArray[Any]]
) -> None:
    """Its logarithm sees nothing below 0.001 and nothing above 50."""
    maps = golden["maps"].reshape(-1, 32, 24) / REFERENCE["SCALE"] * height
    expected = np.array([REFERENCE["decode_udp"](each)[0] for each in maps])
    cells = np.array([np.unravel_index(each.argmax(), each.shape)[::-1] for each in maps])
    usual = np.abs(expected - cells).max(axis=1) < 2
    assert usual.sum() >= 15
    points = map_points(codec_of("udp"), torch.tensor(maps)[:, None])[:, 0]
    # map px; as in the test of patches
    np.testing.assert_allclose(points[usual], expected[usual], rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("cell", "steps"),
    [
        ((1, 15), False),
        ((2, 15), True),
        ((22, 15), True),
        ((23, 15), False),
        ((11, 1), False),
        ((11, 2), True),
        ((11, 30), True),
        ((11, 31), False),
    ],
)
def test_a_quarter_step_is_taken_from_the_third_cell_to_the_last_but_one(
    cell: tuple[int, int], steps: bool
) -> None:
    """Where 1 < x < W - 1 and 1 < y < H - 1, in `keypoints_from_heatmaps`."""
    x, y = cell
    maps = torch.zeros(32, 24)
    rows, columns = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
    maps[rows, columns] = 0.2
    maps[y, max(0, x - 1)] = maps[max(0, y - 1), x] = 0.4  # higher on the left and above
    maps[y, x] = 1.0
    moved = 0.25 if steps else 0.0
    points = map_points(codec_of("classic"), maps[None, None])[0, 0]
    np.testing.assert_allclose(points, [x - moved, y - moved], atol=1e-6)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_encoding_is_the_originals(
    alignment: Alignment, golden: Mapping[str, NDArray[Any]]
) -> None:
    points = torch.tensor(golden["crop_points"])[None]
    maps, weights = codec_of(alignment).encode(points, torch.ones(points.shape[:2]))
    np.testing.assert_allclose(maps[0], golden[f"{alignment}_targets"], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(weights[0], golden[f"{alignment}_weights"])
    assert maps.dtype == weights.dtype == torch.float32


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    map_wh=st.sampled_from([(24, 32), (48, 64), (8, 12), (4, 4)]),
    alignment=st.sampled_from(ALIGNMENTS),
)
def test_patches_give_what_whole_maps_give(
    seed: int, map_wh: tuple[int, int], alignment: Alignment
) -> None:
    random = np.random.default_rng(seed)
    centres = random.uniform(0, np.array(map_wh) - 1, (1, 5, 2))
    maps = blobs(centres, random.uniform(1, 4), map_wh)
    maps = (maps * 0.8 + torch.tensor(random.normal(0, 0.02, maps.shape))).float()
    decode = REFERENCE[f"decode_{alignment}"]
    expected = np.array([decode(each.double().numpy())[0] for each in maps[0]])
    places = maps[0].flatten(1).argmax(1).numpy()
    cells = np.stack([places % map_wh[0], places // map_wh[0]], axis=1)
    # Beyond, the step is ill-conditioned: 0.004 map px off were measured, below 0.0012.
    usual = np.abs(expected - cells).max(axis=1) < 2
    points = map_points(codec_of(alignment, map_wh), maps)[0]
    np.testing.assert_allclose(points[usual], expected[usual], rtol=0, atol=2e-3)
    assert np.abs(points - cells).max() <= 5 + 1e-4


@settings(max_examples=40)
@given(
    where=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
    alignment=st.sampled_from(ALIGNMENTS),
    size=st.sampled_from([((192, 256), (48, 64)), ((288, 384), (72, 96)), ((96, 96), (24, 24))]),
)
def test_keypoints_survive_the_map_away_from_its_border(
    where: list[tuple[float, float]],
    alignment: Alignment,
    size: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    codec = HeatmapCodec(*size, alignment)
    cells = 6 + torch.tensor(where)[None] * (torch.tensor(codec.map_wh) - 13)
    points = cells * torch.tensor(codec.stride_wh)
    maps, weights = codec.encode(points, torch.full(points.shape[:2], 2))
    decoded = codec.decode(maps)
    assert bool((weights == 1).all())
    # map px: sub-pixel against the nearest cell
    tolerance = 2e-3 if alignment == "udp" else 0.5 + 1e-4
    stride = torch.tensor(codec.stride_wh)
    assert ((decoded.crop_keypoints - points) / stride).abs().max() <= tolerance
    assert decoded.scores.min() > 0.93
    torch.testing.assert_close(
        decoded.peaks.width, torch.full_like(decoded.scores, 2.0), rtol=0, atol=0.05
    )
    assert decoded.peaks.second_peak_ratio.max() == 0


def test_what_the_blur_costs_near_the_border() -> None:
    codec = codec_of("udp", (48, 64))
    worst = []
    for first in range(7):
        place = torch.linspace(first, first + 1, 21)
        cells = torch.stack([place, torch.full_like(place, 30.3)], dim=1)[None]
        maps, _ = codec.encode(cells * torch.tensor(codec.stride_wh), torch.ones(1, 21))
        worst.append(float(np.abs(map_points(codec, maps) - cells.numpy()).max()))
    # map px; the original's own errors, from the border inwards
    np.testing.assert_allclose(worst, [1.0, 1.44, 1.28, 0.48, 0.08, 0.007, 0], atol=0.01)


def test_the_blur_is_the_originals_from_64_rows_on() -> None:
    sizes = [(48, 64), (60, 80), (72, 96), (108, 144), (56, 56), (24, 32)]
    kernels = [codec_of("udp", size).blur_kernel for size in sizes]
    assert kernels == [11, 11, 11, 11, 9, 5]


def test_heads_and_feet_of_a_small_map_are_where_they_are() -> None:
    codec = codec_of("udp", (24, 32))
    # where the padded box of a standing person ends, 10 % from the upper and the lower border
    cells = torch.tensor([[[11.4, 3.2], [11.4, 3.7], [11.4, 27.8], [9.3, 28.3]]])
    maps, _ = codec.encode(cells * torch.tensor(codec.stride_wh), torch.ones(1, 4))
    # map px; a blur of 11 cells is 1.28 off here
    np.testing.assert_allclose(map_points(codec, maps), cells, atol=0.06)


def test_unlabelled_keypoints_are_left_out_whatever_they_hold() -> None:
    points = torch.tensor([[[40.0, 50.0], [torch.nan, torch.inf], [30.0, 30.0]]])
    maps, weights = codec_of("udp").encode(points, torch.tensor([[2, 0, 1]]))
    assert weights.tolist() == [[1, 0, 1]]
    assert maps.isfinite().all()
    assert maps[0, 1].eq(0).all()
    assert maps[0, 2].max() > 0.9


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_any_batch_and_memory_layout_decodes_alike(alignment: Alignment) -> None:
    codec = codec_of(alignment)
    centres = np.random.default_rng(5).uniform(6, 17, (3, 4, 2))
    maps = blobs(centres, 2.0, codec.map_wh)
    whole = codec.decode(maps)
    for index in range(3):
        single = codec.decode(maps[index : index + 1, 2:3])
        assert torch.equal(single.crop_keypoints[0, 0], whole.crop_keypoints[index, 2])
    strided = codec.decode(maps.to(memory_format=torch.channels_last))
    assert torch.equal(strided.crop_keypoints, whole.crop_keypoints)
    half = codec.decode(maps.half())
    assert half.crop_keypoints.dtype == half.scores.dtype == torch.float32
    assert (half.crop_keypoints - whole.crop_keypoints).abs().max() < 1.01  # a quarter cell, px
    empty = codec.decode(maps[:0])
    assert (empty.crop_keypoints.shape, empty.scores.shape) == ((0, 4, 2), (0, 4))
    assert empty.peaks.width.shape == empty.peaks.second_peak_ratio.shape == (0, 4)
    drawn, weights = codec.encode(torch.zeros(0, 4, 2), torch.zeros(0, 4))
    assert (drawn.shape, weights.shape) == ((0, 4, 32, 24), (0, 4))


def test_the_300th_box_is_as_good_as_the_first() -> None:
    codec = codec_of("udp", (48, 64))
    maps = blobs(np.full((1, 1, 2), 27.25), 2.0, codec.map_wh).expand(301, 17, 64, 48)
    points = codec.decode(maps).crop_keypoints
    assert torch.equal(points, points[:1, :1].expand_as(points))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_maps_without_a_peak_stay_inside_and_say_so(alignment: Alignment, value: float) -> None:
    maps = torch.full((1, 2, 32, 24), value)
    maps[0, 1, 20, 10] = value / 2
    decoded = codec_of(alignment).decode(maps)
    assert decoded.scores.tolist() == [[value, value / 2]]
    assert decoded.peaks.second_peak_ratio.tolist() == [[1, 1]]
    np.testing.assert_allclose(decoded.peaks.width, 3.74, atol=0.01)
    points = map_points(codec_of(alignment), maps)[0]
    np.testing.assert_allclose(points, [[0, 0], [10, 20] if value else [0, 0]], atol=1e-5)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-30, 1e-4, 1.0, 1e4]))
def test_whatever_is_finite_decodes_to_something_finite(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    maps = torch.tensor(scale * random.integers(-2, 3, (1, 8, 12, 8)))
    for alignment in ALIGNMENTS:
        decoded = codec_of(alignment, (8, 12)).decode(maps)
        assert decoded.crop_keypoints.isfinite().all()
        assert decoded.peaks.width.isfinite().all()
        ratio = decoded.peaks.second_peak_ratio
        assert 0 <= ratio.min() <= ratio.max() <= 1


def test_the_second_peak_is_a_peak_of_its_own() -> None:
    first, second = blobs(np.array([[20.0, 30.0], [33.0, 47.0]]), 2.0, (48, 64))
    codec = codec_of("udp", (48, 64))
    for height in (0.0, 0.3, 0.95):
        ratio = codec.decode((first + height * second)[None, None]).peaks.second_peak_ratio
        assert ratio.item() == pytest.approx(height, abs=1e-4)
    wide = blobs(np.array([[[20.0, 30.0]]]), 6.0, (48, 64))
    assert codec.decode(wide).peaks.second_peak_ratio.item() == 0  # a slope is no peak


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize(("apart", "ratio"), [(4, 0), (8, 0.5)])
def test_peaks_eight_cells_apart_are_two(axis: int, phase: int, apart: int, ratio: float) -> None:
    maps = torch.zeros(1, 1, 32, 32)
    for step, height in ((0, 1.0), (apart, 0.5), (-apart, 0.4)):
        place = [13, 13]
        place[axis] = 12 + phase + step
        maps[0, 0, place[1], place[0]] = height
    peaks = codec_of("udp", (32, 32)).decode(maps).peaks
    assert peaks.second_peak_ratio.item() == ratio


def test_a_map_below_zero_gives_its_highest_cell() -> None:
    maps = torch.full((1, 1, 32, 24), -1.0)
    maps[0, 0, 20, 10:12] = torch.tensor([-0.5, -0.6])
    for alignment in ALIGNMENTS:
        np.testing.assert_allclose(map_points(codec_of(alignment), maps), [[[10, 20]]], atol=1e-5)


def test_a_sharp_ridge_gives_its_highest_cell() -> None:
    ridge = 4e4 * torch.eye(32) - 1e4  # its blurred logarithm is flat along it, to the last bit
    ridge[16, 16] += 1
    decoded = map_points(codec_of("udp", (32, 32)), ridge[None, None])
    np.testing.assert_allclose(decoded, [[[16, 16]]], atol=1e-5)


def test_a_wider_peak_is_measured_wider() -> None:
    codec = codec_of("udp", (48, 64))
    widths = [
        codec.decode(blobs(np.array([[[20.3, 30.6]]]), sigma, (48, 64))).peaks.width.item()
        for sigma in (1.0, 1.5, 2.0, 3.0, 6.0)
    ]
    assert widths == sorted(widths)
    np.testing.assert_allclose(widths[:3], [1, 1.5, 2], rtol=0.03)


def test_merging_flipped_maps_gives_the_udp_keypoints_back() -> None:
    codec = codec_of("udp", (48, 64))
    flip_order = torch.as_tensor(keypoint_set("coco").flip_order)
    cells = np.random.default_rng(3).uniform(8, 39, (2, 17, 2))
    points = torch.tensor(cells).float() * torch.tensor(codec.stride_wh)
    mirrored = points[:, flip_order] * torch.tensor([-1, 1]) + torch.tensor([191, 0])
    seen = torch.ones(2, 17)
    maps, flipped_maps = (codec.encode(each, seen)[0] for each in (points, mirrored))
    merged = codec.merge_flipped(maps, flipped_maps, flip_order)
    torch.testing.assert_close(merged, maps, rtol=0, atol=1e-4)
    assert codec.merge_flipped(maps.half(), maps.half(), flip_order).dtype == torch.float32


def test_merging_classic_maps_moves_the_flipped_ones_right() -> None:
    codec = codec_of("classic", (4, 4))
    flipped_maps = torch.arange(4.0).expand(1, 2, 4, 4) + torch.tensor([0, 10])[:, None, None]
    merged = codec.merge_flipped(torch.zeros(1, 2, 4, 4), flipped_maps, torch.tensor([1, 0]))
    # keypoint 0 takes the map of keypoint 1, reversed: 13 12 11 10, moved: 13 13 12 11
    np.testing.assert_array_equal(merged[0, 0, 0], [6.5, 6.5, 6, 5.5])
    np.testing.assert_array_equal(merged[0, 1, 3], [1.5, 1.5, 1, 0.5])


def test_strides_are_those_of_the_back_transform() -> None:
    assert codec_of("udp", (48, 64)).stride_wh == (191 / 47, 255 / 63)
    assert codec_of("classic", (48, 64)).stride_wh == (4, 4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="map_wh"):
        codec_of("udp", (24, 30))
    with pytest.raises(InputError, match="maps"):
        codec_of("udp").decode(torch.zeros(1, 17, 24, 32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_gpu_says_the_same(alignment: Alignment, golden: Mapping[str, NDArray[Any]]) -> None:
    codec = codec_of(alignment)
    maps = torch.tensor(golden["maps"] / REFERENCE["SCALE"], dtype=torch.float32)
    on_device = maps.cuda()
    torch.cuda.set_sync_debug_mode("error")  # decoding must not wait for the device
    try:
        with torch.autocast("cuda"):
            there = codec.decode(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    here = codec.decode(maps)
    for ours, theirs in (
        (here.crop_keypoints, there.crop_keypoints),
        (here.scores, there.scores),
        (here.peaks.width, there.peaks.width),
        (here.peaks.second_peak_ratio, there.peaks.second_peak_ratio),
    ):
        torch.testing.assert_close(theirs.cpu(), ours, rtol=0, atol=1e-4)
