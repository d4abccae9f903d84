"""Boxes and areas of bodies of which a file does not say them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_cases import exported, fill, make_record, small_document, write_json

from vitpose_cli.records.body_sizes import complete_size, has_own_box, lacks_size, num_without_size
from vitpose_cli.records.coco import instances_of, read_coco

PLACES = st.floats(-500, 2000)
NO_BOXES = ({}, *({"bbox": each} for each in (
    None, [], [0, 0, 0, 0], [40, 50, 0, 0], [40.5, 50, 1, 1], [40, 50, 0, 80], [40, 50, 80, 0],
)))  # fmt: skip


def body(points: Any, **fields: Any) -> dict[str, Any]:
    """Return an annotation of a body with these labelled keypoints, and one that is not."""
    flat = [value for x, y in points for value in (float(x), float(y), 2)]
    return {"keypoints": [*flat, 0, 0, 0], **fields}


def completed(annotation: dict[str, Any]) -> dict[str, Any]:
    assert complete_size(annotation) == ""
    return annotation


@given(
    start=st.tuples(PLACES, PLACES),
    way=st.sampled_from([(1, 0), (0, 1), (-1, 0), (0.7, 0.7), (0.9, -0.1)]),
    steps=st.lists(st.floats(2, 300), min_size=1, max_size=5),
)
def test_keypoints_on_a_line_have_a_box_with_an_area(
    start: tuple[float, float], way: tuple[float, float], steps: list[float]
) -> None:
    points = np.array(start) + np.outer([0, *steps], way)
    boxes = [completed(body(points, **said))["bbox"] for said in NO_BOXES]
    assert all(box == boxes[0] for box in boxes)
    x, y, width, height = boxes[0]
    longer = np.ptp(points, axis=0).max()
    np.testing.assert_allclose((width, height), np.ptp(points, axis=0) + 0.2 * longer, atol=0.01)
    assert min(width, height) > 0
    assert (points >= (x, y)).all()
    assert (points <= (x + width, y + height)).all()
    person = body(points, bbox=boxes[0], area=0)
    assert "area" not in completed(person)
    assert person["bbox"] == boxes[0], "completed twice, it stays"
    assert not lacks_size(person)
    assert not has_own_box(person)


@given(place=st.tuples(PLACES, PLACES), count=st.integers(1, 3), area=st.floats(1.5, 1e5))
def test_one_keypoint_has_no_size_but_that_of_its_area(
    place: tuple[float, float], count: int, area: float
) -> None:
    for said in NO_BOXES:
        for none in ({}, {"area": 0}, {"area": 1.0}, {"area": None}, {"area": "?"}):
            person = completed(body([place] * count, **said, **none))
            np.testing.assert_allclose(person["bbox"], [*place, 0, 0], atol=0.01)
            assert lacks_size(person)
            assert not has_own_box(person)
        person = completed(body([place] * count, **said, area=area))
        x, y, width, height = person["bbox"]
        np.testing.assert_allclose((x + width / 2, y + height / 2), place, atol=0.02)
        np.testing.assert_allclose((width, height), area**0.5, atol=0.01)
        assert person["area"] == area
        assert not lacks_size(person)
        assert not has_own_box(person)


@given(
    corner=st.tuples(PLACES, PLACES),
    sides=st.tuples(st.floats(0.01, 900), st.floats(1.01, 900)),
    area=st.floats(0.001, 1e6),
    is_labelled=st.booleans(),
)
def test_what_a_file_states_is_not_touched(
    corner: tuple[float, float], sides: tuple[float, float], area: float, is_labelled: bool
) -> None:
    points = [corner] if is_labelled else []
    for said in ({}, {"area": area}):
        stated = body(points, bbox=[*corner, *sides], **said)
        assert completed({**stated}) == stated
        assert has_own_box(stated)


@pytest.mark.parametrize("said", [one for one in NO_BOXES if one.get("bbox")])
def test_without_a_labelled_keypoint_nothing_is_known(said: dict[str, Any]) -> None:
    assert completed(body([], **said, area=0)) == body([], **said, area=0)
    assert not lacks_size(body([], **said))


def test_a_box_that_was_drawn_backwards_is_the_same_box() -> None:
    assert completed(body([(20, 30)], bbox=[70, 10, -60, 80]))["bbox"] == [10, 10, 60, 80]
    assert completed(body([], bbox=[70, 90, -60, -80]))["bbox"] == [10, 10, 60, 80]


def test_an_area_of_nothing_is_none_beside_a_box() -> None:
    for area in (0, -3, None, "?"):
        person = completed(body([(20, 30)], bbox=[10, 10, 60, 80], area=area))
        assert "area" not in person


def test_coco_s_own_sizes_stay_as_they_are(shared_data: Path) -> None:
    path = shared_data / "coco_val" / "person_keypoints.json"
    assert list(read_coco(path).annotations) == json.loads(path.read_bytes())["annotations"]


def test_a_body_without_size_stays_one_in_a_run(tmp_path: Path) -> None:
    """Its box is written as a pixel, so that no reader drops it."""
    content = small_document()
    del content["annotations"][0]["bbox"], content["annotations"][0]["area"]
    first, second = read_coco(write_json(tmp_path / "a.json", content)).annotations
    assert lacks_size(first)
    assert not lacks_size(second)
    instances = instances_of([first, second], 17, ["one", "other"])
    assert num_without_size(instances) == 1
    run = fill(tmp_path / "run", [make_record("a.jpg", instances=instances)])
    exported(run)
    written = read_coco(run).annotations
    assert [lacks_size(one) for one in written] == [True, False]
    assert json.loads((run / "annotations.json").read_bytes())["annotations"][0]["area"] == 1
