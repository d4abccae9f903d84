"""A video as a source of frames: which pictures are taken, how they are called, decoded ahead.

Decoding itself lives in `video_reader`. Nothing here jumps in the file while it labels: a frame's
name is its count from the start, and only counting from the start is right in every file. Pictures
that are left out are decoded (others build on them) but never converted to RGB.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Container, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey, VideoEnd, drawn_ahead
from vitpose_cli.media.picture import Picture
from vitpose_cli.media.storage import NOWHERE, Storage
from vitpose_cli.media.video_container import says_square
from vitpose_cli.media.video_cursor import PictureTimes, VideoCursor
from vitpose_cli.media.video_reader import open_reader
from vitpose_cli.ranges import check_types

AHEAD = 4
"""Converted frames held ready; a frame of 4K takes 25 MB."""

_INTERLACED = (
    "%s is interlaced: moving limbs show comb edges. Take these out first: "
    "ffmpeg -i IN -vf bwdif=0 OUT"
)
_TOLERANCE_S = 1e-3
"""Some formats round times to milliseconds: a picture at 0.9996 s is the one at 1 s."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """Which frames of a video are taken; all of them by default.

    Attributes:
        every: Take each n-th picture, counted from the file's start.
        fps: Take this many pictures a second at most: the first in each interval of 1/fps.
        start_s: Take pictures shown at or after this time, seconds from the file's start.
        end_s: Take pictures shown before this time.
        max_frames: Take no more than this many.
    """

    every: int = 1
    fps: float | None = None
    start_s: float = 0.0
    end_s: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: One is out of its range or of another type, or two exclude each other.
        """
        check_types(self)
        if self.every < 1:
            raise ConfigError(f"every is {self.every}, expected 1 or more.")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ConfigError(f"fps is {self.fps}, expected more than 0.")
        if self.fps is not None and self.every > 1:
            raise ConfigError("every and fps exclude each other.", "Give one of them.")
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise ConfigError(f"start is {self.start_s} s, expected 0 or more.")
        if self.end_s is not None and not self.end_s > self.start_s:
            raise ConfigError(f"end is {self.end_s} s, expected more than start, {self.start_s} s.")
        if self.max_frames is not None and self.max_frames < 1:
            raise ConfigError(f"max-frames is {self.max_frames}, expected 1 or more.")

    @property
    def cuts_the_end(self) -> bool:
        """Whether the frames may stop before the video does."""
        return self.end_s is not None or self.max_frames is not None


class VideoFile:
    """One video or animation as a source of frames.

    Attributes:
        end: Where the last pass of `frames` found that it ends, or the failure at which that pass
            came no further, also where `skip` held its key; None until then, and where it was not
            opened.
    """

    def __init__(
        self,
        path: Path,
        media: str,
        options: VideoOptions | None = None,
        storage: Storage = NOWHERE,
    ) -> None:
        """Name a video; the file is not touched yet.

        Args:
            path: Where it lies.
            media: The media name of its frames.
            options: Which frames to take.
            storage: The place of the file.
        """
        self.path = path
        self.media = media
        self.options = options or VideoOptions()
        self._storage = storage
        self._times = PictureTimes(path)
        self.end: VideoEnd | FrameFailure | None = None

    @property
    def file_bytes(self) -> int | None:
        """How large the file is now; None where that cannot be told."""
        try:
            return self.path.stat().st_size
        except OSError:
            return None

    @cached_property
    def pixel_aspect(self) -> float:
        """Width of its pixels by their height, that of all its frames; 1 where it has none.

        Pictures are decoded only where the header says that pixels are not square: whether they
        lie on their side, FFmpeg tells with the pictures alone.
        """
        with suppress(InputError):
            if says_square(self.path):
                return 1.0
            with closing(open_reader(self.path)) as reader:
                for picture in reader.pictures():
                    if picture.pixel_aspect != 1:  # else it is damaged
                        return picture.pixel_aspect
        return 1.0

    @cached_property
    def expected(self) -> int | None:
        """About how many frames will come, from the file's header; None where it says nothing."""
        try:
            with closing(open_reader(self.path)) as reader:
                num, duration_s = reader.num_pictures, reader.duration_s
        except InputError:
            return 1  # the failure
        if num is None or not duration_s:
            return num
        options = self.options
        end_s = duration_s if options.end_s is None else min(options.end_s, duration_s)
        taken_s = max(0.0, end_s - options.start_s)
        num = math.ceil(num * taken_s / duration_s / options.every)
        if options.fps is not None:
            num = min(num, math.ceil(taken_s * options.fps))
        return num if options.max_frames is None else min(num, options.max_frames)

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield the frames that the options take and `skip` does not hold, decoding ahead.

        A file that cannot be opened is a failure at index 0. Where a file breaks off, the frames
        before come, then one failure at the index where it stopped. A damaged picture in the
        middle is a failure, and so are those that build on it, up to the next whole one. Where
        `skip` holds the key of the video itself, without an index, the file is not opened.

        Raises:
            StorageGoneError: The place of the file is gone.
        """
        self.end = None
        if FrameKey(self.media) in skip:
            return
        yield from drawn_ahead(self._taken(skip), AHEAD)

    def read(self, key: FrameKey) -> Frame:
        """Return one frame, whether the options take it or not.

        The first call reads the times of all packets, without decoding; then each call decodes
        from the keyframe before. Where times and pictures do not match one to one, it decodes
        from the start of the file.

        Raises:
            InputError: The key is not of this video, or the frame cannot be decoded.
        """
        if key.media != self.media or key.index < 0:
            raise InputError(f"{key} is not a frame of {self.media}.")
        with closing(VideoCursor(self.path, self.media, self._times)) as cursor:
            return cursor.read(key.index)

    def _taken(self, skip: Container[FrameKey]) -> Generator[Frame | FrameFailure, None, None]:
        """Decode on and on. Runs in the thread that decodes ahead."""
        picker = _Picker(self.options)
        key = FrameKey(self.media, 0)
        told = False
        file_bytes = self.file_bytes
        try:
            with closing(open_reader(self.path)) as reader:
                for picture in reader.pictures():
                    if picture.interlaced and not told:
                        _log.warning(_INTERLACED, self.path)
                        told = True
                    if picker.takes(key.index, picture.time_s) and key not in skip:
                        yield _frame(key, picture)
                    key = FrameKey(self.media, key.index + 1)
                    if picker.done:
                        break
        except InputError as error:
            self._storage.check(self.path)
            self.end = FrameFailure.of_video(key, error, self.path)
            if key not in skip:
                yield self.end
            return
        if self.file_bytes != file_bytes:
            _log.warning("%s changed while it was read: the next call reads it again.", self.path)
        if file_bytes is not None:
            self.end = VideoEnd(key, picker.num_taken, file_bytes)


class _Picker:
    """Tells picture after picture whether the options take it."""

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self.num_taken = 0
        self._last_slot = -1
        self.done = False

    def takes(self, index: int, time_s: float) -> bool:
        """Return whether the picture `index`, shown at `time_s`, is taken."""
        options, time_s = self._options, time_s + _TOLERANCE_S
        if options.end_s is not None and time_s >= options.end_s:
            self.done = True
            return False
        if time_s < options.start_s or index % options.every:
            return False
        if options.fps is not None:
            slot = math.floor((time_s - options.start_s) * options.fps)
            if slot == self._last_slot:
                return False
            self._last_slot = slot
        self.num_taken += 1
        self.done = self.num_taken == options.max_frames
        return True


def _frame(key: FrameKey, picture: Picture) -> Frame | FrameFailure:
    try:
        return picture.frame(key)
    except InputError as error:
        return FrameFailure(key, error.message)
