"""What OpenPose's files are called, and for which frames of a video there are some.

Readers sort files by the last number in their names and take the number of files for that of
frames, as OpenPose writes one for every frame of a video, whoever is in it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vitpose_cli.files import fitted_name
from vitpose_cli.formats.apart_names import ApartNames
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import safe_media_path

MAX_GAP = 1000
"""So many frames without labels are a gap in a series; more of them are between two series."""

ENDING = "_keypoints.json"
"""What the names of all files end in."""

_FOLDER = "_json"


class FrameFiles:
    """Which file each frame has, and none of them two."""

    def __init__(self, out: Path) -> None:
        """Take the folder that the files are in."""
        self._out = out
        self._folders: dict[PurePosixPath, PurePosixPath] = {}
        self._names = ApartNames()

    def path(self, key: FrameKey) -> Path:
        """Return the file of a frame: of a video `clip_json/clip_000000000123_keypoints.json`.

        Raises:
            InputError: The name leads out of the folder.
        """
        media = PurePosixPath(key.media)
        if key.index >= 0:
            name = fitted_name(media.stem, f"_{key.index:012d}{ENDING}")
            path = self._folder(media, media.stem) / name
        elif len(media.parts) > 1:
            folder = self._folder(media.parent, media.parent.name)
            path = self._names.give(folder / media.name, media.stem, ENDING)
        else:
            path = self._names.give(media, media.stem, ENDING)
        return safe_media_path(self._out, str(path))

    def _folder(self, source: PurePosixPath, stem: str) -> PurePosixPath:
        """Return the folder for the frames of a video, or for the photos of a folder."""
        if source not in self._folders:
            self._folders[source] = self._names.give(source, stem, _FOLDER)
        return self._folders[source]


class VideoSeries:
    """The frames of videos, one after the other, and the gaps before them.

    Attributes:
        num_gaps: Frames in gaps.
        is_partial: Whether a video has a longer gap than is filled, also before its first frame.
        first: The first frame that any video has, or 0 for a video without such a gap.
        last: The last one.
        longest_run: The most frames with labels that a video has in a row; 0 without videos.
    """

    def __init__(self) -> None:
        """Begin before the first frame."""
        self.num_gaps = 0
        self.is_partial = False
        self.first, self.last = -1, -1
        self.longest_run = self._run = 0
        self._before = FrameKey("")

    def gaps_before(self, key: FrameKey) -> list[FrameKey]:
        """Return the frames between the one before, or the start, and this one; none if many.

        Args:
            key: A frame; frames come in their order, photos among them.
        """
        before, self._before = self._before, key
        if key.index < 0:
            return []
        is_new = key.media != before.media
        gap = range(0 if is_new else before.index + 1, key.index)
        self._run = 1 if is_new or gap else self._run + 1
        self.longest_run = max(self.longest_run, self._run)
        if len(gap) > MAX_GAP:
            self.is_partial = True
            gap = range(key.index, key.index)
        if is_new:
            first = gap.start
            self.first = first if self.first < 0 else min(self.first, first)
        self.last = max(self.last, key.index)
        self.num_gaps += len(gap)
        return [FrameKey(key.media, index) for index in gap]
