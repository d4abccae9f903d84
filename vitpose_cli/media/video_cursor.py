"""Frames of one video in the order in which a person looks at them.

`VideoFile.read` decodes from the keyframe before, each time anew: seconds for a frame of a video
with few keyframes. A person goes on frame by frame, and a list asks for a dozen neighbours in any
order; so here the file stays open where it was, and the frames passed on the way come out as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
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


class VideoCursor:
    """One video, open where it was last read. Not for several threads at once."""

    def __init__(self, path: Path, media: str) -> None:
        """Name a video; the file is not touched yet.

        Args:
            path: Where it lies.
            media: The media name of its frames.
        """
        self._path = path
        self._media = media
        self._reader: VideoReader | None = None
        self._pictures: Iterator[Picture] = iter(())
        self._next = 0  # the index of the next of them
        self._counting = False  # pictures and times do not match: count from the start

    def lead_up(self, index: int) -> Iterator[Frame]:
        """Yield up to `LEAD_UP` frames before the frame `index`, and that frame as the last.

        Raises:
            InputError: There is no such frame, or it cannot be decoded.
        """
        try:
            yield from self._lead_up(index)
        except InputError:
            self.close()
            if self._counting or self._all_pts is None:
                raise
            self._counting = True  # some formats jump too far, behind the last keyframe
            yield from self._lead_up(index)

    def close(self) -> None:
        """Close the file; it is opened again when the next frame is wanted."""
        self._pictures = iter(())
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _lead_up(self, index: int) -> Iterator[Frame]:
        if self._reader is None or not self._next <= index <= self._next + MAX_FORWARD:
            self._jump(max(0, index - LEAD_UP))
        for picture in self._pictures:
            number, self._next = self._next, self._next + 1
            self._check(number, picture)
            if number == index:
                yield picture.frame(FrameKey(self._media, number))
                return
            if index - number <= LEAD_UP:
                try:
                    frame = picture.frame(FrameKey(self._media, number))
                except InputError:
                    continue  # nobody has asked for it
                yield frame
        raise InputError(f"{self._path} has no frame {index}: it ends before.")

    def _jump(self, index: int) -> None:
        """Open the file anew, at the keyframe before `index` or at its start."""
        self.close()
        self._reader = open_reader(self._path)
        all_pts = None if self._counting else self._all_pts
        if all_pts is None or index >= len(all_pts):
            self._pictures, self._next = self._reader.pictures(), 0
            return
        pictures = self._reader.pictures(from_pts=int(all_pts[index]))
        first = next(pictures, None)
        if first is None or first.pts is None:
            raise InputError(f"{self._path}: there is no picture at frame {index}.")
        self._next = int(np.searchsorted(all_pts, first.pts))
        self._pictures = _with_first(first, pictures)

    def _check(self, number: int, picture: Picture) -> None:
        """Compare a picture's time with that of its number, where counting is not from the start.

        Raises:
            InputError: They do not match.
        """
        all_pts = self._all_pts
        if self._counting or all_pts is None:
            return
        if number >= len(all_pts) or picture.pts != all_pts[number]:
            raise InputError(f"{self._path}: frame {number} is not at its time.")

    @cached_property
    def _all_pts(self) -> NDArray[np.int64] | None:
        """The time of every picture, None where pictures can only be counted."""
        with closing(open_reader(self._path)) as reader:
            first = next(reader.pictures(), None)
        with closing(open_reader(self._path)) as reader:
            all_pts = reader.all_pts()
        # Two fields of a picture may come in one packet or in two.
        if first is None or first.interlaced or all_pts is None or first.pts != all_pts[0]:
            return None
        return all_pts


def _with_first(first: Picture, others: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from others
