"""People of a document: who counts, what they are called, how large their picture is."""

from __future__ import annotations

from typing import Any

import pytest

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco_people import bodies_of, labelled_people, size_of, uids_of
from vitpose_cli.records.record import MAX_UID_CHARS, instance_uid

KEY = FrameKey("a.jpg")


def test_crowds_and_things_without_keypoints_are_no_people() -> None:
    bodies = bodies_of([keypoint_set("coco").to_category(), {"id": 2, "name": "cup"}])
    annotations = [
        {"id": number, "category_id": category, "iscrowd": crowd}
        for number, (category, crowd) in enumerate([(1, 0), (1, 1), (2, 0)], start=1)
    ]
    assert [one["id"] for one in labelled_people(annotations, bodies)] == [1]


def test_names_are_kept_where_they_can_be() -> None:
    given: list[Any] = ["x", "x", "", 7, None, "y" * (MAX_UID_CHARS + 1)]
    people = [{"attributes": {"uid": uid}} for uid in given] + [{"attributes": None}, {}]
    uids = uids_of(KEY, people)
    assert uids[0] == "x"
    assert uids[1:] == tuple(instance_uid(KEY, place) for place in range(1, len(people)))


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ({"width": 4, "height": 3}, (4, 3)),
        ({"width": 4.0, "height": 3}, None),
        ({"width": True, "height": 3}, None),
        ({"width": 0, "height": 3}, None),
        ({}, None),
    ],
)
def test_sizes_are_whole_numbers_or_unknown(
    image: dict[str, Any], wanted: tuple[int, int] | None
) -> None:
    assert size_of(image) == wanted
