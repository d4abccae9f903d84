"""A frame record of an image of a COCO document and its people, wherever one is made of them.

What the document says alone decides; what it leaves open, such as a photo's size and who made
labels of which nothing says so, whoever reads it must say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import instances_of
from vitpose_cli.records.coco_people import model_of, review_of, time_of, uids_of
from vitpose_cli.records.record import FrameRecord


def record_of(
    key: FrameKey,
    image: Mapping[str, Any],
    people: Sequence[Mapping[str, Any]],
    num_keypoints: int,
    *,
    size_wh: tuple[int, int],
    by_hand: bool,
    model: str = "",
) -> FrameRecord:
    """Return the labels of one image as a record.

    Args:
        key: The frame.
        image: Its entry of `images`.
        people: Its labelled people, see `coco_people.labelled_people`.
        num_keypoints: K of each.
        size_wh: The width and height of the picture, px.
        by_hand: A person made the labels, also where no decision about them is known.
        model: The hash of what they begin with where the document does not say it.

    Raises:
        InputError: A number of somebody is not finite.
    """
    uids = uids_of(key, people)
    return FrameRecord(
        key,
        size_wh,
        time_of(image),
        instances_of(people, num_keypoints, uids),
        model=model_of(people) or model,
        uids=uids,
        review=review_of(image),
        by_hand=by_hand,
    )
