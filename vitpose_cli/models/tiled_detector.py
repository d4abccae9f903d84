"""A detector that looks at tiles of a frame, too, for small people in large frames.

A network sees a frame shrunk to its input: in a photo of 4000 px that is shown at 640 px, somebody
100 px high is 16 px high, and is not found. Here it sees tiles of a side that the user chooses, of
twice that side, of four times, and at last the whole frame. Neighbours share a quarter of a tile:
whoever is smaller than a fifth of one is whole in one of them, away from its edges, and whoever is
larger in one of the next level, where they are about a tenth of a tile or more. Who comes up to an
inner edge of a tile is cut there, whole elsewhere, and dropped; who was found in several looks is
kept once, of the best score.

Source of the idea, with tiles of one size: Akyon et al., "Slicing Aided Hyper Inference and
Fine-tuning for Small Object Detection" (ICIP 2022). Not taken over: that a box within another is
dropped, which cost people in crowds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitpose_cli.errors import is_out_of_memory
from vitpose_cli.media.frames import Frame
from vitpose_cli.models.detection import DETECTOR_FRAMES, DETECTOR_PIXELS, Detector
from vitpose_cli.pose.geometry import box_iou
from vitpose_cli.pose.instances import Detections

OVERLAP = 0.25
"""How much of a tile its neighbour shows, too."""

SAME_PERSON_IOU = 0.5
"""Boxes of two looks that overlap more may be of one person."""

_EDGE = 0.03
"""Boxes that end so near to an inner edge of a tile, by its longer side, are of people whom it
cuts: detectors end them a little before it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Part of a frame.

    Attributes:
        left: First column, px.
        top: First row, px.
        right: First column behind it, px.
        bottom: First row behind it, px.
    """

    left: int
    top: int
    right: int
    bottom: int

    def cut_from(self, frame: Frame) -> Frame:
        """Return this part of a frame, a view of its pixels."""
        return replace(frame, image=frame.image[self.top : self.bottom, self.left : self.right])

    def uncut(self, found: Detections, size_wh: tuple[int, int]) -> Detections:
        """Return who was found in the tile and is not cut by it, in px of the frame.

        Args:
            found: Boxes in px of the tile.
            size_wh: Width and height of the frame, px.
        """
        boxes = found.boxes + np.array([self.left, self.top] * 2, np.float32)
        near = _EDGE * max(self.right - self.left, self.bottom - self.top)
        low, high = np.array([self.left, self.top]), np.array([self.right, self.bottom])
        cut_low = (boxes[:, :2] < low + near) & (low > 0)
        cut_high = (boxes[:, 2:] > high - near) & (high < size_wh)
        return Detections(boxes, found.scores).select(~(cut_low | cut_high).any(axis=1))


class TiledDetector:
    """A detector that is shown tiles of every frame that is larger than one."""

    def __init__(self, detector: Detector, side: int, *, most: int | None = None) -> None:
        """Let a detector look closer.

        Args:
            detector: A network that finds boxes in any picture.
            side: Of the smallest tiles, px of the frame.
            most: Boxes of a frame larger than a tile that are kept, the best; None for all.
        """
        self._detector = detector
        self._side = side
        self._most = most

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame; see `Detector`."""
        found = self._detector.detect(frames)
        return [self._closer(*pair) for pair in zip(frames, found, strict=True)]

    def _closer(self, frame: Frame, whole: Detections) -> Detections:
        """Add to what was found in a whole frame what is found in its tiles.

        A frame's tiles share no batch with another's: its boxes do not depend on its neighbours.
        """
        looks = [whole]
        for tiles in levels_of(frame.size_wh, self._side):
            first = tiles[0]
            num_pixels = (first.right - first.left) * (first.bottom - first.top)
            at_once = max(1, min(DETECTOR_FRAMES, DETECTOR_PIXELS // num_pixels))
            for start in range(0, len(tiles), at_once):
                some = tiles[start : start + at_once]
                found = self._detect([tile.cut_from(frame) for tile in some])
                pairs = zip(some, found, strict=True)
                looks += [tile.uncut(each, frame.size_wh) for tile, each in pairs]
        return whole if len(looks) == 1 else _each_once(looks, self._most)

    def _detect(self, parts: list[Frame]) -> list[Detections]:
        """Detect in parts of a frame, one by one where memory has no room for all."""
        try:
            return self._detector.detect(parts)
        except Exception as error:
            if len(parts) == 1 or not is_out_of_memory(error):
                raise
        return [each for part in parts for each in self._detector.detect([part])]


def levels_of(size_wh: tuple[int, int], side: int) -> Iterator[list[Tile]]:
    """Yield the tiles of a frame: those of `side` px, of twice that, and so on.

    The whole frame is no tile, and all of one level are of one size.

    Args:
        size_wh: Width and height of the frame, px.
        side: Of the smallest tiles, px.
    """
    width, height = size_wh
    while max(width, height) > side:
        rows, columns = _spans(height, side), _spans(width, side)
        yield [Tile(left, top, right, bottom) for top, bottom in rows for left, right in columns]
        side *= 2


def _spans(length: int, side: int) -> list[tuple[int, int]]:
    """Return where tiles begin and end along one direction, at even distances."""
    if length <= side:
        return [(0, length)]
    shared = OVERLAP * side
    number = math.ceil((length - shared) / (side - shared))
    starts = np.linspace(0, length - side, number).round().astype(int).tolist()
    return [(start, start + side) for start in starts]


def _each_once(looks: Sequence[Detections], most: int | None) -> Detections:
    """Return the boxes of several looks at one frame, best first, those of one person once.

    Who is found in one look twice is two people, whom the detector tells apart: of every other
    look a box stands for the one that is most like it, and for no second.
    """
    boxes = np.concatenate([look.boxes for look in looks])
    scores = np.concatenate([look.scores for look in looks])
    look_of = np.repeat(np.arange(len(looks)), [len(look) for look in looks])
    gone = np.zeros(len(scores), bool)
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if gone[place]:
            continue
        if len(kept) == most:
            break
        kept.append(place)
        alike = box_iou(boxes[place, None], boxes)[0]
        same = np.flatnonzero((alike > SAME_PERSON_IOU) & (look_of != look_of[place]) & ~gone)
        same = same[np.argsort(-alike[same], kind="stable")]
        gone[same[np.unique(look_of[same], return_index=True)[1]]] = True
    return Detections(boxes, scores).select(np.array(kept, int))
