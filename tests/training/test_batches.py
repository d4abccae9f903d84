from dataclasses import replace

import numpy as np
import pytest
import torch
from training_cases import HEIGHTS, some_people

from vitpose_cli.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.parts import inside
from vitpose_cli.runtime import Process
from vitpose_cli.training.batches import Batch, Batches
from vitpose_cli.training.config import LossOptions, StageOptions
from vitpose_cli.training.courses import Course
from vitpose_cli.training.crops import DeviceCrops, HostCrops, JoinedCrops
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.pixels import make_crops

CPU = torch.device("cpu")
INPUT_WH = (96, 128)
CODEC = HeatmapCodec(INPUT_WH, (24, 32), "udp")
GEOMETRY = AugmentationOptions(truncation=0.3)
EVERYTHING = AugmentationOptions(
    truncation=0.3,
    brightness=0.1,
    contrast=0.2,
    saturation=0.3,
    tint=0.1,
    grey=0.2,
    erasing=0.5,
    erasing_mix=0.4,
)


def course(kind: str = "host", count: int = 8) -> Course:
    people, pictures = some_people(count)
    store = HostCrops(pictures) if kind == "host" else DeviceCrops(pictures, CPU)
    return Course("coco", people, store, CODEC)


def batches(augmentation: AugmentationOptions, *courses: Course, **stage: object) -> Batches:
    options = StageOptions.model_validate(
        {"input_wh": INPUT_WH, "steps": 1, "batch_size": 32, **stage}
    )
    return Batches(courses or (course(),), options, augmentation, (3,), CPU)


def first(made: Batches, process: Process | None = None) -> list[Batch]:
    return next(iter(made.ahead(0, 1, process)))


def pixels(crops: torch.Tensor) -> np.ndarray:
    """Return crops (B, H, W, 3) in [0, 255]."""
    std, mean = np.array(IMAGENET_STD), np.array(IMAGENET_MEAN)
    values: np.ndarray = 255 * (crops.permute(0, 2, 3, 1).numpy() * std + mean)
    return values


@pytest.mark.parametrize("kind", ["host", "device"])
def test_keypoints_stay_on_their_pixels(kind: str) -> None:
    made = batches(GEOMETRY, course(kind))
    share = made.shares(0, np.arange(8).repeat(8))[0]
    red = torch.from_numpy(pixels(make_crops(share, CPU))[:, None, ..., 0])
    points = torch.from_numpy(share.plan.crop_keypoints).double()
    grid = (2 * points / (torch.tensor(INPUT_WH) - 1) - 1)[:, None]
    found = torch.nn.functional.grid_sample(red, grid, align_corners=True)[:, 0, 0].numpy()
    flips = np.linalg.det(share.plan.transforms.matrices[:, :, :2]) < 0
    assert 0.2 < flips.mean() < 0.8
    shrunk = share.plan.windows + np.array([2, 2, -2, -2], np.float32)
    deep = inside(course().people.keypoints[share.rows], shrunk)
    checked = 0
    order = share.course.people.keypoint_set.flip_order
    for row, column in zip(*np.nonzero((share.plan.weights > 0) & share.plan.inside), strict=True):
        x, y = share.plan.crop_keypoints[row, column]
        # In a mirrored crop, what is called left is drawn as right.
        drawn = order[column] if flips[row] else column
        beside_a_cut = not deep[row, drawn]
        if column < 5 or beside_a_cut or not (2 <= x < 94 and 2 <= y < 126):
            continue  # faces are too small to tell their keypoints apart
        checked += 1
        # A crop of half the size blurs its peak by up to 30 %.
        assert 0.7 * HEIGHTS[drawn] < found[row, column] < 1.02 * HEIGHTS[drawn]
    assert checked > 200


def test_host_and_device_make_the_same_crops() -> None:
    host, device = (first(batches(EVERYTHING, course(kind)))[0] for kind in ("host", "device"))
    difference = np.abs(pixels(host.crops) - pixels(device.crops))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.999) < 3
    assert torch.equal(host.targets[0].maps, device.targets[0].maps)


def test_outside_of_a_cut_photo_is_black() -> None:
    options = AugmentationOptions(truncation=1.0, brightness=0.3, flip=0.5)
    made = batches(options)
    share = made.shares(0, np.arange(8).repeat(4))[0]
    values = pixels(make_crops(share, CPU))
    rows, columns = np.mgrid[: INPUT_WH[1], : INPUT_WH[0]]
    grid = np.stack([columns, rows], axis=-1).reshape(1, -1, 2)
    for row in range(len(share.rows)):
        place = share.plan.transforms.select([row]).to_frame(grid)[0]
        low, high = share.plan.windows[row, :2], share.plan.windows[row, 2:]
        hidden = ((place < low - 0.01) | (place > high + 0.01)).any(axis=1)
        assert np.abs(values[row].reshape(-1, 3)[hidden]).max(initial=0) < 1e-3


def test_erased_rectangles_have_their_colour() -> None:
    made = batches(AugmentationOptions(erasing=1.0))
    share = made.shares(0, np.arange(8))[0]
    values = pixels(make_crops(share, CPU))
    for row in range(8):
        x0, y0, x1, y1 = share.plan.erased[row, -1]
        x, y = int(np.clip((x0 + x1) / 2, 0, 95)), int(np.clip((y0 + y1) / 2, 0, 127))
        np.testing.assert_allclose(values[row, y, x], share.plan.fills[row, -1], atol=0.01)


def test_erased_rectangles_show_another_crop_where_that_is_asked() -> None:
    made = batches(AugmentationOptions(erasing=1.0, erasing_mix=1.0))
    share = made.shares(0, np.arange(8))[0]
    plan = replace(share.plan, erased=share.plan.erased[:, :1], fills=share.plan.fills[:, :1])
    nothing = replace(plan, erased=np.full_like(plan.erased, -1))
    whole = pixels(make_crops(replace(share, plan=nothing), CPU))
    mixed = pixels(make_crops(replace(share, plan=plan), CPU))
    rows, columns = np.mgrid[: INPUT_WH[1], : INPUT_WH[0]]
    x0, y0, x1, y1 = plan.erased[:, 0].T[:, :, None, None]
    covered = (columns >= x0) & (columns <= x1) & (rows >= y0) & (rows <= y1)
    assert covered.any(axis=(1, 2)).all()
    wanted = np.where(covered[..., None], np.roll(whole, 1, axis=0), whole)
    np.testing.assert_array_equal(mixed, wanted)


def test_another_crop_shines_through_where_that_is_asked() -> None:
    made = batches(AugmentationOptions(blend=0.5, blend_limit=0.4))
    share = made.shares(0, np.arange(8))[0]
    blends = share.plan.blends
    assert (blends == 0).any()
    assert (blends > 0.01).any()
    assert blends.max() <= 0.4
    nothing = replace(share, plan=replace(share.plan, blends=np.zeros_like(blends)))
    whole = pixels(make_crops(nothing, CPU))
    blended = pixels(make_crops(share, CPU))
    own = blends[:, None, None, None]
    wanted = (1 - own) * whole + own * np.roll(whole, 1, axis=0)
    np.testing.assert_allclose(blended, wanted, atol=1e-3)  # of 255, normalised and back
    np.testing.assert_array_equal(blended[blends == 0], whole[blends == 0])


def test_what_covers_a_blended_crop_is_another_crop_alone() -> None:
    made = batches(AugmentationOptions(erasing=1.0, erasing_mix=1.0, blend=1.0))
    share = made.shares(0, np.arange(8))[0]
    everything = np.tile(np.array([-1, -1, *INPUT_WH], np.float32), (8, 1, 1))
    plan = replace(share.plan, erased=everything, fills=share.plan.fills[:, :1])
    nothing = replace(plan, erased=-everything, blends=np.zeros(8, np.float32))
    whole = pixels(make_crops(replace(share, plan=nothing), CPU))
    covered = pixels(make_crops(replace(share, plan=plan), CPU))
    np.testing.assert_array_equal(covered, np.roll(whole, 1, axis=0))


def test_nobody_else_is_nobody_to_show() -> None:
    alone = batches(AugmentationOptions(blend=1.0)).shares(0, np.arange(1))[0]
    assert alone.plan.blends == 0
    assert alone.covers is None
    made = batches(AugmentationOptions(erasing=1.0, erasing_mix=1.0))
    share = made.shares(0, np.arange(1))[0]
    assert np.isfinite(share.plan.fills).all()
    covered = replace(share, plan=replace(share.plan, erased=np.full((1, 2, 4), -1, np.float32)))
    assert not torch.equal(make_crops(share, CPU), make_crops(covered, CPU))


def test_some_erased_rectangles_are_mixed_and_the_others_are_not() -> None:
    made = batches(AugmentationOptions(erasing=1.0, erasing_mix=0.3))
    fills = made.shares(0, np.arange(8).repeat(40))[0].plan.fills
    mixed = np.isnan(fills)
    assert (mixed == mixed[..., :1]).all()
    assert mixed.mean() == pytest.approx(0.3, abs=0.08)  # 640 of them: 4 standard deviations


def test_targets_are_the_codecs_and_carry_the_weights() -> None:
    batch = first(batches(GEOMETRY))[0]
    target = batch.targets[0]
    plan = target.share.plan
    maps, drawn = CODEC.encode(
        torch.from_numpy(plan.crop_keypoints), torch.from_numpy(plan.weights > 0)
    )
    assert torch.equal(target.maps, maps)
    assert torch.equal(target.weights, drawn * torch.from_numpy(plan.weights))
    assert target.share.size == 32 * 17 * 24 * 32


def test_a_choice_among_pixels_leaves_out_what_is_outside() -> None:
    made = batches(GEOMETRY, loss=LossOptions(kind="cross_entropy"))
    share = made.shares(0, np.arange(8).repeat(8))[0]
    assert (share.plan.weights[~share.plan.inside] == 0).all()
    assert share.size == share.plan.weights.sum()


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 3), (4, 1), (2, 2)])
def test_processes_and_passes_share_a_step(world_size: int, accumulate: int) -> None:
    whole = first(batches(EVERYTHING, batch_size=10))[0]
    crops, rows, sizes = [], [], set()
    for rank in range(world_size):
        made = batches(EVERYTHING, batch_size=10, accumulate=accumulate)
        for batch in first(made, Process(rank, world_size)):
            crops.append(batch.crops)
            rows.append(batch.targets[0].share.rows)
            sizes.add(batch.targets[0].share.size)
    assert len(crops) == world_size * accumulate
    assert sizes == {whole.targets[0].share.size}
    order = np.concatenate(rows).argsort(kind="stable")
    expected = whole.targets[0].share.rows.argsort(kind="stable")
    together = torch.cat(crops).sum(dim=(1, 2, 3))[order]
    assert torch.allclose(together.sort()[0], whole.crops.sum(dim=(1, 2, 3))[expected].sort()[0])


def test_several_courses_follow_one_another_in_a_batch() -> None:
    first_course, second = course(), course("device")
    made = batches(EVERYTHING, first_course, replace(second, head="other"), batch_size=16)
    batch = first(made)[0]
    assert [target.share.course.head for target in batch.targets] == ["coco", "other"]
    assert sum(len(target.weights) for target in batch.targets) == len(batch.crops) == 16


def test_the_same_people_of_two_courses_are_changed_each_in_their_own_way() -> None:
    made = batches(EVERYTHING, course(), replace(course(), head="other"))
    one, other = made.shares(0, np.arange(16))
    np.testing.assert_array_equal(one.rows, other.rows)
    matrices, theirs = one.plan.transforms.matrices, other.plan.transforms.matrices
    assert (np.abs(matrices - theirs).max(axis=(1, 2)) > 1e-3).all()
    assert one.plan.colours is not None
    assert other.plan.colours is not None
    assert not np.array_equal(one.plan.colours, other.plan.colours)


def test_joined_stores_count_their_images_on() -> None:
    _, pictures = some_people(8)
    joined = JoinedCrops([HostCrops(pictures[:3]), HostCrops(pictures[3:])], np.array([0, 3, 8]))
    single = HostCrops(pictures)
    images = np.array([4, 0, 7, 2, 2])
    transforms = batches(GEOMETRY).shares(0, images)[0].plan.transforms
    assert torch.equal(joined.warp(images, transforms), single.warp(images, transforms))
