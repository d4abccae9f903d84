"""What comes back from another program: frames as it calls them, with the people a person left.

Each format is read into this, whatever its coordinates and names; what it means for the labels of
a run is decided elsewhere, in one way for all formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.plurals import first_few
from vitpose_cli.pose.keypoint_names import keypoint_places
from vitpose_cli.records.coco_people import attributes_of
from vitpose_cli.records.record import ROUNDING_PX

SAME_NAMES = "It must have the keypoints of the run, by the same names."
"""What to do about a file with other keypoints."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedPerson:
    """A person as another program has them.

    Attributes:
        uid: The name that the person was exported with; empty where it got lost, or is new.
        points: (K, 2) float64 xy, frame px, in the order of the run's keypoints.
        visibility: (K,) int8, COCO's 0, 1, 2.
        box: (4,) float64 xyxy, frame px; None where the program keeps no boxes.
        track_id: Who it is over the frames of a video; None where nothing says.
    """

    uid: str
    points: NDArray[np.float64]
    visibility: NDArray[np.int8]
    box: NDArray[np.float64] | None
    track_id: int | None = None

    @property
    def extent(self) -> NDArray[np.float64] | None:
        """The smallest box (4,) round the labelled keypoints, None where there are none."""
        labelled = self.points[self.visibility > 0]
        if not len(labelled):
            return None
        return np.concatenate([labelled.min(axis=0), labelled.max(axis=0)])

    @property
    def is_somewhere(self) -> bool:
        """Whether anything tells where the person is."""
        return self.box is not None or self.extent is not None


@dataclass(frozen=True, slots=True)
class CorrectedFrame:
    """A frame as another program has it.

    Attributes:
        name: What the program calls it.
        size_wh: Width and height, px; None where nothing says.
        version: The version of the record that it was exported from; empty where it got lost.
        people: Everybody in it; nobody if a person removed them all.
    """

    name: str
    size_wh: tuple[int, int] | None
    version: str
    people: tuple[CorrectedPerson, ...]


@dataclass(frozen=True, slots=True)
class Corrections:
    """The content of a file from another program.

    Attributes:
        path: The file.
        frames: Only those that a person may have looked at.
        tolerance_px: Coordinates that differ by less are the same: the program rounds them.
        num_ignored: Shapes in the file that are no people with keypoints.
        num_left_behind: Keypoints that the program kept of people who were deleted there.
        other_labels: Labels of single points that are no keypoints of the run.
        repeated: Where people have a keypoint twice, one of which is left out, each in a few words.
        overruled: Tasks that several people labelled differently, of whom the last one counts.
        tells_hidden: Whether the program can say that a keypoint is hidden (v = 1); one that cannot
            calls all of them visible.
        missing_at_origin: Whether a keypoint without a place is written at (0, 0), and one that was
            within `tolerance_px` of it may still be there.
        without_folders: Whether the program wrote names without their folders.
        own_track_ids: Whether the program numbered identities anew.
    """

    path: Path
    frames: Sequence[CorrectedFrame]
    tolerance_px: float = ROUNDING_PX
    num_ignored: int = 0
    num_left_behind: int = 0
    other_labels: Sequence[str] = ()
    repeated: Sequence[str] = ()
    overruled: Sequence[str] = ()
    tells_hidden: bool = True
    missing_at_origin: bool = False
    without_folders: bool = False
    own_track_ids: bool = False


def order_in_file(path: Path, found: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return where in a file's list of keypoints each of the run's is, (K,).

    Names are compared as `keypoint_places` does: `left_hip` is `Left Hip`.

    Raises:
        InputError: Some are not there, or their names do not tell them apart.
    """
    try:
        places = keypoint_places(wanted, found)
    except InputError as error:
        raise InputError(f"{path}: {error}", error.hint) from error
    missing = [name for name, place in zip(wanted, places, strict=True) if place is None]
    if missing:
        raise InputError(f"{path} has no keypoints {first_few(missing)}.", SAME_NAMES)
    return np.array(places, np.int64)


def first_text(name: str, *places: Mapping[str, Any]) -> str:
    """Return an attribute where it is first found; some programs move attributes one level up."""
    for place in places:
        for fields in (attributes_of(place), place):
            value = fields.get(name)
            if isinstance(value, str) and value:
                return value
    return ""
