"""What the page sends when a person has done something, checked, and the record it becomes.

The page always sends all people of the frame, never a difference: a line of the journal is whole
by itself, and two edits can never be applied in the wrong order. Where a person only decides and
changes nothing, no people are sent, and the labels stay as they are to the last bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.json_values import are_numbers, is_int, is_number
from vitpose_cli.records.record import (
    MAX_TRACK_ID,
    MAX_UID_CHARS,
    FrameRecord,
    Review,
    ReviewState,
    completed_track_ids,
)
from vitpose_cli.records.sighting import Sighting

MAX_PEOPLE = 1000
MAX_NUMBER = 1e6
"""No coordinate is farther from 0, px, and no score, also where a program writes logits."""

NEW = "new"
"""In place of the sighting of somebody who was in no frame before."""

_VERSION = re.compile(r"[0-9a-f]{8}")
_TRACK_ID = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person wants a frame to become.

    A frame that is accepted becomes `fixed` where its labels are a person's work.

    Attributes:
        version: The version of the record that the person looked at.
        state: What was decided.
        instances: The labels; None to leave them as they are.
        uids: The names of the instances.
        recognised: As in `FrameRecord`.
    """

    version: str
    state: ReviewState
    instances: Instances | None
    uids: tuple[str, ...]
    recognised: Mapping[str, Sighting | None] = field(default_factory=dict)

    def labelled(self, record: FrameRecord) -> FrameRecord:
        """Return `record` with the labels of the edit, which has some."""
        return replace(record, instances=self.instances, uids=self.uids, recognised=self.recognised)

    def applied(self, record: FrameRecord, reviewer: str, now_s: float) -> FrameRecord:
        """Return what `record` becomes.

        Args:
            record: The frame as it is.
            reviewer: Who does it.
            now_s: When, in seconds since 1970 UTC.

        Raises:
            InputError: The frame has no picture, so that it can only be rejected, or that undone.
        """
        untouched = _untouched(record)
        review = Review(self.state, reviewer, round(now_s, 3), record.version, untouched=untouched)
        if record.error is not None and self.state not in ("rejected", "draft"):
            raise InputError(
                f"{record.key} could not be read: {record.error}", "It can only be rejected."
            )
        if self.instances is None:
            after = replace(record, review=review, exact=True)
        elif record.error is None:
            after = replace(self.labelled(record), review=review, exact=True)
        else:
            raise InputError(f"{record.key} could not be read, nobody can be labelled there.")
        if self.state != "accepted" or not self._by_hand(record, after):
            return after
        return replace(after, review=replace(review, state="fixed"), exact=True)

    def set_aside(self, current: FrameRecord, reviewer: str, now_s: float) -> FrameRecord:
        """Return the record of this edit where what another window saved counts.

        Args:
            current: What counts.
            reviewer: Whose edit it is.
            now_s: When it was set aside, in seconds since 1970 UTC.

        Raises:
            InputError: As `applied`.
        """
        after = self.applied(current, reviewer, now_s)
        assert after.review is not None
        review = replace(after.review, previous=self.version)
        return replace(after, review=review, set_aside=True, exact=True)

    def _by_hand(self, before: FrameRecord, after: FrameRecord) -> bool:
        """Return whether the labels are no longer those that the frame had in the beginning."""
        if after.review is not None and after.review.untouched:
            return after.labels_version != after.review.untouched
        known = before.review is not None and before.review.state in ("draft", "fixed")
        return known or self.instances is not None


def _untouched(record: FrameRecord) -> str:
    """Return the `labels_version` that a frame had before a person changed it, if it is known."""
    review = record.review
    if review is None or (review.state == "accepted" and not review.untouched):
        return record.labels_version
    return review.untouched


def parse_edit(body: bytes, num_keypoints: int) -> Edit:
    """Return the edit in a request.

    Args:
        body: JSON `{"version": ..., "state": ..., "people": null or [...]}`; a person is
            `{"uid": ..., "box": [x0, y0, x1, y1], "box_score": ..., "track_id": "7" or null,
            "recognised": null, "new" or {"index": ..., "box": [x0, y0, x1, y1]},
            "keypoints": [[x, y, visibility, score], ...]}`, all in frame px.
        num_keypoints: K, of every person.

    Raises:
        InputError: It is something else.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The request is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise InputError("The request is not a JSON object.")
    version: Any = fields.get("version")
    state: Any = fields.get("state")
    people: Any = fields.get("people")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise InputError("version is not 8 hex digits.")
    if state not in get_args(ReviewState):
        raise InputError(f"state is not one of {', '.join(get_args(ReviewState))}.")
    if people is None:
        return Edit(version, state, None, ())
    if not isinstance(people, list) or len(people) > MAX_PEOPLE:
        raise InputError(f"people is not a list of at most {MAX_PEOPLE}.")
    for place, person in enumerate(people):
        _check_person(person, f"people[{place}]", num_keypoints)
    uids = tuple(person["uid"] for person in people)
    if len(set(uids)) != len(uids):
        raise InputError("Two people have the same uid.")
    recognised = {
        person["uid"]: None if whom == NEW else Sighting.from_json(whom)
        for person in people
        if (whom := person.get("recognised")) is not None
    }
    return Edit(version, state, _instances(people, num_keypoints), uids, recognised)


def _check_person(person: Any, where: str, num_keypoints: int) -> None:
    if not isinstance(person, dict):
        raise InputError(f"{where} is not an object.")
    uid: Any = person.get("uid")
    box: Any = person.get("box")
    points: Any = person.get("keypoints")
    if not isinstance(uid, str) or not 0 < len(uid) <= MAX_UID_CHARS:
        raise InputError(f"{where}.uid is not a text of 1 to {MAX_UID_CHARS} characters.")
    if not _are_coordinates(box, 4) or box[0] > box[2] or box[1] > box[3]:
        raise InputError(f"{where}.box is not [x0, y0, x1, y1].")
    if not _is_score(person.get("box_score")):
        raise InputError(f"{where}.box_score is not a score.")
    if not _is_track_id(person.get("track_id")):
        raise InputError(f"{where}.track_id is not the text of a number from 0.")
    if not isinstance(points, list) or len(points) != num_keypoints:
        raise InputError(f"{where}.keypoints are not {num_keypoints}.")
    for place, point in enumerate(points):
        if (
            not isinstance(point, list)
            or len(point) != 4
            or not _are_coordinates(point[:2], 2)
            or not is_int(point[2])
            or point[2] not in (0, 1, 2)
            or not _is_score(point[3])
        ):
            raise InputError(f"{where}.keypoints[{place}] is not [x, y, visibility, score].")


def _instances(people: Sequence[Mapping[str, Any]], num_keypoints: int) -> Instances:
    """Return checked people as arrays. Signals are left out: they speak of the model's labels."""
    if not people:
        return Instances.empty(num_keypoints)
    points = np.array([person["keypoints"] for person in people], np.float32)
    texts = [person.get("track_id") for person in people]
    track_ids = (None if text is None else int(text) for text in texts)
    return Instances(
        boxes=np.array([person["box"] for person in people], np.float32),
        box_scores=np.array([person["box_score"] for person in people], np.float32),
        keypoints=points[..., :2],
        keypoint_scores=points[..., 3],
        visibility=points[..., 2].astype(np.int8),
        track_ids=completed_track_ids(track_ids, (person["uid"] for person in people)),
    )


def _is_track_id(text: Any) -> bool:
    """Return whether something is an identity as the page sends it, or none."""
    if not isinstance(text, str):
        return text is None
    return _TRACK_ID.fullmatch(text) is not None and int(text) <= MAX_TRACK_ID


def _are_coordinates(values: Any, count: int) -> bool:
    return are_numbers(values, count) and all(abs(value) <= MAX_NUMBER for value in values)


def _is_score(value: Any) -> bool:
    return is_number(value) and abs(value) <= MAX_NUMBER
