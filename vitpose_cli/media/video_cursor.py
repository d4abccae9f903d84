"""Frames of one video in any order, as a person looks at them, or whoever wants only a few.

Decoding begins at the keyframe before: seconds for a frame of a video with few keyframes. A person
goes on frame by frame, and a list asks for a dozen neighbours in any order; so the file stays open
where it was, and the frames passed on the way can come out as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.picture import Picture, VideoReader
from vitpose_cli.media.video_reader import open_reader

LEAD_UP = 8
"""Frames before the wanted one that come out with it."""

MAX_FORWARD = 250
"""Frames that are decoded on the way rather than jumped over."""


class PictureTimes:
    """When the pictures of a video are shown, looked up once for all who jump to them."""

    def __init__(self, path: Path) -> None:
        """Name a video; the file is not touched yet."""
        self._path = path

    @cached_property
    def all_pts(self) -> NDArray[np.int64] | None:
        """The time of every picture, in the file's ticks; None where pictures can only be counted.

        Raises:
            InputError: The file cannot be read.
        """
        with closing(open_reader(self._path)) as reader:
            first = next(reader.pictures(), None)
        with closing(open_reader(self._path)) as reader:
            all_pts = reader.all_pts()
        # Two fields of a picture may come in one packet or in two.
        if first is None or first.interlaced or all_pts is None or first.pts != all_pts[0]:
            return None
        return all_pts


class VideoCursor:
    """One video, open where it was last read. Not for several threads at once."""

    def __init__(self, path: Path, media: str, times: PictureTimes | None = None) -> None:
        """Name a video; the file is not touched yet.

        Args:
            path: Where it lies.
            media: The media name of its frames.
            times: When its pictures are shown; looked up if None.
        """
        self._path = path
        self._media = media
        self._times = times or PictureTimes(path)
        self._reader: VideoReader | None = None
        self._pictures: Iterator[Picture] = iter(())
        self._next = 0  # the index of the next of them
        self._counting = False  # pictures and times do not match: count from the start

    def read(self, index: int) -> Frame:
        """Return the frame `index`.

        Raises:
            InputError: There is no such frame, or it cannot be decoded.
        """
        (frame,) = self._up_to(index, 0)
        return frame

    def lead_up(self, index: int) -> Iterator[Frame]:
        """Yield up to `LEAD_UP` frames before the frame `index`, and that frame as the last.

        Raises:
            InputError: There is no such frame, or it cannot be decoded.
        """
        return self._up_to(index, LEAD_UP)

    def close(self) -> None:
        """Close the file; it is opened again when the next frame is wanted."""
        self._pictures = iter(())
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _up_to(self, index: int, num_before: int) -> Iterator[Frame]:
        """Yield some frames before one, and that one as the last, by its time or else its count."""
        try:
            yield from self._on_to(index, num_before)
        except InputError:
            self.close()
            if self._counts:
                raise
            self._counting = True  # some formats jump too far, behind the last keyframe
            try:
                yield from self._on_to(index, num_before)
            except InputError:
                self._counting = False  # the frame itself is to blame, not the jump
                self.close()
                raise

    def _on_to(self, index: int, num_before: int) -> Iterator[Frame]:
        farthest = math.inf if self._counts else self._next + MAX_FORWARD
        if self._reader is None or not self._next <= index <= farthest:
            self._jump(max(0, index - num_before))
            if self._next > index:  # to a keyframe that is shown a little later
                self._jump(max(0, index - LEAD_UP))
            if self._next > index:
                raise InputError(f"{self._path}: no jump leads to frame {index}.")
        for picture in self._pictures:
            number, self._next = self._next, self._next + 1
            self._check(number, picture)
            if number == index:
                yield picture.frame(FrameKey(self._media, number))
                return
            if index - number <= num_before:
                try:
                    frame = picture.frame(FrameKey(self._media, number))
                except InputError:
                    continue  # nobody has asked for it
                yield frame
        raise InputError(f"{self._path} has no frame {index}: it ends before.")

    @property
    def _counts(self) -> bool:
        """Whether pictures are known by their count from the start, not by their times."""
        return self._counting or self._times.all_pts is None

    def _jump(self, index: int) -> None:
        """Open the file anew, at the keyframe before `index` or at its start."""
        self.close()
        self._reader = open_reader(self._path)
        all_pts = self._times.all_pts
        if self._counting or all_pts is None or index >= len(all_pts):
            self._pictures, self._next = self._reader.pictures(), 0
            return
        pictures = self._reader.pictures(from_pts=int(all_pts[index]))
        first = next(pictures, None)
        if first is None or first.pts is None:
            raise InputError(f"{self._path}: there is no picture at frame {index}.")
        self._next = int(np.searchsorted(all_pts, first.pts))
        self._pictures = chain([first], pictures)

    def _check(self, number: int, picture: Picture) -> None:
        """Compare a picture's time with that of its number, where counting is not from the start.

        Raises:
            InputError: They do not match.
        """
        all_pts = self._times.all_pts
        if self._counting or all_pts is None:
            return
        if number >= len(all_pts) or picture.pts != all_pts[number]:
            raise InputError(f"{self._path}: frame {number} is not at its time.")
