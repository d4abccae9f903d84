"""Identities: who crosses, hides, stands close or comes late keeps the right one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.tracking.tracker import Tracker

SIGMAS = keypoint_set("coco").sigmas
# A person who stands, 2 units tall, feet at y = 0, in the order of COCO.
STANDING = np.array(
    [
        *([0, -1.85], [0.04, -1.9], [-0.04, -1.9], [0.1, -1.85], [-0.1, -1.85]),
        *([0.22, -1.6], [-0.22, -1.6], [0.3, -1.25], [-0.3, -1.25], [0.32, -0.95], [-0.32, -0.95]),
        *([0.15, -0.95], [-0.15, -0.95], [0.16, -0.5], [-0.16, -0.5], [0.17, 0], [-0.17, 0]),
    ]
)
ARMS_UP = STANDING.copy()
ARMS_UP[[7, 8], 1] = -1.95
ARMS_UP[[9, 10], 1] = -2.3

Frames = list[tuple[float, Instances]]


def people(*places: tuple[float, float], size: float = 100, pose: object = STANDING) -> Instances:
    """Put a person at each place of their feet."""
    if not places:
        return Instances.empty(17)
    poses = np.asarray(pose) * size + np.array(places)[:, None]
    boxes = np.concatenate([poses.min(axis=1) - 5, poses.max(axis=1) + 5], axis=1)
    scores = np.ones((len(places), 17), np.float32)
    visibility = np.full((len(places), 17), 2, np.int8)
    return Instances(boxes, scores[:, 0], poses, scores, visibility)


def ids_of(frames: Frames) -> list[list[int]]:
    tracker = Tracker(SIGMAS)
    ids = [tracker.update(time_s, instances) for time_s, instances in frames]
    assert all(one.dtype == np.int64 for one in ids)
    return [one.tolist() for one in ids]


def crossing(fps: float) -> Frames:
    """Let two walk past each other at a body's width a second, sorted from left to right."""
    frames = []
    for time_s in np.arange(0, 4, 1 / fps):
        places = [(100 + 100 * time_s, 300.0), (500 - 100 * time_s, 305.0)]
        frames.append((time_s, people(*sorted(places))))
    return frames


@pytest.mark.parametrize("fps", [30, 10, 5])
def test_who_crosses_keeps_the_id(fps: float) -> None:
    ids = ids_of(crossing(fps))
    assert ids[0] == [1, 2]
    assert ids[-1] == [2, 1]


def test_keypoints_that_nobody_has_placed_do_not_lead_away() -> None:
    frames = crossing(10)
    for number, (_, both) in enumerate(frames):
        hidden = slice(5, 17) if number % 2 else slice(0, 5)
        both.visibility[:, hidden] = both.keypoints[:, hidden] = 0
    assert ids_of(frames)[-1] == [2, 1]


def test_who_hides_for_a_moment_keeps_the_id() -> None:
    frames = []
    for index in range(60):
        time_s = index / 20
        left, right = (100 + 80 * time_s, 300.0), (400.0, 300.0)
        hidden = 1.0 <= time_s < 1.7
        frames.append((time_s, people(right) if hidden else people(left, right)))
    ids = ids_of(frames)
    assert ids[0] == ids[-1] == [1, 2]
    assert {tuple(one) for one in ids} == {(1, 2), (2,)}


def test_who_was_lost_a_second_ago_is_not_taken_for_whom_the_last_frame_shows() -> None:
    frames = []
    for index in range(20):
        sway = 4.0 * (-1) ** (index // 2)  # of a network that is not sure
        here = (300.0 + sway, 300.0)
        seen_twice = index == 4  # as a detector does of people who walk side by side
        frames.append((index / 10, people(here, (310.0, 302.0)) if seen_twice else people(here)))
    assert ids_of(frames) == [[1]] * 4 + [[1, 2]] + [[1]] * 15


def test_who_is_gone_for_long_comes_back_as_somebody_new() -> None:
    frames = [(0.0, people((100, 300))), (0.1, people()), (3.0, people((100, 300)))]
    assert ids_of(frames) == [[1], [], [2]]


def test_frames_may_come_rarely() -> None:
    frames = [(4.0 * n, people((100 + 5 * n, 300), (400, 300 - 3 * n))) for n in range(5)]
    assert ids_of(frames) == [[1, 2]] * 5


def test_poses_tell_apart_whom_boxes_do_not() -> None:
    # Two stand behind each other and change sides; one has raised the arms.
    frames: Frames = []
    for index in range(20):
        shift = 3.0 * (index % 2)
        one, other = people((200 + shift, 300)), people((203 - shift, 300), pose=ARMS_UP)
        both = [other, one] if index % 3 else [one, other]
        frames.append((index / 30, joined(*both)))
    ids = ids_of(frames)
    first = {index: ids[index][1 if index % 3 else 0] for index in range(20)}
    assert set(first.values()) == {ids[0][0]}


def joined(*parts: Instances) -> Instances:
    return Instances(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.box_scores for part in parts]),
        np.concatenate([part.keypoints for part in parts]),
        np.concatenate([part.keypoint_scores for part in parts]),
        np.concatenate([part.visibility for part in parts]),
    )


def test_boxes_help_where_no_keypoint_is_seen() -> None:
    frames: Frames = []
    for index in range(10):
        seen = people((100 + 5 * index, 300), (400, 300))
        blind = Instances(
            seen.boxes, seen.box_scores, seen.keypoints, seen.keypoint_scores, 0 * seen.visibility
        )
        frames.append((index / 30, blind))
    assert ids_of(frames) == [[1, 2]] * 10


def test_who_comes_late_gets_the_next_id() -> None:
    frames = [(0.0, people((100, 300))), (0.1, people((500, 300), (100, 300)))]
    assert ids_of(frames) == [[1], [2, 1]]


def test_a_large_person_does_not_take_over_a_small_one() -> None:
    frames = [
        (0.0, people((100, 300), size=30)),
        (0.04, people((100, 330), size=130)),
        (0.08, people((100, 300), size=30)),
    ]
    assert ids_of(frames) == [[1], [2], [1]]


LEANING = STANDING @ [[0.5, 0.87], [-0.87, 0.5]]


def test_nobody_goes_on_over_a_cut() -> None:
    def scene(first: int, *places: tuple[float, float], **how: object) -> Frames:
        return [
            ((first + index) / 25, people(*((x + 2 * index, y) for x, y in places), **how))  # type: ignore[arg-type]
            for index in range(10)
        ]

    film = [
        *scene(0, (300, 300), (500, 310)),
        *scene(10, (250, 280), size=75, pose=LEANING),  # where one stood
        *scene(20, (300, 300), (500, 310)),
    ]
    # Who is back in the picture within a second may have been in the first scene.
    assert ids_of(film) == [[1, 2]] * 10 + [[3]] * 10 + [[1, 2]] * 10


def test_a_cut_is_not_seen_where_one_of_all_goes_on() -> None:
    first = people((100, 300), (300, 300))
    then = people((102, 300), (250, 280))
    other = people((250, 280), size=75, pose=LEANING)
    then.keypoints[1], then.boxes[1] = other.keypoints[0], other.boxes[0]
    assert ids_of([(0.0, first), (0.04, then)]) == [[1, 2], [1, 2]]


def test_a_cut_is_not_seen_after_a_while() -> None:
    first, then = people((300, 300)), people((280, 295), size=95, pose=LEANING)
    assert ids_of([(0.0, first), (0.2, then)]) == [[1], [2]]
    assert ids_of([(0.0, first), (0.6, then)]) == [[1], [1]]


def test_a_cut_is_not_seen_by_boxes_alone() -> None:
    first, then = people((300, 300)), people((250, 280), size=75, pose=LEANING)
    for one in (first, then):
        one.visibility[:, 2:] = 0
    assert ids_of([(0.0, first), (0.04, then)]) == [[1], [1]]


def test_nobody_at_all() -> None:
    assert ids_of([]) == []
    assert ids_of([(0.0, people()), (0.1, people())]) == [[], []]


def test_equal_times_are_no_reason_to_fail() -> None:
    assert ids_of([(1.0, people((100, 300))), (1.0, people((101, 300)))]) == [[1], [1]]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_within_a_frame_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = crossing(10)[:25]
    orders = [rng.permutation(2) for _ in frames]
    shuffled = [
        (time_s, instances.select(order))
        for (time_s, instances), order in zip(frames, orders, strict=True)
    ]
    ids = [
        np.array(one)[np.argsort(order)].tolist()
        for one, order in zip(ids_of(shuffled), orders, strict=True)
    ]
    assert groups(ids) == groups(ids_of(frames))


def groups(ids: list[list[int]]) -> set[frozenset[tuple[int, int]]]:
    """Return who belongs together, whatever they are called."""
    together: dict[int, set[tuple[int, int]]] = {}
    for frame, row_ids in enumerate(ids):
        for row, one in enumerate(row_ids):
            together.setdefault(one, set()).add((frame, row))
    return {frozenset(members) for members in together.values()}


@settings(max_examples=25, deadline=None)
@given(
    places=st.lists(
        st.lists(st.tuples(st.floats(0, 600), st.floats(0, 600)), max_size=5), max_size=8
    )
)
def test_no_id_comes_twice_in_a_frame(places: list[list[tuple[float, float]]]) -> None:
    frames = [(index / 10, people(*here)) for index, here in enumerate(places)]
    for (_, instances), ids in zip(frames, ids_of(frames), strict=True):
        assert len(ids) == len(set(ids)) == len(instances)
        assert all(one > 0 for one in ids)


def test_a_crowd_is_followed_fast_enough() -> None:
    rng = np.random.default_rng(0)
    places: NDArray[np.float64] = rng.uniform(0, 2000, (50, 2))
    frames = [
        (index / 30, people(*(places + rng.normal(0, 2, places.shape)).tolist()))
        for index in range(20)
    ]
    ids = ids_of(frames)
    assert sum(one != ids[0] for one in ids) == 0


def test_nobody_goes_straight_on_for_long_without_being_seen() -> None:
    frames = [(n / 10, people((100 + 20 * n, 300))) for n in range(11)]  # 200 px/s
    # Who stopped at once, who went on for half a second, and who never stopped.
    frames.append((3.0, people((300, 300), (400, 300), (700, 300))))
    assert ids_of(frames)[-1] == [2, 1, 3]


@pytest.mark.parametrize(("sizes", "ids"), [(1.3, [1]), (3, [2])])
def test_nobody_is_looked_for_everywhere_after_a_long_time(sizes: float, ids: list[int]) -> None:
    start = people((100, 300))
    body = np.sqrt(np.prod(start.boxes[0, 2:] - start.boxes[0, :2]))
    frames = [(0.0, start), (10.0, people((100 + sizes * body, 300)))]
    assert ids_of(frames)[-1] == ids


def test_a_hand_does_not_say_how_far_a_body_moved() -> None:
    waving = people((110, 300))
    waving.visibility[:, [*range(9), *range(10, 17)]] = 0
    waving.keypoints[waving.visibility == 0] = 0
    waving.keypoints[0, 9] += 300
    frames = [(0.0, people((100, 300))), (0.1, waving), (0.2, people((120, 300)))]
    assert ids_of(frames) == [[1], [1], [1]]
