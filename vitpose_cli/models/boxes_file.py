"""Boxes that somebody else found: those of a COCO file instead of a detector's.

Reading the file is in `records`; here frames are matched with its images. Names must be equal: to
guess at folders was refused, because the photo 1.jpg of one folder would get the boxes of another.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame
from vitpose_cli.models.detection import DetectorOptions, tidy
from vitpose_cli.plurals import counted
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.composed_names import ByName, plain
from vitpose_cli.records.results import given_boxes
from vitpose_cli.records.stated_sizes import check_size

_log = logging.getLogger(__name__)


class BoxesFile:
    """A detector that has read its boxes from a file.

    Attributes:
        threshold: Boxes scored below it are dropped; none are if nobody chose: the file has chosen.
        num_dropped: Boxes so far that had no area within their frame.
        are_scored: Whether the file scores boxes, as a detector does, which may have found somebody
            twice; without scores, each says that somebody is there.
    """

    def __init__(
        self,
        boxes: Mapping[str, Detections],
        path: Path,
        threshold: float | None = None,
        sizes_wh: Mapping[str, tuple[int, int]] | None = None,
        *,
        are_scored: bool = True,
    ) -> None:
        """Take boxes by file name.

        Args:
            boxes: Boxes of each image by its `file_name`: the text form of a frame's key.
            path: Where they are from, for errors.
            threshold: Least score; None takes all.
            sizes_wh: Width and height of images by `file_name`, px, where the file states them.
            are_scored: Whether the file scores boxes.
        """
        self.are_scored = are_scored
        self.threshold = -math.inf if threshold is None else threshold
        self.num_dropped = 0
        self._names = [*boxes]
        self._boxes = ByName(boxes)
        self._path = path
        self._sizes_wh = ByName(sizes_wh or {})

    @classmethod
    def open(cls, path: Path, options: DetectorOptions) -> BoxesFile:
        """Read a COCO annotation or results file.

        Of an annotation file, the wanted category's boxes are taken where one is wanted and the
        file has it, else all.

        Raises:
            InputError: The file is missing, damaged or something else.
        """
        category = options.classes[0] if len(options.classes) == 1 else None
        given = given_boxes(path, options.image_names, category)
        if given.num_others:
            left_out = counted(given.num_others, "box is", "boxes are")
            _log.warning("%s left out of %s: not of its category %r.", left_out, path, category)
        return cls(
            given.by_name, path, options.threshold, given.sizes_wh, are_scored=given.are_scored
        )

    def check(
        self,
        media: Sequence[str],
        hint: str = "Its file names (file_name of each result, which by ids alone means COCO's own "
        "photos) must be relative to the folder that is labelled.",
    ) -> None:
        """Make sure that the file is about these photos and videos; say how many it leaves out.

        Args:
            media: Their names, as in frame keys; nothing is checked if there are none.
            hint: What to do if it is not.

        Raises:
            InputError: The file names none of them.
        """
        names = {plain(name) for name in media}
        # A frame of a video is named as a file in a folder of the video's name.
        named = names.intersection(
            part for name in map(plain, self._names) for part in (name, name.rpartition("/")[0])
        )
        if names and not named:
            theirs = next((f"but {name!r}" for name in self._names), "nor any other")
            raise InputError(
                f"{self._path} names none of the photos to label: not {media[0]!r}, {theirs}.",
                hint,
            )
        if len(named) < len(names):
            other = next(name for name in media if plain(name) not in named)
            _log.warning(
                "%s has boxes for %s of %s photos and videos: nobody is labelled in the others, "
                "such as %r.",
                self._path,
                f"{len(named):,}",
                f"{len(names):,}",
                other,
            )

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame; none for frames that the file does not name.

        Raises:
            InputError: A frame has another size than the file states.
        """
        return [self._of(frame) for frame in frames]

    def _of(self, frame: Frame) -> Detections:
        given = self._boxes.get(str(frame.key))
        if given is None:
            return Detections.empty()
        check_size(frame.key, frame.size_wh, self._sizes_wh.get(str(frame.key)), self._path)
        kept = tidy(given.boxes, given.scores, self.threshold, frame.size_wh)
        num_dropped = int((given.scores >= self.threshold).sum()) - len(kept)
        if num_dropped and not self.num_dropped:
            _log.warning(
                "%s: a box without area within %s is left out, as are more like it.",
                self._path,
                frame.key,
            )
        self.num_dropped += num_dropped
        return kept
