"""Label Studio's JSON export: what its annotators made of the tasks, as corrections.

Its COCO export was refused as a way back: it rounds to whole pixels, and makes one person of all
the keypoints in a picture. A keypoint that somebody drew without saying whose it is (`parentID`)
goes to the smallest rectangle round it that lacks such a keypoint.

Label Studio keeps the keypoints of a rectangle that is deleted, and takes their parent away. Their
ids still say whose they were: they are no reason to change anybody else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.formats.corrections import CorrectedFrame, CorrectedPerson, Corrections
from vitpose_cli.formats.keypoint_labels import KeypointLabels
from vitpose_cli.formats.labelstudio import HIDDEN, IMAGE, UIDS
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.json_values import is_int, to_json

_OWN_UID = re.compile(r"[0-9a-f]{16}")  # Label Studio's own ids have 10 characters
_UPLOAD = re.compile(r"/upload/.*/[0-9a-f]{8}-([^/]+)$")  # folders are lost in uploading


def read(path: Path, names: Sequence[str]) -> Corrections:
    """Read what Label Studio exports as JSON. Of several annotations of a task the newest counts.

    Tasks that nobody annotated, or skipped, are left out: predictions alone are no corrections.

    Args:
        path: The file.
        names: The K keypoints of the run.

    Raises:
        InputError: The file cannot be read, is something else, or has labels that could be several
            keypoints of the run, or are none and may stand for some.
    """
    reader = _Reader(names)
    frames, repeated, overruled = [], [], []
    for section, position, task in stream_items(path):
        if section != "" or (position is not None and not _is_task(task)):
            raise InputError(
                f"{path} is no export of Label Studio with annotations.",
                "Export the project as JSON (not JSON-MIN, CSV or COCO).",
            )
        annotation = None if position is None else _newest(task["annotations"])
        if annotation is not None:
            reader.repeated = []
            try:
                frames.append(reader.frame(task["data"], annotation["result"]))
            except InputError as error:
                where = f"{path}, task {task.get('id', position)}"
                raise InputError(f"{where}: {error}", error.hint) from error
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise InputError(
                    f"{path}, task {task.get('id', position)}: a region is damaged ({error!r}).",
                    "Export the project again as JSON.",
                ) from error
            where = f"task {task.get('id', position)}"
            repeated += [f"{where}: a person has {name!r} twice" for name in reader.repeated]
            if any(_labels(each) != _labels(annotation) for each in _given(task["annotations"])):
                overruled.append(where)
    reader.labels.check(path)
    return Corrections(
        path,
        frames,
        num_ignored=reader.num_ignored,
        num_left_behind=reader.num_left_behind,
        other_labels=reader.labels.others,
        repeated=repeated,
        overruled=overruled,
    )


def _is_task(task: Any) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations"), list)
    )


def _newest(annotations: Sequence[Any]) -> Mapping[str, Any] | None:
    """Return the annotation of a task that counts, None where there is none."""
    return max(
        _given(annotations),
        key=lambda each: str(each.get("updated_at") or each.get("created_at") or ""),
        default=None,
    )


def _given(annotations: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return the annotations of a task that somebody submitted."""
    return [
        each
        for each in annotations
        if isinstance(each, dict)
        and isinstance(each.get("result"), list)
        and not each.get("was_cancelled")
    ]


def _labels(annotation: Mapping[str, Any]) -> list[bytes]:
    """Return what an annotation says, in an order that does not depend on who wrote it.

    Whose keypoint it is counts where the person was exported; others have ids of each annotation.
    """
    regions = [each for each in annotation["result"] if isinstance(each, dict)]
    owners = [str(each.get("parentID")) for each in regions]
    return sorted(
        to_json([each.get("type"), each.get("value"), _OWN_UID.fullmatch(owner) and owner])
        for each, owner in zip(regions, owners, strict=True)
    )


@dataclass(slots=True, eq=False)
class _Figure:
    """A person while the regions of a task are gathered.

    Attributes:
        points: (K, 3) x, y, v, px.
        box: (4,) xyxy, px.
    """

    points: NDArray[np.float64]
    box: NDArray[np.float64]

    def has(self, place: int) -> bool:
        """Return whether a keypoint is there."""
        return bool(self.points[place : place + 1, 2].any())

    def takes(self, point: _Point) -> bool:
        """Return whether a keypoint lies in the box and is not there yet."""
        left, top, right, bottom = self.box
        inside = bool(left <= point.x <= right and top <= point.y <= bottom)
        return inside and not self.has(point.place)

    def take(self, point: _Point) -> None:
        self.points[point.place] = point.x, point.y, point.v

    @property
    def area(self) -> float:
        return float((self.box[2:] - self.box[:2]).prod())


class _Point(NamedTuple):
    """A keypoint, px, and its place among those of the run."""

    place: int
    x: float
    y: float
    v: int


class _Reader:
    """Reads the regions of task after task.

    Attributes:
        num_ignored: Regions that belong to no person.
        num_left_behind: Keypoints of people whose rectangle was deleted.
        labels: Those of all points.
        repeated: Names of keypoints that were left out, as their person has another of that name.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.num_ignored = self.num_left_behind = 0
        self.repeated: list[str] = []
        self.labels = KeypointLabels(names)

    def frame(
        self, data: Mapping[str, Any], regions: Sequence[Mapping[str, Any]]
    ) -> CorrectedFrame:
        """Return the people of one task."""
        regions = [region for region in regions if region.get("type") != "relation"]
        ours = data.get("vitpose")
        ours = ours if isinstance(ours, dict) else {}
        return CorrectedFrame(
            name=str(ours.get("frame") or _name_in(data)),
            size_wh=_size_wh(regions),
            version=str(ours.get("version") or ""),
            people=tuple(
                CorrectedPerson(
                    uid, figure.points[:, :2], figure.points[:, 2].astype(np.int8), figure.box
                )
                for uid, figure in self._figures(regions, _Exported(ours.get(UIDS))).items()
            ),
        )

    def _figures(
        self, regions: Sequence[Mapping[str, Any]], exported: _Exported
    ) -> dict[str, _Figure]:
        hidden = {
            region["id"]
            for region in regions
            if HIDDEN in region["value"].get("choices", ()) or region["value"].get("hidden")
        }
        figures: dict[str, _Figure] = {}
        for region in regions:
            if region["type"] == "rectanglelabels":
                nothing = np.zeros((len(self.labels.names), 3))
                figures[region["id"]] = _Figure(nothing, _corners(region))
            elif region["type"] not in ("keypointlabels", "choices"):
                self.num_ignored += 1
        left_behind: dict[str, list[_Point]] = defaultdict(list)
        free: list[_Point] = []
        relabelled: list[str] = []
        # Where a person has two of a name, the one that was exported as that is the first.
        for is_exported in (True, False):
            for region in regions:
                if region["type"] != "keypointlabels":
                    continue
                point = self._point(region, 1 if region["id"] in hidden else 2)
                owner = region.get("parentID") or exported.owner(region["id"])
                if (point is not None and region["id"] == f"{owner}-{point.place}") != is_exported:
                    continue
                if point is None:
                    self.num_ignored += 1
                    relabelled.append(region["id"])
                elif owner and owner not in figures:
                    left_behind[owner].append(point)
                elif not region.get("parentID"):
                    free.append(point)
                elif figures[owner].has(point.place):
                    self.num_ignored += 1
                    self.repeated.append(self.labels.names[point.place])
                else:
                    figures[owner].take(point)
        self.num_ignored += sum(not _give(figures.values(), [point]) for point in free)
        new = [figure for uid, figure in figures.items() if uid not in exported]
        for points in left_behind.values():
            if not _give(new, points):
                self.num_left_behind += len(points)
        for region_id in relabelled:
            owner, place = exported.keypoint(region_id)
            if owner and not (owner in figures and figures[owner].has(place)):
                self.labels.replace(place)
        return figures

    def _point(self, region: Mapping[str, Any], v: int) -> _Point | None:
        """Return a keypoint; None where the run has none of its name."""
        value = region["value"]
        place = self.labels.place(value["keypointlabels"][0])
        x, y = _pixels(region, value["x"], value["y"])
        return None if place is None else _Point(place, x, y, v)


class _Exported:
    """The people whom a task was exported with, by the ids of regions."""

    def __init__(self, uids: object) -> None:
        """Take what a task says of them; one that somebody made of ours may say nothing."""
        self._uids = uids if isinstance(uids, list) else ()

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids or _OWN_UID.fullmatch(uid) is not None

    def owner(self, region_id: str) -> str:
        """Return whose keypoint a region was exported as; empty for one that somebody drew."""
        return self.keypoint(region_id)[0]

    def keypoint(self, region_id: str) -> tuple[str, int]:
        """Return whose keypoint a region was exported as, and its place among those of the run."""
        uid, _, number = region_id.rpartition("-")
        return (uid, int(number)) if number.isdecimal() and uid in self else ("", 0)


def _give(figures: Iterable[_Figure], points: Sequence[_Point]) -> bool:
    """Give keypoints to the smallest person who takes all of them; return whether one does."""
    takers = [figure for figure in figures if all(map(figure.takes, points))]
    if takers:
        smallest = min(takers, key=lambda figure: figure.area)
        for point in points:
            smallest.take(point)
    return bool(takers)


def _pixels(region: Mapping[str, Any], x: float, y: float) -> tuple[float, float]:
    return x / 100 * region["original_width"], y / 100 * region["original_height"]


def _corners(region: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the box (4,) xyxy round a rectangle, which may be turned about its top left corner."""
    value = region["value"]
    corner = np.array(_pixels(region, value["x"], value["y"]))
    width, height = _pixels(region, value["width"], value["height"])
    angle = np.radians(value.get("rotation") or 0)
    along = width * np.array([np.cos(angle), np.sin(angle)])
    down = height * np.array([-np.sin(angle), np.cos(angle)])
    corners = corner + np.stack([0 * along, along, down, along + down])
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _size_wh(regions: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    for region in regions:
        width, height = region.get("original_width"), region.get("original_height")
        if is_int(width) and is_int(height):
            return width, height
    return None


def _name_in(data: Mapping[str, Any]) -> str:
    """Return the file that the URL of a task's picture names."""
    urls = [data.get(IMAGE), *data.values()]
    url = urlsplit(next((each for each in urls if isinstance(each, str)), ""))
    name = parse_qs(url.query).get("d", [unquote(url.path)])[0]
    uploaded = _UPLOAD.search(name)
    return uploaded[1] if uploaded else name.lstrip("/")
