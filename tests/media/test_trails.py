"""Trails: kept as long as asked, drawn where people were."""

from __future__ import annotations

import numpy as np

from vitpose_cli.media.drawing import INSTANCE_COLOURS
from vitpose_cli.media.trails import Trails, draw_trails
from vitpose_cli.pose.instances import Instances


def people(**places: float) -> Instances:
    """Put somebody at x, 50 for each identity (`_1=10.0`)."""
    count = len(places)
    xs = np.array(list(places.values()), np.float32).reshape(-1, 1)
    boxes = np.concatenate([xs - 5, xs * 0 + 40, xs + 5, xs * 0 + 60], axis=1)
    return Instances(
        boxes.reshape(-1, 4),
        np.ones(count, np.float32),
        np.zeros((count, 1, 2), np.float32),
        np.ones((count, 1), np.float32),
        np.full((count, 1), 2, np.int8),
        np.array([int(name[1:]) for name in places], np.int64),
    )


def test_places_are_remembered_for_a_while() -> None:
    trails = Trails(length_s=0.25)
    for step in range(6):
        shown = trails.update(step / 10, people(_7=10.0 * step))
    assert {track_id: places.tolist() for track_id, places in shown.items()} == {
        7: [[30, 50], [40, 50], [50, 50]]
    }


def test_nobody_who_is_out_of_sight_has_a_trail() -> None:
    trails = Trails(length_s=0.25)
    trails.update(0.0, people(_7=10.0))
    assert trails.update(0.1, people(_8=1.0)).keys() == {8}
    assert trails.update(0.2, people(_7=30.0))[7].tolist() == [[10, 50], [30, 50]]
    assert trails.update(2.0, people()) == {}


def test_people_without_identities_leave_no_trail() -> None:
    known = people(_1=10.0)
    stranger = Instances(
        known.boxes, known.box_scores, known.keypoints, known.keypoint_scores, known.visibility
    )
    assert Trails(1.0).update(0.0, stranger) == {}


def test_drawn_in_the_colour_of_the_identity() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    places = np.array([[10, 50], [50, 50], [90, 50]], np.float32)
    drawn = draw_trails(image, {3: places})
    np.testing.assert_allclose(drawn[50, 30], INSTANCE_COLOURS[3], atol=30)  # smoothed edges
    assert drawn[50, 5].max() == 0
    assert image.max() == 0
    thin, wide = (drawn[:, x].max(axis=1).astype(bool).sum() for x in (20, 80))
    assert thin <= wide


def test_far_away_places_do_no_harm() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    draw_trails(image, {0: np.array([[-1e12, 3], [25, 1e12]], np.float32)})
    assert (draw_trails(image, {0: np.zeros((1, 2), np.float32)}) == 0).all()
