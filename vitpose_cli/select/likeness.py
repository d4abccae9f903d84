"""How alike two frames are to a person who labels: by the pose in question, and by the picture.

Frames become points of a plain space, so that a varied choice is one of points far apart. Features
of the network were refused: they would need the network once more, and a file for each frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameFailure, FrameKey
from vitpose_cli.media.thumbnails import colour_thumbnail
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.media_root import MediaFolders

THUMBNAIL_SIDE = 8
_FARTHEST = 1.5  # body sizes; keypoints beyond are mistakes, whose distance says nothing
_REACH = 0.5  # of the usual distance of two frames
_SAMPLE = 512


def pose_vector(people: Instances, person: int) -> NDArray[np.float32]:
    """Return the pose of one person as a point (2K,): where keypoints are in the box.

    Args:
        people: Of a frame.
        person: Which one; beyond them, somebody whom the frame lacks, and who is a point of zeros.

    Returns:
        Distances from the box's centre in body sizes (root of the box's area), at most 1.5; 0 for
        keypoints of which nobody knows the place.
    """
    if person >= len(people):
        return np.zeros(2 * people.num_keypoints, np.float32)
    low, high = people.boxes[person].reshape(2, 2)
    size = max(1.0, float((high - low).prod())) ** 0.5
    steps = (people.keypoints[person] - (low + high) / 2) / size
    steps[~people.placed[person]] = 0
    return np.asarray(np.clip(steps, -_FARTHEST, _FARTHEST).ravel(), np.float32)


def appearances(
    folders: MediaFolders, keys: Sequence[FrameKey]
) -> tuple[NDArray[np.float32], list[FrameFailure]]:
    """Return frames as points by their colours, (F, 192), and those that could not be read.

    A frame that cannot be read is the mean of the others.

    Args:
        folders: What media names are relative to.
        keys: The frames.

    Raises:
        InputError: A media name leads out of the folder.
    """
    places = {key: place for place, key in enumerate(keys)}
    colours = np.full((len(keys), 3 * THUMBNAIL_SIDE**2), np.nan, np.float32)
    failures = []
    for frame in folders.read(keys):
        if isinstance(frame, FrameFailure):
            failures.append(frame)
        else:
            colours[places[frame.key]] = colour_thumbnail(frame.image, THUMBNAIL_SIDE).ravel()
    unread = np.isnan(colours[:, 0])
    colours[unread] = 0 if unread.all() else colours[~unread].mean(axis=0)
    return colours, failures


def joint_space(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return frames as points of one space in which every part counts alike.

    Args:
        parts: (F, D) each, in any unit.
    """
    scaled = []
    for part in parts:
        spread = float(np.sqrt(np.square(part - part.mean(axis=0)).sum(axis=1).mean()))
        scaled.append(part / (spread or 1.0))
    return np.concatenate(scaled, axis=1)


class Neighbourhood:
    """How near frames are to those that were chosen already, in (0, 1]: 1 for the very same."""

    def __init__(self, points: NDArray[np.float32], generator: np.random.Generator) -> None:
        """Measure the usual distance, on a sample of pairs.

        Args:
            points: (F, D), the frames.
            generator: Draws the sample.
        """
        self._points = points
        self._nearest = np.full(len(points), np.inf)
        first = generator.integers(0, len(points), _SAMPLE)
        second = (first + generator.integers(1, max(2, len(points)), _SAMPLE)) % len(points)
        usual = float(np.median(np.linalg.norm(points[first] - points[second], axis=1)))
        self._reach = _REACH * usual or 1.0

    @property
    def nearness(self) -> NDArray[np.float64]:
        """(F,) 0 where nothing was chosen."""
        return np.exp(-np.square(self._nearest / self._reach) / 2)

    def choose(self, frame: int) -> None:
        """Take note of a frame that is chosen."""
        distances = np.linalg.norm(self._points - self._points[frame], axis=1)
        np.minimum(self._nearest, distances, out=self._nearest)
