"""Plates with words: each at its box, in the picture, and none on another while there is room."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.media.plates import place_plates

PICTURE = (640, 480)
WIDTH, HEIGHT = 80, 20


def placed(*boxes: tuple[float, float, float, float]) -> list[tuple[int, int]]:
    plates = [(WIDTH, HEIGHT)] * len(boxes)
    return place_plates(plates, np.array(boxes, np.float32).reshape(-1, 4), PICTURE)


def are_apart(places: list[tuple[int, int]]) -> bool:
    return all(
        abs(one[0] - other[0]) >= WIDTH or abs(one[1] - other[1]) >= HEIGHT
        for one, other in combinations(places, 2)
    )


def test_a_plate_stands_on_its_box_at_the_left() -> None:
    assert placed((100, 200, 220, 400)) == [(100, 180)]
    assert placed() == []


def test_who_comes_second_makes_way_along_the_edge() -> None:
    # Two who walk side by side, as far apart as half a plate.
    assert placed((200, 200, 300, 400), (240, 195, 340, 400)) == [(200, 180), (280, 175)]
    assert placed((240, 195, 340, 400), (200, 200, 300, 400)) == [(240, 175), (160, 180)]


def test_at_the_edge_of_the_picture_plates_make_way_as_elsewhere() -> None:
    for top, bottom, y in ((0, 400, 0), (10, 400, 0), (20, 400, 0)):
        assert placed((100, top, 220, bottom), (110, top, 230, bottom)) == [(100, y), (180, y)]


def test_where_the_edge_is_taken_a_plate_goes_under_its_box() -> None:
    assert placed((200, 200, 250, 400), (205, 200, 255, 410)) == [(200, 180), (205, 410)]


def test_people_in_a_row_and_behind_each_other_have_plates_beside_each_other() -> None:
    row = [(40.0 + 45 * i, 200.0 + i % 3, 80.0 + 45 * i, 300.0) for i in range(12)]
    assert are_apart(placed(*row))
    assert are_apart(placed(*[(200, 200, 260, 300)] * 4))


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 4), min_size=1, max_size=12))
def test_all_plates_are_in_the_picture_wherever_the_boxes_are(
    boxes: list[tuple[float, float, float, float]],
) -> None:
    for x, y in placed(*boxes):
        assert 0 <= x <= PICTURE[0] - WIDTH
        assert 0 <= y <= PICTURE[1] - HEIGHT


def test_a_picture_smaller_than_a_plate_has_it_in_its_corner() -> None:
    assert place_plates([(WIDTH, HEIGHT)], np.array([[5, 5, 9, 9]], np.float32), (40, 10)) == [
        (0, 0)
    ]
