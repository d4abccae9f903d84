"""Photos with their true and their predicted people, as arrays: what measuring works on.

Photos with equally many of both are stacked, so that a million photos are measured by array
operations on thousands at a time, and no more than these are in memory. One photo after the other
was refused: nearly all of the time went into arrays of two people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.json_values import is_number
from vitpose_cli.records.whole_body import part_places

_PHOTOS_AT_ONCE = 2000
_SEGMENT_SHARE = 0.53
"""Of a person's box that the segment covers, where no area is known; mmpose does alike."""


class FailedPhoto(NamedTuple):
    """A photo that could not be labelled.

    Attributes:
        file_name: Its name.
        error: Why, one sentence.
    """

    file_name: str
    error: str


class Photo(NamedTuple):
    """A photo that is to be measured.

    Attributes:
        image_id: Whole number by which photos are sorted.
        truth: Its annotations, completed as by `read_coco`.
        found: (D, K, 2) float64 keypoints of the predicted people, x, y, frame px.
        scores: (D,) float64 their scores.
        areas: (D,) float64 their areas, frame px²; None for what their keypoints extend over, of
            whole bodies those of the body.
        failure: Why it could not be labelled; None where it could.
        missing: Whether the predictions do not have it; None where they do not list photos.
        categories: D category ids of the predicted people, as the ground truth has them, None for
            one that it lacks; None as a whole where the predictions do not tell categories apart.
        is_partial: Whether somebody is missing in `truth` who is on the photo, so that what is
            found there and is nobody of `truth` is not wrong.
        reviewed: Whether a person has reviewed what the predictions say of it.
    """

    image_id: int
    truth: Sequence[Mapping[str, Any]]
    found: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.float64] | None = None
    failure: FailedPhoto | None = None
    missing: bool | None = False
    categories: Sequence[int | None] | None = None
    is_partial: bool = False
    reviewed: bool = False


@dataclass(frozen=True, slots=True)
class PhotoBatch:
    """B photos with G true and D predicted people each, either of which may be none.

    Attributes:
        image_ids: (B,) int64.
        truth: (B, G, K, 3) float64 x, y in frame px, and COCO's visibility.
        boxes: (B, G, 4) float64 xywh, frame px.
        areas: (B, G) float64 object areas, frame px².
        head_sizes: (B, G) float64 what PCKh takes for the size of a head, frame px; NaN where the
            ground truth does not say.
        crowds: (B, G) bool.
        kinds: (B, G) int64 which category each is of, counted from 0; 0 for all where the
            predictions do not tell categories apart.
        found: (B, D, K, 2) float64 x, y, frame px.
        scores: (B, D) float64.
        found_areas: (B, D) float64, frame px².
        found_kinds: (B, D) int64 as `kinds`; -1 for a category that the ground truth lacks.
        partial: (B,) bool, whether somebody is on the photo who is not in `truth`.
    """

    image_ids: NDArray[np.int64]
    truth: NDArray[np.float64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    head_sizes: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    kinds: NDArray[np.int64]
    found: NDArray[np.float64]
    scores: NDArray[np.float64]
    found_areas: NDArray[np.float64]
    found_kinds: NDArray[np.int64]
    partial: NDArray[np.bool_]

    @property
    def num_labelled(self) -> int:
        """How many true people have a labelled keypoint."""
        return int((self.truth[..., 2] > 0).any(axis=-1).sum())

    def select(self, rows: NDArray[np.bool_]) -> PhotoBatch:
        """Return some of the photos, `rows` (B,)."""
        return PhotoBatch(*(getattr(self, field.name)[rows] for field in fields(self)))


def batches(
    photos: Iterable[Photo], keypoint_set: KeypointSet, bodies: Collection[int]
) -> Iterator[PhotoBatch]:
    """Yield all photos in stacks.

    Args:
        photos: In any order; all of them tell categories apart, or none.
        keypoint_set: Of truth and predictions.
        bodies: The ids of the categories that the ground truth has.
    """
    num_keypoints = keypoint_set.num_keypoints
    extent = part_places(keypoint_set).get("body", slice(None))
    kinds = {category: kind for kind, category in enumerate(sorted(bodies))}
    stream = iter(photos)
    while some := list(islice(stream, _PHOTOS_AT_ONCE)):
        alike: dict[tuple[int, int], list[Photo]] = defaultdict(list)
        for photo in some:
            alike[len(photo.truth), len(photo.scores)].append(photo)
        for (num_true, _), group in alike.items():
            people = [person for photo in group for person in photo.truth]
            shape = (len(group), num_true)
            yield PhotoBatch(
                image_ids=np.array([photo.image_id for photo in group], np.int64),
                truth=_array([person["keypoints"] for person in people], *shape, num_keypoints, 3),
                boxes=_array([person["bbox"] for person in people], *shape, 4),
                areas=_array([person_area(person) for person in people], *shape),
                head_sizes=_array([_head_size(person) for person in people], *shape),
                crowds=_array([person["iscrowd"] for person in people], *shape).astype(bool),
                kinds=np.array([_kinds(photo, kinds) for photo in group], np.int64),
                found=np.stack([photo.found for photo in group]),
                scores=np.stack([photo.scores for photo in group]),
                found_areas=np.stack([_found_areas(photo, extent) for photo in group]),
                found_kinds=np.array([_found_kinds(photo, kinds) for photo in group], np.int64),
                partial=np.array([photo.is_partial for photo in group]),
            )


def person_area(annotation: Mapping[str, Any]) -> float:
    """Return the area of a true person, frame px²; guessed from the box where the file has none."""
    area = annotation.get("area")
    if is_number(area):
        return area
    _, _, width, height = annotation["bbox"]
    return float(_SEGMENT_SHARE * width * height)


def _head_size(annotation: Mapping[str, Any]) -> float:
    size = annotation.get("head_size")
    return size if is_number(size) else np.nan


def _array(values: Sequence[Any], *shape: int) -> NDArray[np.float64]:
    return np.array(values, np.float64).reshape(shape)


def _kinds(photo: Photo, kinds: Mapping[int, int]) -> list[int]:
    if photo.categories is None:
        return [0] * len(photo.truth)
    return [kinds[person["category_id"]] for person in photo.truth]


def _found_kinds(photo: Photo, kinds: Mapping[int, int]) -> list[int]:
    if photo.categories is None:
        return [0] * len(photo.scores)
    return [-1 if one is None else kinds.get(one, -1) for one in photo.categories]


def _found_areas(photo: Photo, extent: slice) -> NDArray[np.float64]:
    if photo.areas is not None:
        return photo.areas
    areas: NDArray[np.float64] = np.ptp(photo.found[:, extent], axis=1).prod(axis=-1)
    return areas
