"""The people of a frame before and after a correction: who is who, and what became of them.

Whoever came back as they were exported keeps every number of the record, so that a way through
another program and its rounding never counts as work of a person. Detector boxes that the program
replaced by the extent of the keypoints are put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.formats.corrections import CorrectedFrame, CorrectedPerson
from vitpose_cli.pose.geometry import box_iou, xywh_to_xyxy
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.oks import best_pairs, oks_matrix
from vitpose_cli.records.body_sizes import box_round, says_size
from vitpose_cli.records.coco_writer import frame_annotations
from vitpose_cli.records.record import BY_HAND_SCORE, FrameRecord, added_track_id

SAME_PERSON = 0.5
"""OKS or IoU from which on two labels without names are of one person."""

_UID_BYTES = 8  # random: nobody in the frame has such a name, nor had it before
_EXTENT_PX = 1.0  # programs round the extent of keypoints outwards


@dataclass(frozen=True, slots=True)
class Differences:
    """How much was corrected in a frame.

    Attributes:
        num_changed: People who were moved, hidden, shown, or got another box.
        num_added: New people.
        num_removed: People who are gone.
        num_keypoints: Keypoints that were moved, hidden or shown.
        num_identities: People who are somebody else over the frames of a video.
        similarities: OKS between label and correction, of everybody who was there before.
    """

    num_changed: int
    num_added: int
    num_removed: int
    num_keypoints: int
    num_identities: int
    similarities: tuple[float, ...]

    @property
    def same(self) -> bool:
        """Whether nothing was corrected."""
        return not (self.num_changed or self.num_added or self.num_removed or self.num_identities)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a correction makes of a frame.

    Attributes:
        differences: How much was corrected.
        instances: The people as they are to be.
        uids: Their names.
    """

    differences: Differences
    instances: Instances
    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Person:
    """One person as they are to be."""

    box: NDArray[np.float64]
    box_score: float
    points: NDArray[np.float64]
    scores: NDArray[np.float64]
    visibility: NDArray[np.int8]
    num_keypoints: int = 0
    box_changed: bool = False

    @property
    def changed(self) -> bool:
        return self.num_keypoints > 0 or self.box_changed


def compare_people(
    record: FrameRecord,
    frame: CorrectedFrame,
    sigmas: NDArray[np.float64],
    tolerance_px: float,
    *,
    tells_hidden: bool = True,
    missing_at_origin: bool = False,
    names_first: bool = True,
) -> Comparison:
    """Return what a correction makes of the labels of a frame.

    Args:
        record: The labels that count; without people where the frame failed.
        frame: What came back of them.
        sigmas: (K,) of the keypoint set.
        tolerance_px: Coordinates that differ by less are the same.
        tells_hidden: Whether the program can say that a keypoint is hidden; else those that were
            hidden still are.
        missing_at_origin: Whether keypoints that are not labelled are at (0, 0), where some that
            still are may be; see `Corrections`.
        names_first: Whether the names in the file are those of the record; else they may be those
            of other people in earlier labels, and people are found by likeness first.
    """
    before = record.instances or Instances.empty(len(sigmas))
    shown = _as_exported(record, len(sigmas))
    people = [each for each in frame.people if each.is_somewhere or each.uid in record.uids]
    pairs = _pairs(record.uids, shown, people, sigmas, names_first=names_first)
    for row, place in pairs.items():
        if missing_at_origin:
            people[place] = _at_origin_as_before(people[place], shown, row, tolerance_px)
        if not tells_hidden:
            people[place] = _hidden_as_before(people[place], shown.visibility[row])
    stayed = {row: people[pairs[row]] for row in sorted(pairs)}
    kept = [_corrected(before, shown, row, person, tolerance_px) for row, person in stayed.items()]
    new = [person for place, person in enumerate(people) if place not in pairs.values()]
    added = [_new(person) for person in new]
    new_uids = [token_hex(_UID_BYTES) for _ in added]
    track_ids = _track_ids(record, stayed, new, new_uids)
    differences = Differences(
        num_changed=sum(person.changed for person in kept),
        num_added=len(added),
        num_removed=len(before) - len(kept),
        num_keypoints=sum(person.num_keypoints for person in kept),
        num_identities=0
        if track_ids is None or before.track_ids is None
        else int((track_ids[: len(kept)] != before.track_ids[[*stayed]]).sum()),
        similarities=tuple(
            _oks(before.keypoints[row], person, sigmas)
            for row, person in zip(stayed, kept, strict=True)
            if person.visibility.any()
        ),
    )
    return Comparison(
        differences,
        instances=_as_instances(before, [*kept, *added], track_ids),
        uids=(*(record.uids[row] for row in stayed), *new_uids),
    )


def _as_exported(record: FrameRecord, num_keypoints: int) -> Instances:
    """Return the people as every format writes them: boxes cut, unlabelled keypoints at zero."""
    annotations: list[dict[str, Any]] = list(frame_annotations(record, 1, 1))
    if not annotations:
        return Instances.empty(num_keypoints)
    points = np.reshape([item["keypoints"] for item in annotations], (-1, num_keypoints, 3))
    return Instances(
        boxes=xywh_to_xyxy(np.array([item["bbox"] for item in annotations])),
        box_scores=np.zeros(len(points), np.float32),
        keypoints=points[..., :2],
        keypoint_scores=np.zeros(points.shape[:2], np.float32),
        visibility=points[..., 2],
    )


def _pairs(
    uids: Sequence[str],
    shown: Instances,
    people: Sequence[CorrectedPerson],
    sigmas: NDArray[np.float64],
    *,
    names_first: bool,
) -> dict[int, int]:
    """Return which correction (by place) is of which person (by row): by name and by likeness."""
    pairs: dict[int, int] = {}
    if names_first:
        _pair_by_name(pairs, uids, people)
    if len(pairs) < min(len(shown), len(people)):
        alike = _likeness(shown, people, sigmas)
        alike[[*pairs]] = alike[:, [*pairs.values()]] = 0
        pairs |= best_pairs(alike, SAME_PERSON)
    if not names_first:
        _pair_by_name(pairs, uids, people)
    return pairs


def _pair_by_name(
    pairs: dict[int, int], uids: Sequence[str], people: Sequence[CorrectedPerson]
) -> None:
    """Add the pairs of the same name; a copied person has the name of the first one."""
    for place, person in enumerate(people):
        if person.uid in uids and place not in pairs.values():
            pairs.setdefault(uids.index(person.uid), place)


def _likeness(
    shown: Instances, people: Sequence[CorrectedPerson], sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (N, M) the larger of OKS and IoU of N people and M corrections."""
    points = np.stack([person.points for person in people])
    boxes = np.stack([_box_of(person) for person in people])
    sides = shown.boxes[:, 2:] - shown.boxes[:, :2]
    oks = oks_matrix(points, None, shown.keypoints, sides.prod(axis=1), sigmas, shown.visibility).T
    alike: NDArray[np.float64] = np.maximum(oks, box_iou(shown.boxes.astype(np.float64), boxes))
    return alike


def _box_of(person: CorrectedPerson) -> NDArray[np.float64]:
    """Return the box of a person, or one round the keypoints; one of the two is there."""
    if person.box is not None:
        return person.box
    places = person.points[person.visibility > 0]
    return box_round(places) if len(places) else np.zeros(4)


def _hidden_as_before(person: CorrectedPerson, was: NDArray[np.int8]) -> CorrectedPerson:
    """Return a person whose labelled keypoints are hidden (v = 1) where they were."""
    visibility = np.where(was == 1, np.minimum(person.visibility, 1), person.visibility)
    return replace(person, visibility=visibility)


def _at_origin_as_before(
    person: CorrectedPerson, shown: Instances, row: int, tolerance_px: float
) -> CorrectedPerson:
    """Return a person whose keypoints in the first pixel are there as they were."""
    was = shown.visibility[row]
    there = (person.visibility == 0) & (person.points == 0).all(axis=1) & (was > 0)
    there &= (shown.keypoints[row] <= tolerance_px).all(axis=1)
    return replace(person, visibility=np.where(there, was, person.visibility))


def _corrected(
    before: Instances,
    shown: Instances,
    row: int,
    person: CorrectedPerson,
    tolerance_px: float,
) -> _Person:
    """Return what a person becomes."""
    was, now = shown.visibility[row] > 0, person.visibility > 0
    still = (np.abs(person.points - shown.keypoints[row]) <= tolerance_px).all(axis=1)
    moved = now & ~(was & still)
    box, box_changed = _corrected_box(before, shown, row, person, moved, tolerance_px)
    return _Person(
        box=box,
        box_score=float(before.box_scores[row]),
        points=np.where(moved[:, None], person.points, before.keypoints[row]),
        scores=np.where(moved, BY_HAND_SCORE, before.keypoint_scores[row]),
        visibility=person.visibility,
        num_keypoints=int((moved | (person.visibility != shown.visibility[row])).sum()),
        box_changed=box_changed,
    )


def _corrected_box(
    before: Instances,
    shown: Instances,
    row: int,
    person: CorrectedPerson,
    moved: NDArray[np.bool_],
    tolerance_px: float,
) -> tuple[NDArray[np.float64], bool]:
    """Return the box of a person, and whether somebody changed it.

    A box that is nothing but the extent of the keypoints was made by the program: the one from
    before is put back, and takes in keypoints that were moved out of it.
    """
    old = before.boxes[row].astype(np.float64)
    extent = person.extent
    if person.box is not None:
        if (np.abs(person.box - shown.boxes[row]) <= tolerance_px).all():
            return old, False
        if extent is None or (np.abs(person.box - extent) > _EXTENT_PX).any():
            return person.box, True
    if extent is None or not moved.any():
        return old, False
    if (extent[:2] > old[2:]).any() or (extent[2:] < old[:2]).any():
        return _carried_box(old, extent, person), False
    places = person.points[moved]
    low, high = np.minimum(old[:2], places.min(axis=0)), np.maximum(old[2:], places.max(axis=0))
    return np.concatenate([low, high]), False


def _carried_box(
    old: NDArray[np.float64], extent: NDArray[np.float64], person: CorrectedPerson
) -> NDArray[np.float64]:
    """Return the box of somebody carried off to elsewhere, as large as before if none says more."""
    box = box_round(person.points[person.visibility > 0])
    if says_size(*(box[2:] - box[:2]).tolist()):
        return box
    centre, half = (extent[:2] + extent[2:]) / 2, (old[2:] - old[:2]) / 2
    return np.concatenate([centre - half, centre + half])


def _new(person: CorrectedPerson) -> _Person:
    """Return somebody who was not there before."""
    labelled = person.visibility > 0
    return _Person(
        box=_box_of(person),
        box_score=1.0,
        points=np.where(labelled[:, None], person.points, 0.0),
        scores=np.where(labelled, BY_HAND_SCORE, 0.0),
        visibility=person.visibility,
    )


def _track_ids(
    record: FrameRecord,
    kept: Mapping[int, CorrectedPerson],
    new: Sequence[CorrectedPerson],
    new_uids: Sequence[str],
) -> NDArray[np.int64] | None:
    """Return the identities of everybody as they are to be; None where the frame has none.

    Of people who were there those that the file gives them by name: somebody who was found by
    likeness may have lost it on the way.

    Args:
        record: Everybody as they were.
        kept: Those who still are, by their row there.
        new: The others.
        new_uids: Their names.
    """
    held = None if record.instances is None else record.instances.track_ids
    if held is None and (record.uids or all(person.track_id is None for person in new)):
        return None
    before: list[int] = [] if held is None else held.tolist()
    track_ids = [
        before[row]
        if person.track_id is None or person.uid != record.uids[row]
        else person.track_id
        for row, person in kept.items()
    ]
    for person, uid in zip(new, new_uids, strict=True):
        track_ids.append(added_track_id(uid) if person.track_id is None else person.track_id)
    return np.array(track_ids, np.int64)


def _as_instances(
    before: Instances, people: Sequence[_Person], track_ids: NDArray[np.int64] | None
) -> Instances:
    """Return people as arrays, without signals: those speak of the model's labels.

    Args:
        before: Everybody as they were.
        people: Everybody as they are to be.
        track_ids: Their identities.
    """
    if not people:
        return Instances.empty(before.num_keypoints)
    return Instances(
        boxes=np.stack([person.box for person in people]),
        box_scores=np.array([person.box_score for person in people]),
        keypoints=np.stack([person.points for person in people]),
        keypoint_scores=np.stack([person.scores for person in people]),
        visibility=np.stack([person.visibility for person in people]),
        track_ids=track_ids,
    )


def _oks(points: NDArray[np.float32], corrected: _Person, sigmas: NDArray[np.float64]) -> float:
    """Return how near a label was to its correction, as COCO measures it."""
    sides = np.maximum(corrected.box[2:] - corrected.box[:2], 1.0)
    return float(
        oks_matrix(
            points[None],
            None,
            corrected.points[None],
            sides.prod(keepdims=True),
            sigmas,
            corrected.visibility[None],
        )[0, 0]
    )
