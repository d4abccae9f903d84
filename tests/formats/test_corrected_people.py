from dataclasses import replace

import numpy as np
import pytest
from format_cases import COCO, SIZE_WH, extent, people, record
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.formats.corrections import CorrectedFrame, CorrectedPerson
from vitpose_cli.formats.people import Comparison, compare_people
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.body_sizes import box_round
from vitpose_cli.records.record import ROUNDING_PX, FrameRecord

MODEL = record("a.jpg", count=3)
EMPTY = record("a.jpg", count=0)


def returned(model: FrameRecord = MODEL, *, uids: bool = True) -> list[CorrectedPerson]:
    """Return what a program that changes nothing, but zeroes unlabelled keypoints, gives back."""
    found = model.instances
    assert found is not None
    return [
        CorrectedPerson(
            uid if uids else "",
            np.where(found.visibility[row, :, None] > 0, found.keypoints[row], 0).astype(float),
            found.visibility[row],
            found.boxes[row].astype(float),
        )
        for row, uid in enumerate(model.uids)
    ]


def compared(back: list[CorrectedPerson], model: FrameRecord = MODEL) -> Comparison:
    return compare_people(
        model, CorrectedFrame("a", SIZE_WH, "", tuple(back)), COCO.sigmas, ROUNDING_PX
    )


def first(model: FrameRecord = MODEL) -> Instances:
    assert model.instances is not None
    return model.instances


def with_point(person: CorrectedPerson, place: int, x: float, y: float, v: int) -> CorrectedPerson:
    points, visibility = person.points.copy(), person.visibility.copy()
    points[place], visibility[place] = (x, y), v
    return replace(person, points=points, visibility=visibility)


def only_extent(person: CorrectedPerson) -> CorrectedPerson:
    return replace(person, box=person.extent)


@pytest.mark.parametrize("uids", [True, False])
def test_nothing_corrected(uids: bool) -> None:
    found = compared(returned(uids=uids)[::-1])
    assert found.differences.same
    assert found.uids == MODEL.uids
    assert found.differences.similarities == pytest.approx([1, 1, 1])


def test_rounding_is_no_correction() -> None:
    back = [
        replace(each, points=np.where(each.points > 0, each.points + 0.03, 0))
        for each in returned()
    ]
    found = compared(back)
    assert found.differences.same
    np.testing.assert_array_equal(found.instances.keypoints, first().keypoints)


def test_a_moved_keypoint_has_the_score_of_a_person() -> None:
    back = returned()
    x, y = back[1].points[0] + np.array([4, -3])
    back[1] = with_point(back[1], 0, x, y, 1)
    found = compared(back)
    how = found.differences
    assert (how.num_changed, how.num_keypoints, how.num_added, how.num_removed) == (
        1,
        1,
        0,
        0,
    )
    np.testing.assert_allclose(found.instances.keypoints[1, 0], (x, y), atol=1e-4)
    assert found.instances.keypoint_scores[1, 0] == 1
    assert found.instances.visibility[1, 0] == 1
    np.testing.assert_array_equal(
        found.instances.keypoint_scores[1, 1:], first().keypoint_scores[1, 1:]
    )
    assert found.differences.similarities[1] < 1
    assert not found.instances.signals


def test_a_keypoint_taken_away_keeps_its_raw_place() -> None:
    back = returned()
    back[0] = with_point(back[0], 1, 0, 0, 0)
    found = compared(back)
    assert found.differences.num_keypoints == 1
    assert found.instances.visibility[0, 1] == 0
    np.testing.assert_array_equal(found.instances.keypoints[0], first().keypoints[0])
    np.testing.assert_array_equal(found.instances.keypoint_scores[0], first().keypoint_scores[0])


def test_people_come_and_go() -> None:
    back = returned()
    new = CorrectedPerson(
        "", np.full((17, 2), 600.0), np.full(17, 2, np.int8), np.array([590.0, 400, 620, 460])
    )
    found = compared([new, back[2], back[0]])
    assert (
        found.differences.num_changed,
        found.differences.num_added,
        found.differences.num_removed,
    ) == (0, 1, 1)
    assert found.uids[:2] == (MODEL.uids[0], MODEL.uids[2])
    assert found.uids[2] not in MODEL.uids
    np.testing.assert_array_equal(found.instances.boxes[2], new.box)
    assert found.instances.box_scores[2] == 1


def test_nobody_gets_the_name_of_somebody_who_was_removed() -> None:
    without = compared(returned()[:2])
    now = replace(MODEL, instances=without.instances, uids=without.uids)
    new = CorrectedPerson("", np.full((17, 2), 600.0), np.full(17, 2, np.int8), None)
    found = compared([*returned(now), new], now)
    assert found.differences.num_added == 1
    assert found.uids[2] not in MODEL.uids


def test_somebody_copied_is_somebody_new() -> None:
    back = returned()
    copied = replace(back[0], points=back[0].points + 300, box=None)
    found = compared([*back, copied])
    assert (found.differences.num_changed, found.differences.num_added) == (0, 1)
    assert len(set(found.uids)) == 4


def test_a_name_from_another_frame_is_no_name() -> None:
    back = [replace(each, uid=f"other{row}") for row, each in enumerate(returned())]
    found = compared(back)
    assert found.differences.same
    assert found.uids == MODEL.uids


def test_one_correction_is_of_one_person() -> None:
    first_place, *_ = returned()  # of another run, where the name is that of somebody else
    back = (replace(first_place, uid=MODEL.uids[1]),)
    frame = CorrectedFrame("a", SIZE_WH, "", back)
    found = compare_people(MODEL, frame, COCO.sigmas, ROUNDING_PX, names_first=False)
    assert (found.uids, len(found.instances)) == (MODEL.uids[:1], 1)
    assert (
        found.differences.num_changed,
        found.differences.num_added,
        found.differences.num_removed,
    ) == (0, 0, 2)


def test_who_has_lost_all_keypoints_does_not_count_against_the_model() -> None:
    back = returned()
    back[1] = replace(back[1], points=np.zeros((17, 2)), visibility=np.zeros(17, np.int8))
    found = compared(back)
    assert (found.differences.num_changed, found.differences.num_removed) == (1, 0)
    assert found.differences.similarities == pytest.approx([1, 1])


def test_replaced_boxes_are_put_back() -> None:
    found = compared([only_extent(each) for each in returned()])
    assert found.differences.same
    np.testing.assert_array_equal(found.instances.boxes, first().boxes)


@pytest.mark.parametrize(("px", "is_drawn"), [(0.9, False), (1.5, True)])
def test_extents_that_a_program_rounds_are_no_boxes_that_somebody_drew(
    px: float, is_drawn: bool
) -> None:
    (person, *others) = map(only_extent, returned())
    assert person.box is not None
    wider = replace(person, box=person.box + np.array([-px, -px, px, px]))
    found = compared([wider, *others])
    assert found.differences.num_changed == is_drawn
    assert wider.box is not None
    expected = wider.box if is_drawn else first().boxes[0]
    np.testing.assert_allclose(found.instances.boxes[0], expected, atol=1e-4)


def test_a_box_put_back_takes_in_what_was_moved_out_of_it() -> None:
    back = returned()
    left = float(first().boxes[0, 0]) - 15
    y = float(back[0].points[0, 1])
    found = compared([only_extent(with_point(back[0], 0, left, y, 2)), *back[1:]])
    assert found.differences.num_changed == 1
    expected = first().boxes[0].copy()
    expected[0] = left
    np.testing.assert_allclose(found.instances.boxes[0], expected, atol=1e-4)


def test_somebody_carried_away_gets_a_box_round_the_keypoints() -> None:
    model = record("a.jpg", count=1)
    (back,) = returned(model)
    away = only_extent(replace(back, points=back.points + 400))
    found = compared([away], model)
    assert away.extent is not None
    around = box_round(away.points[away.visibility > 0])
    np.testing.assert_allclose(found.instances.boxes[0], around, atol=1e-3)
    assert (around[:2] < away.extent[:2]).all()
    assert (around[2:] > away.extent[2:]).all()


@pytest.mark.parametrize("keeps_boxes", [True, False])
@pytest.mark.parametrize("way", [(3.0, 0.0), (-900.0, 50.0)])
def test_somebody_with_one_keypoint_keeps_their_size(
    way: tuple[float, float], keeps_boxes: bool
) -> None:
    one = np.where(np.arange(17) == 0, 2, 0).astype(np.int8)[None]
    model = FrameRecord(FrameKey("a.jpg"), SIZE_WH, None, replace(people(1), visibility=one))
    (back,) = returned(model)
    x, y = back.points[0] + np.array(way)
    moved = with_point(back, 0, x, y, 2)
    before = first(model).boxes[0].astype(float)
    moved = replace(moved, box=moved.extent if keeps_boxes else None)
    (box,) = compared([moved], model).instances.boxes
    np.testing.assert_allclose(box[2:] - box[:2], before[2:] - before[:2], atol=1e-3)
    assert (moved.points[0] >= box[:2]).all()
    assert (moved.points[0] <= box[2:]).all()


def test_somebody_new_on_a_line_has_a_box_with_an_area() -> None:
    points = np.stack([np.linspace(100, 260, 17), np.full(17, 50.0)], axis=1)
    found = compared([CorrectedPerson("", points, np.full(17, 2, np.int8), None)], EMPTY)
    np.testing.assert_allclose(found.instances.boxes, [[84, 34, 276, 66]])


def test_a_box_that_a_person_drew_is_taken() -> None:
    back = returned()
    assert back[0].box is not None
    back[0] = replace(back[0], box=back[0].box + np.array([-8, 0, 12, 5]))
    found = compared(back)
    assert (found.differences.num_changed, found.differences.num_keypoints) == (1, 0)
    np.testing.assert_allclose(found.instances.boxes[0], back[0].box, atol=1e-4)


def test_boxes_beyond_the_border_come_back_whole() -> None:
    boxes = people(1).boxes - np.array([100, 0, 0, 0], np.float32)
    model = FrameRecord(FrameKey("a.jpg"), SIZE_WH, None, replace(people(1), boxes=boxes))
    (back,) = returned(model)
    assert back.box is not None
    cut = replace(back, box=np.maximum(back.box, 0))
    found = compared([cut], model)
    assert found.differences.same
    np.testing.assert_array_equal(found.instances.boxes, first(model).boxes)


def test_identities_stay_and_new_people_get_new_ones() -> None:
    tracked = replace(people(2), track_ids=np.array([4, 9]))
    model = FrameRecord(FrameKey("clip.mp4", 3), SIZE_WH, 0.1, tracked)
    back = returned(model)
    new = CorrectedPerson("", np.full((17, 2), 600.0), np.full(17, 2, np.int8), None)
    found = compared([back[1], new], model)
    assert found.instances.track_ids is not None
    kept, added = found.instances.track_ids.tolist()
    assert kept == 9
    assert added > 1 << 32, "the next number may be somebody's in another frame"


def test_a_failed_frame_has_nobody_before() -> None:
    failed = FrameRecord(FrameKey("a.jpg"), error="cut off")
    found = compared(returned(uids=False), failed)
    assert (found.differences.num_added, found.differences.num_removed) == (3, 0)
    assert compared([], failed).differences.same


def test_shapes_without_anything_are_nobody() -> None:
    nothing = CorrectedPerson("", np.zeros((17, 2)), np.zeros(17, np.int8), None)
    assert compared([*returned(), nothing]).differences.same


def test_somebody_known_without_keypoints_and_box_stays_where_they_are() -> None:
    unseen = replace(first(), visibility=np.zeros((3, 17), np.int8))
    nobody_seen = replace(MODEL, instances=unseen)
    nothing = [
        CorrectedPerson(uid, np.zeros((17, 2)), np.zeros(17, np.int8), None) for uid in MODEL.uids
    ]
    assert compared(nothing, nobody_seen).differences.same
    found = compared(nothing)  # who had keypoints has lost them
    assert (found.differences.num_changed, found.differences.num_removed) == (3, 0)
    np.testing.assert_array_equal(found.instances.boxes, first().boxes)


@given(st.permutations(range(3)), st.sets(st.integers(0, 2)), st.booleans())
def test_everybody_is_found_in_any_order(order: list[int], gone: set[int], uids: bool) -> None:
    back = returned(uids=uids)
    found = compared([only_extent(back[row]) for row in order if row not in gone])
    assert found.uids == tuple(uid for row, uid in enumerate(MODEL.uids) if row not in gone)
    assert (
        found.differences.num_changed,
        found.differences.num_added,
        found.differences.num_removed,
    ) == (0, 0, len(gone))


def test_extent_is_what_programs_write() -> None:
    (person, *_) = returned()
    points = np.column_stack([person.points, person.visibility])
    left, top, width, height = extent(points)
    assert person.extent is not None
    np.testing.assert_allclose(person.extent, [left, top, left + width, top + height])


@pytest.mark.parametrize(("uids", "expected"), [(True, [9, 4]), (False, [4, 9])])
def test_identities_are_taken_of_those_who_kept_their_names(
    uids: bool, expected: list[int]
) -> None:
    tracked = replace(people(2), track_ids=np.array([4, 9]))
    model = FrameRecord(FrameKey("clip.mp4", 3), SIZE_WH, 0.1, tracked)
    one, other = returned(model, uids=uids)
    found = compared([replace(one, track_id=9), replace(other, track_id=4)], model)
    assert found.instances.track_ids is not None
    assert found.instances.track_ids.tolist() == expected
    assert found.differences.num_identities == (2 if uids else 0)
