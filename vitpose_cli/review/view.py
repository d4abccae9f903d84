"""A record as the page gets it: plain JSON, people one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.records.record import COORDINATE_DECIMALS, SCORE_DECIMALS, FrameRecord
from vitpose_cli.review.edits import NEW
from vitpose_cli.review.numbers import Numbers

_NUM_OFFERED = 100  # as many as a person may look through


def frame_view(record: FrameRecord) -> dict[str, Any]:
    """Return a frame as JSON values.

    People have the form that `edits.parse_edit` reads. Keypoints of visibility 0 keep the place
    that the network gave them. An identity is a text, as JavaScript rounds numbers above 2^53.
    """
    review = record.review
    return {
        "name": str(record.key),
        "video": record.key.media if record.key.index >= 0 else None,
        "time_s": record.time_s,
        "size_wh": record.size_wh,
        "error": record.error,
        "version": record.version,
        "reviewer": None if review is None else review.reviewer,
        "edited_at_s": None if review is None else review.edited_at_s,
        "people": _people(record),
    }


def identities_view(
    uids: Sequence[str], numbers: Numbers | None, *, pending: bool = False
) -> dict[str, Any]:
    """Return who is who around a frame as JSON values.

    Of those who were before, it has who is here and the 100 latest. `are_given` is whether people
    get identities here, as far as that is known. `lost` are those of whom it counts for nothing who
    a person said they are, as nobody is where that one came into sight.

    Args:
        uids: Of the people in the frame.
        numbers: What is known of them.
        pending: More will be known later.
    """
    if numbers is None or numbers.are_kept:
        return {"pending": pending, "are_given": pending, "numbers": {}, "before": [], "lost": []}
    here = set(numbers.people)
    return {
        "pending": False,
        "are_given": True,
        "numbers": dict(zip(uids, map(str, numbers.people), strict=True)),
        "before": [
            {
                "number": str(number),
                "sighting": {
                    "index": met.first.index,
                    "box": [round(value, COORDINATE_DECIMALS) for value in met.first.box],
                },
                "last_index": met.last_index,
            }
            for place, (number, met) in enumerate(numbers.before.items())
            if place < _NUM_OFFERED or number in here
        ],
        "lost": numbers.lost,
    }


def _people(record: FrameRecord) -> list[dict[str, Any]]:
    people = record.instances
    if people is None:
        return []
    points = _plain(people.keypoints, COORDINATE_DECIMALS)
    scores = _plain(people.keypoint_scores, SCORE_DECIMALS)
    boxes = _plain(people.boxes, COORDINATE_DECIMALS)
    box_scores = _plain(people.box_scores, SCORE_DECIMALS)
    visibility = people.visibility.tolist()
    track_ids = [None] * len(people) if people.track_ids is None else people.track_ids.tolist()
    return [
        {
            "uid": uid,
            "box": boxes[row],
            "box_score": box_scores[row],
            "track_id": None if track_id is None else str(track_id),
            "recognised": record.recognised[uid] or NEW if uid in record.recognised else None,
            "keypoints": [
                [x, y, seen, score]
                for (x, y), seen, score in zip(
                    points[row], visibility[row], scores[row], strict=True
                )
            ],
        }
        for row, (uid, track_id) in enumerate(zip(record.uids, track_ids, strict=True))
    ]


def _plain(values: NDArray[np.float32], decimals: int) -> Any:
    """Return numbers as lists, with the decimals that a record keeps."""
    return np.asarray(values, np.float64).round(decimals).tolist()
