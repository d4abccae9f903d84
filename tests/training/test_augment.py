from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from training_cases import COCO, some_people

from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.pose.parts import inside
from vitpose_cli.training.augment import CropPlan, plan_crops, plan_plain_crops
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.people import People

NOTHING = AugmentationOptions(flip=0, shift=0, scale_std=0, rotation=0, half_body=0)
HALVES = NOTHING.model_copy(update={"half_body": 1.0})
INPUT_WH = (96, 128)


def planned(options: AugmentationOptions, seed: int = 0, count: int = 64) -> CropPlan:
    people, _ = some_people(8)
    rows = people.select(np.arange(count) % 8)
    return plan_crops(rows, options, INPUT_WH, "udp", np.random.default_rng(seed))


def scales(plan: CropPlan) -> NDArray[np.float64]:
    """Return the size of each region relative to the plain one."""
    people, _ = some_people(8)
    plain = plan_plain_crops(people.select(np.arange(len(plan)) % 8), INPUT_WH, "udp")
    return np.sqrt(plan.transforms.region_areas / plain.transforms.region_areas)


def test_without_any_change_the_plan_is_the_crop_of_labelling() -> None:
    plan, plain = planned(NOTHING), planned(NOTHING, seed=1)
    people, _ = some_people(8)
    labelling = plan_plain_crops(people.select(np.arange(64) % 8), INPUT_WH, "udp")
    for other in (plain, labelling):
        np.testing.assert_allclose(plan.transforms.matrices, other.transforms.matrices, atol=1e-9)
    np.testing.assert_allclose(plan.crop_keypoints, labelling.crop_keypoints, atol=1e-4)
    assert plan.colours is None
    assert (plan.weights == 1).all()
    assert plan.inside.all()


def test_a_plan_is_a_function_of_the_generator() -> None:
    options = AugmentationOptions(truncation=0.5, brightness=0.2, erasing=0.5)
    first, same, other = planned(options), planned(options), planned(options, seed=1)
    assert (first.transforms.matrices == same.transforms.matrices).all()
    assert first.colours is not None
    assert same.colours is not None
    assert (first.colours == same.colours).all()
    assert (first.erased == same.erased).all()
    assert (first.transforms.matrices != other.transforms.matrices).any()


def test_a_flip_mirrors_the_crop_and_renames_the_keypoints() -> None:
    plain, flipped = planned(NOTHING), planned(NOTHING.model_copy(update={"flip": 1.0}))
    mirrored = plain.crop_keypoints.copy()
    mirrored[..., 0] = INPUT_WH[0] - 1 - mirrored[..., 0]
    np.testing.assert_allclose(flipped.crop_keypoints, mirrored[:, COCO.flip_order], atol=1e-3)


def of_keypoints(*names: str) -> People:
    """Return people whose first keypoints have other names, and no others."""
    people, _ = some_people(8)
    count = len(names)
    category = {"name": "robot", "keypoints": list(names)}
    return replace(
        people,
        keypoint_set=KeypointSet.from_category(category),
        keypoints=people.keypoints[:, :count],
        weights=people.weights[:, :count],
    )


def test_crops_are_not_mirrored_where_nobody_knows_left_and_right() -> None:
    options = NOTHING.model_copy(update={"flip": 1.0})
    for people, flipped in (
        (of_keypoints("kp0", "kp1", "kp2"), False),
        (replace(of_keypoints("kp0"), weights=np.zeros((8, 1), np.float32)), True),
    ):
        plan = plan_crops(people, options, INPUT_WH, "udp", np.random.default_rng(0))
        assert (np.linalg.det(plan.transforms.matrices[:, :, :2]) < 0).tolist() == [flipped] * 8


def test_a_mirrored_crop_tells_nothing_of_a_keypoint_without_its_other_side() -> None:
    people = of_keypoints("left_eye", "right_eye", "left_wrist", "nose")
    options = NOTHING.model_copy(update={"flip": 0.5})
    plan = plan_crops(people, options, INPUT_WH, "udp", np.random.default_rng(0))
    mirrored = np.linalg.det(plan.transforms.matrices[:, :, :2]) < 0
    assert 0 < mirrored.sum() < 8
    assert (plan.weights[mirrored] == [1, 1, 0, 1]).all()
    assert (plan.weights[~mirrored] == 1).all()


def test_scale_rotation_and_shift_follow_the_published_recipe() -> None:
    plan = planned(AugmentationOptions(flip=0, half_body=0), count=4000)
    sizes = scales(plan)
    assert sizes.min() == pytest.approx(0.5, abs=1e-6)
    assert sizes.max() == pytest.approx(1.5, abs=1e-6)
    # clip(N(0, 1) * 0.5 + 1, 0.5, 1.5): a third (2 * 15.87 %) lies on a limit.
    assert np.mean((sizes < 0.5 + 1e-6) | (sizes > 1.5 - 1e-6)) == pytest.approx(0.317, abs=0.03)
    linear = plan.transforms.matrices[:, :, :2]
    angles = np.rad2deg(np.arctan2(-linear[:, 0, 1], linear[:, 0, 0]))
    assert np.abs(angles).max() == pytest.approx(80, abs=0.5)
    assert np.mean(angles == 0) == pytest.approx(0.4, abs=0.03)
    # clip(N(0, 1) * 40, -80, 80): of those that are turned, 4.55 % lie on a limit.
    assert np.mean(np.abs(angles[angles != 0]) > 79.9) == pytest.approx(0.0455, abs=0.015)
    people, _ = some_people(8)
    rows = people.select(np.arange(4000) % 8)
    centres = (rows.boxes[:, :2] + rows.boxes[:, 2:]) / 2
    middle = plan.transforms.to_frame(np.tile((np.array(INPUT_WH) - 1) / 2, (4000, 1, 1)))[:, 0]
    moves = (middle - centres) / (rows.boxes[:, 2:] - rows.boxes[:, :2])
    assert np.abs(moves).max() == pytest.approx(0.2, abs=0.005)
    assert np.mean(np.abs(moves).max(axis=1) > 1e-6) == pytest.approx(0.3, abs=0.03)


def test_half_bodies_are_centred_on_the_mean_keypoint_of_a_half() -> None:
    plan = planned(HALVES, count=400)
    people, _ = some_people(8)
    points = people.select(np.arange(400) % 8).keypoints.astype(np.float64)
    middle = plan.transforms.to_frame(np.tile((np.array(INPUT_WH) - 1) / 2, (400, 1, 1)))[:, 0]
    upper = np.abs(middle - points[:, :11].mean(axis=1)).max(axis=1) < 1e-6
    lower = np.abs(middle - points[:, 11:].mean(axis=1)).max(axis=1) < 1e-6
    assert (upper | lower).all()
    assert upper.mean() == pytest.approx(0.69, abs=0.07)
    halves = np.where(
        upper[:, None, None],
        points[:, [*range(11), *[0] * 6]],
        points[:, [11] * 11 + [*range(11, 17)]],
    )
    widths, heights = 1.5 * np.ptp(halves, axis=1).T
    widths = np.maximum(widths, heights * 3 / 4)  # the aspect of the input
    np.testing.assert_allclose(plan.transforms.region_areas, widths**2 * 4 / 3, rtol=1e-3)


@pytest.mark.parametrize(("gone", "half"), [(slice(13, 17), slice(11)), (slice(9), slice(11, 17))])
def test_of_people_with_two_keypoints_in_a_half_the_other_is_taken(
    gone: slice, half: slice
) -> None:
    people, _ = some_people(8)
    weights = people.weights.copy()
    weights[:, gone] = 0
    options = HALVES.model_copy(update={"half_body_keypoints": 8})
    plan = plan_crops(
        replace(people, weights=weights), options, INPUT_WH, "udp", np.random.default_rng(0)
    )
    middle = plan.transforms.to_frame(np.tile((np.array(INPUT_WH) - 1) / 2, (8, 1, 1)))[:, 0]
    np.testing.assert_allclose(middle, people.keypoints[:, half].mean(axis=1), atol=1e-3)


def test_of_a_cut_photo_no_half_is_taken() -> None:
    whole = planned(NOTHING.model_copy(update={"truncation": 0.5}))
    halves = planned(HALVES.model_copy(update={"truncation": 0.5}))
    cut = np.isfinite(halves.windows[:, 0])
    assert 0 < cut.sum() < len(cut)
    same = (halves.transforms.matrices == whole.transforms.matrices).all(axis=(1, 2))
    assert (same == cut).all()


def test_a_half_that_lies_in_one_place_is_no_half() -> None:
    people, _ = some_people(8)
    points = people.keypoints.copy()
    points[:, 11:] = points[:, 11:12]
    one_place = replace(people, keypoints=points)
    plan = plan_crops(one_place, HALVES, INPUT_WH, "udp", np.random.default_rng(0))
    plain = plan_plain_crops(one_place, INPUT_WH, "udp").transforms
    is_plain = np.isclose(plan.transforms.matrices, plain.matrices).all(axis=(1, 2))
    middle = plan.transforms.to_frame(np.tile((np.array(INPUT_WH) - 1) / 2, (8, 1, 1)))[:, 0]
    is_upper = np.abs(middle - points[:, :11].mean(axis=1)).max(axis=1) < 1e-3
    assert (is_plain != is_upper).all()
    assert 0 < is_plain.sum() < 8


def test_half_bodies_need_many_keypoints() -> None:
    people, _ = some_people(8)
    weights = people.weights.copy()
    weights[:, 8:] = 0
    few = replace(people, weights=weights)
    plan = plan_crops(few, HALVES, INPUT_WH, "udp", np.random.default_rng(0))
    np.testing.assert_allclose(
        plan.transforms.matrices, plan_plain_crops(few, INPUT_WH, "udp").transforms.matrices
    )


def test_truncation_hides_keypoints_outside_of_its_window() -> None:
    plan = planned(NOTHING.model_copy(update={"truncation": 1.0}), count=400)
    people, _ = some_people(8)
    rows = people.select(np.arange(400) % 8)
    cut = np.isfinite(plan.windows[:, 0])
    assert cut.mean() > 0.95
    shown = inside(rows.keypoints, plan.windows)
    assert (plan.weights == shown).all()
    assert (shown[cut].sum(axis=1) >= 2).all()
    assert (shown[cut].sum(axis=1) < 17).all()
    for row in np.flatnonzero(cut)[:50]:
        x0, y0, x1, y1 = plan.windows[row]
        corners = np.array([[[x0, y0], [x1, y1]]])
        seen = plan.transforms.select([row]).to_crop(corners)[0]
        # The window, padded by 1.25, fills the crop along one axis.
        shares = (seen[1] - seen[0]) / (np.array(INPUT_WH) - 1)
        assert max(shares) == pytest.approx(0.8, abs=0.02)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20))
def test_every_plan_is_finite(seed: int) -> None:
    options = AugmentationOptions(
        truncation=0.5, brightness=0.3, contrast=0.5, saturation=0.5, tint=0.1, grey=0.2, erasing=1
    )
    plan = planned(options, seed=seed)
    assert np.isfinite(plan.transforms.matrices).all()
    assert np.isfinite(plan.crop_keypoints).all()
    assert plan.colours is not None
    assert np.isfinite(plan.colours).all()
    sizes = plan.erased[..., 2:] - plan.erased[..., :2]
    assert (sizes <= 0.3 * np.array(INPUT_WH) + 1e-3).all()


def test_grey_crops_have_equal_channels_and_contrast_turns_round_mid_grey() -> None:
    plan = planned(NOTHING.model_copy(update={"grey": 1.0}))
    assert plan.colours is not None
    rows = plan.colours[:, :, :3]
    assert np.abs(rows - rows[:, :1]).max() < 1e-6
    plan = planned(NOTHING.model_copy(update={"contrast": 0.4}))
    assert plan.colours is not None
    middle = plan.colours[:, :, :3] @ np.full(3, 127.5) + plan.colours[:, :, 3]
    np.testing.assert_allclose(middle, 127.5, atol=1e-3)


def test_a_selected_plan_keeps_its_rows_together() -> None:
    plan = planned(AugmentationOptions(truncation=0.5, brightness=0.2, erasing=0.5))
    some = plan.select([5, 2])
    assert len(some) == 2
    assert (some.crop_keypoints == plan.crop_keypoints[[5, 2]]).all()
    assert (some.transforms.matrices == plan.transforms.matrices[[5, 2]]).all()
    assert some.colours is not None
    assert plan.colours is not None
    assert (some.colours == plan.colours[[5, 2]]).all()
