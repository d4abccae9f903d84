"""How two sets of labels of the same frames differ: keypoint by keypoint, and where most.

People are paired frame by frame, the most alike first. What only one of the two knows (frames,
people, keypoints) is counted, and never taken for a distance.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.files import check_replaceable
from vitpose_cli.media.cutouts import cut_out
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import WRITTEN_SUFFIXES, ImageSink
from vitpose_cli.media.marks import is_marked
from vitpose_cli.media.mosaic import mosaic
from vitpose_cli.pose.geometry import box_areas, box_iou
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.pose.oks import best_pairs, oks_matrix, oks_terms
from vitpose_cli.ranges import check_types
from vitpose_cli.record_set import RecordSet, open_together
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.stated_sizes import check_same_size, check_size
from vitpose_cli.tiles import read_tiles

SAME_POSE = 0.3
"""The least OKS by which one person is known in both sets."""

SAME_BOX = 0.5
"""The least IoU by which those who are left are."""

TILE_WH = (240, 320)
_COLUMNS = 3
_GAP_PX = 4
_NO_DIFFERENCE = 0.9995  # OKS that is shown as 1.000
_COMPARED_AT_ONCE = 300_000  # keypoints of pairs of people; in a crowd there are many more
_FAR = 95  # percentile that stands for the long distances


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """What is compared.

    Attributes:
        first: A run folder or COCO file.
        second: Another one.
        num_worst: How many of the people who differ most are listed.
        picture: A .jpg or .png that shows them, first set on the left; None draws nothing.
        images: Where the photos and videos lie; None for where the sets say.

    Paths may be given as text.
    """

    first: Path
    second: Path
    num_worst: int = 20
    picture: Path | None = None
    images: Path | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)


@dataclass(frozen=True, slots=True)
class KeypointDifference:
    """How far apart the two sets put one keypoint, over all people who are in both.

    Attributes:
        name: The keypoint.
        num_both: People for whom both sets have it.
        num_first: For whom the first alone has it.
        num_second: For whom the second alone has it.
        median_px: Median distance, frame px; NaN where no set has it in both.
        far_px: 95th percentile of the distances.
        mean_oks: Mean OKS term, 0 to 1.
    """

    name: str
    num_both: int
    num_first: int
    num_second: int
    median_px: float
    far_px: float
    mean_oks: float


@dataclass(frozen=True, slots=True, order=True)
class WorstPerson:
    """Somebody on whom the sets differ, and who has a keypoint in both: sorts by OKS, then name.

    Attributes:
        oks: Likeness of the two poses, 0 to 1.
        key: The frame.
        first: Their place in the frame in the first set.
        second: In the second.
    """

    oks: float
    key: FrameKey
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Difference:
    """How two sets differ.

    Attributes:
        num_frames: Frames in both.
        num_frames_first: Frames in the first alone.
        num_frames_second: In the second alone.
        num_people: People in both.
        num_people_first: People of common frames who are in the first alone.
        num_people_second: In the second alone.
        mean_oks: Mean OKS of people in both who share a keypoint, 0 to 1; NaN where nobody does.
        keypoints: By keypoint.
        worst: Who differs most, most different first; nobody whose OKS is shown as 1.000.
    """

    num_frames: int
    num_frames_first: int
    num_frames_second: int
    num_people: int
    num_people_first: int
    num_people_second: int
    mean_oks: float
    keypoints: tuple[KeypointDifference, ...]
    worst: tuple[WorstPerson, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what cannot be measured is null."""
        fields = asdict(self)
        for row in (fields, *fields["keypoints"]):
            row.update({name: None for name, value in row.items() if value != value})
        fields["worst"] = [
            {"file_name": str(each.key), "oks": each.oks, "first": each.first,
             "second": each.second}
            for each in self.worst
        ]  # fmt: skip
        return fields


def compare(options: DiffOptions) -> Difference:
    """Compare two sets of labels, and draw where they differ most if that is wanted.

    Raises:
        InputError: A set cannot be read, they have different keypoints, no frame in common or one
            of two sizes, or pictures cannot be found, or written but in place of something else.
    """
    if options.picture is not None and options.picture.suffix.lower() not in WRITTEN_SUFFIXES:
        raise InputError(
            f"The worst cases cannot be drawn into {options.picture.name}.", "Name it .png or .jpg."
        )
    if options.picture is not None:
        check_replaceable(options.picture, is_marked)
    first, second = open_together((options.first, options.second))
    if first.keypoint_set.names != second.keypoint_set.names:
        raise InputError(f"{first.name} and {second.name} have different keypoints.")
    comparison = _Comparison(first.keypoint_set, options.num_worst)
    for one, other in paired(first.records(), second.records()):
        if one is not None and other is not None:
            check_same_size(one.key, (one.size_wh, other.size_wh), (first.name, second.name))
        comparison.add(one, other)
    found = comparison.result()
    if not found.num_frames:
        raise InputError(
            f"{first.name} and {second.name} have no frame in common.",
            "Frames are the same if their file names are, relative to what was labelled.",
        )
    if options.picture is not None and found.worst:
        _draw(found.worst, (first, second), options.picture, options.images)
    return found


def paired(
    first: Iterator[FrameRecord], second: Iterator[FrameRecord]
) -> Iterator[tuple[FrameRecord | None, FrameRecord | None]]:
    """Yield records of the same frame together, and None for what one set lacks.

    Failed and rejected frames are passed over. Both must be sorted by key.
    """
    usable_first, usable_second = filter(_is_usable, first), filter(_is_usable, second)
    one, other = next(usable_first, None), next(usable_second, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.key < other.key):
            yield one, None
            one = next(usable_first, None)
        elif one is None or other.key < one.key:
            yield None, other
            other = next(usable_second, None)
        else:
            yield one, other
            one, other = next(usable_first, None), next(usable_second, None)


def _is_usable(record: FrameRecord) -> bool:
    return record.instances is not None and not record.rejected


def pair_people(
    first: Instances, second: Instances, sigmas: NDArray[np.float64]
) -> list[tuple[int, int, float]]:
    """Pair the people of a frame by pose, then by box, the most alike first.

    Only keypoints that both have count. People who share none are paired by box alone.

    Returns:
        Places in both sets, and OKS; NaN for a pair without a common keypoint.
    """
    if not len(first) or not len(second):
        return []
    alike, share = np.empty((2, len(first), len(second)))
    num_rows = max(1, _COMPARED_AT_ONCE // second.visibility.size)
    for start in range(0, len(first), num_rows):
        rows = slice(start, start + num_rows)
        both = (first.visibility[rows] > 0)[:, None] & (second.visibility > 0)
        share[rows] = both.any(axis=-1)
        alike[rows] = oks_matrix(
            first.keypoints[rows],
            box_areas(first.boxes[rows]),
            second.keypoints,
            box_areas(second.boxes),
            sigmas,
            both,
        )
    pairs = best_pairs(alike, SAME_POSE)
    if len(pairs) < min(alike.shape):
        overlap = box_iou(first.boxes, second.boxes)
        for row, column in pairs:
            overlap[row], overlap[:, column] = 0, 0
        pairs += best_pairs(overlap, SAME_BOX)
    alike[share == 0] = np.nan
    return [(row, column, float(alike[row, column])) for row, column in pairs]


class _Comparison:
    """Counts and distances, frame after frame."""

    def __init__(self, keypoint_set: KeypointSet, num_worst: int) -> None:
        self._keypoint_set = keypoint_set
        self._num_worst = num_worst
        self._frames = [0, 0, 0]
        self._people = [0, 0, 0]
        self._similarities = array("f")
        self._distances = array("f")  # K for each person, NaN where a keypoint is not in both
        self._terms = np.zeros(keypoint_set.num_keypoints)
        self._alone = np.zeros((2, keypoint_set.num_keypoints), np.int64)
        self._worst: list[tuple[float, int, WorstPerson]] = []

    def add(self, first: FrameRecord | None, second: FrameRecord | None) -> None:
        """Take the labels of a frame, of those that `paired` yields."""
        one = None if first is None else first.instances
        other = None if second is None else second.instances
        if first is None or one is None or other is None:
            self._frames[1] += one is not None
            self._frames[2] += other is not None
            return
        self._frames[0] += 1
        pairs = pair_people(one, other, self._keypoint_set.sigmas)
        self._people[0] += len(pairs)
        self._people[1] += len(one) - len(pairs)
        self._people[2] += len(other) - len(pairs)
        if pairs:
            rows, columns, _ = map(list, zip(*pairs, strict=True))
            self._add_people(one, rows, other, columns)
        for row, column, oks in pairs:
            if np.isnan(oks):
                continue
            self._similarities.append(oks)
            if oks >= _NO_DIFFERENCE:
                continue
            person = WorstPerson(round(oks, 4), first.key, row, column)
            item = (-oks, len(self._similarities), person)
            if len(self._worst) < self._num_worst:
                heapq.heappush(self._worst, item)
            elif self._num_worst:
                heapq.heappushpop(self._worst, item)

    def _add_people(
        self, one: Instances, rows: list[int], other: Instances, columns: list[int]
    ) -> None:
        """Take the people of a frame who are in both sets, by their places in each."""
        seen = one.visibility[rows] > 0, other.visibility[columns] > 0
        both = seen[0] & seen[1]
        self._alone[0] += (seen[0] ^ both).sum(axis=0)
        self._alone[1] += (seen[1] ^ both).sum(axis=0)
        steps = one.keypoints[rows] - other.keypoints[columns]
        distances = np.hypot(steps[..., 0], steps[..., 1])
        areas = (box_areas(one.boxes[rows]) + box_areas(other.boxes[columns])) / 2
        terms = oks_terms(np.square(distances), areas, self._keypoint_set.sigmas)
        for person in np.where(both, terms, 0):  # one by one: sums are the same for any frames
            self._terms += person
        self._distances.frombytes(np.where(both, distances, np.float32(np.nan)).tobytes())

    def result(self) -> Difference:
        """Return what was found."""
        rows = []
        everybody = np.frombuffer(self._distances, np.float32)
        for keypoint, name in enumerate(self._keypoint_set.names):
            distances = everybody[keypoint :: self._keypoint_set.num_keypoints]
            distances = distances[~np.isnan(distances)]
            far = np.percentile(distances, [50, _FAR]) if len(distances) else (np.nan, np.nan)
            rows.append(
                KeypointDifference(
                    name,
                    len(distances),
                    int(self._alone[0, keypoint]),
                    int(self._alone[1, keypoint]),
                    float(far[0]),
                    float(far[1]),
                    float(self._terms[keypoint] / len(distances)) if len(distances) else np.nan,
                )
            )
        similarities = np.frombuffer(self._similarities, np.float32)
        return Difference(
            num_frames=self._frames[0],
            num_frames_first=self._frames[1],
            num_frames_second=self._frames[2],
            num_people=self._people[0],
            num_people_first=self._people[1],
            num_people_second=self._people[2],
            mean_oks=float(similarities.mean()) if len(similarities) else np.nan,
            keypoints=tuple(rows),
            worst=tuple(sorted(item[2] for item in self._worst)),
        )


def _draw(
    worst: Sequence[WorstPerson],
    sets: tuple[RecordSet, RecordSet],
    picture: Path,
    images: Path | None,
) -> None:
    """Write those who differ most as one picture, both labels of each side by side.

    Where a frame cannot be read any more, its people's tiles are black and say why.
    """
    keys = {person.key for person in worst}
    known = [*sets[0].folders(), *sets[1].folders()]
    labelled = [
        {
            record.key: (record.size_wh, record.instances)
            for record in each.records()
            if record.key in keys and record.instances is not None
        }
        for each in sets
    ]

    def drawn(place: int, frame: Frame) -> NDArray[np.uint8]:
        both = []
        rows = worst[place].first, worst[place].second
        for labels, found, row in zip(sets, labelled, rows, strict=True):
            size_wh, people = found[frame.key]
            check_size(frame.key, frame.size_wh, size_wh, labels.path)
            both.append(people.select([row]))
        return _side_by_side(frame.image, both, sets[0].keypoint_set)

    tiles = read_tiles(
        [person.key for person in worst],
        [MediaFolders.at(images)] if images else known,
        (2 * TILE_WH[0] + _GAP_PX, TILE_WH[1]),
        drawn,
    )
    # OKS last, as long captions are cut at their front.
    named = zip(tiles.captions, worst, strict=True)
    captions = [f"{name} OKS {person.oks:.3f}" for name, person in named]
    sheet = mosaic(tiles.pictures, captions, _COLUMNS)
    ImageSink(picture.parent, mark=True).write(Frame(FrameKey(picture.name), sheet))


def _side_by_side(
    image: NDArray[np.uint8], both: Sequence[Instances], keypoint_set: KeypointSet
) -> NDArray[np.uint8]:
    """Return one person twice, with the labels of each set."""
    boxes = np.concatenate([each.boxes for each in both])
    region = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    left, right = (cut_out(image, each, region, TILE_WH, keypoint_set) for each in both)
    gap = np.full((TILE_WH[1], _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)
