"""Frames and where they come from and go: the one path for photos and videos.

A `FrameSource` yields frames strictly in its own stable order; nobody behind it knows whether they
come from photos or a video. What cannot be read comes out as a `FrameFailure` in its place, so
that it is recorded and counted, never skipped in silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from threading import Condition
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

_FRAME_NAME = "/frame_"
_FRAME_SUFFIX = ".jpg"
_FLATTEST_PIXEL = 8  # what is stated to be flatter, or as much narrower, is a mistake


@dataclass(frozen=True, slots=True, order=True)
class FrameKey:
    """The name of a frame: stable over runs, machines and operating systems.

    Attributes:
        media: The file's path relative to the source, with forward slashes.
        index: The frame's decode index (0-based) in a video or animation; -1 for a photo.
    """

    media: str
    index: int = -1

    @property
    def video(self) -> str | None:
        """The video that the frame is of; None for a photo."""
        return self.media if self.index >= 0 else None

    @property
    def text(self) -> str:
        """The key as one text, which sorts like the key: a million of them take little room."""
        return key_text(self.media, self.index)

    @classmethod
    def from_text(cls, text: str) -> FrameKey:
        """Return the key that has this `text`."""
        media, separator, index = text.partition("\0")
        return cls(media, int(index) if separator else -1)

    @classmethod
    def of_video(cls, name: str) -> FrameKey | None:
        """Return the key of the frame of a video that is written so; None for another name."""
        media, _, number = name.rpartition(_FRAME_NAME)
        digits = number.removesuffix(_FRAME_SUFFIX)
        if not media or not (digits.isascii() and digits.isdecimal()):
            return None
        key = cls(media, int(digits))
        return key if str(key) == name else None

    @property
    def other_form(self) -> FrameKey | None:
        """The same frame as a photo that was extracted, or as one of the video; else None."""
        return FrameKey.of_video(self.media) if self.index < 0 else FrameKey(str(self))

    def __str__(self) -> str:
        """Return the path the frame has, or would have if it were extracted."""
        if self.index < 0:
            return self.media
        return f"{self.media}{_FRAME_NAME}{self.index:06d}{_FRAME_SUFFIX}"


def key_text(media: str, index: int) -> str:
    """Return the `text` of a key without making the key; see `FrameKey`."""
    return media if index < 0 else f"{media}\0{index:018d}"


def stored_aspect(stated: Fraction | None, flattest: float = _FLATTEST_PIXEL) -> float:
    """Return the width of pixels by their height as they are stored.

    Args:
        stated: What a file says; None or 0 where it does not, which counts as 1, as mistakes do.
        flattest: What is more, or less than its inverse, is a mistake.
    """
    aspect = float(stated or 1)
    return aspect if 1 / flattest <= aspect <= flattest else 1.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        key: Its name.
        image: (H, W, 3) uint8 RGB, upright (EXIF or container rotation applied).
        time_s: Presentation time in seconds, None for a photo.
        duration_s: For how long it is shown in its video, None where that is not known.
        pixel_aspect: Width of a pixel by its height, as it is shown.
    """

    key: FrameKey
    image: NDArray[np.uint8]
    time_s: float | None = None
    duration_s: float | None = None
    pixel_aspect: float = 1.0

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the upright picture, px."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def shown_wh(self) -> tuple[int, int]:
        """Width and height at which its pixels are square and none is lost, px."""
        (width, height), aspect = self.size_wh, self.pixel_aspect
        return round(width * max(1.0, aspect)), round(height * max(1.0, 1 / aspect))


@dataclass(frozen=True, slots=True)
class FrameFailure:
    """A frame that could not be read.

    Attributes:
        key: Its name.
        error: What is wrong with it, one sentence.
    """

    key: FrameKey
    error: str

    @classmethod
    def of_video(cls, key: FrameKey, error: InputError, path: Path) -> FrameFailure:
        """Return the failure of a frame of the video at `path`, which it calls as the frame does.

        A run may be moved, or labelled by several machines: where the video lies is told elsewhere.
        """
        return cls(key, error.message.replace(str(path), key.media))


@dataclass(frozen=True, slots=True)
class VideoEnd:
    """Where a video was found to end, by decoding as far as its options reach.

    Attributes:
        key: The frame that would have come next.
        num_frames: How many frames the options take before it.
        file_bytes: How large the file was before it was opened.
    """

    key: FrameKey
    num_frames: int
    file_bytes: int


class PhotoFile(Protocol):
    """Something that holds the bytes of a photo: a file, or what is like one in an archive."""

    def read_bytes(self) -> bytes:
        """Return all of them.

        Raises:
            OSError: It cannot be read.
            InputError: Nor can this, for a reason that no operating system knows.
        """
        ...


class FrameSource(Protocol):
    """Where frames come from."""

    @property
    def expected(self) -> int | None:
        """How many frames there are; None while that is unknown (some videos)."""
        ...

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield every frame whose key is not in `skip`, in a stable order, decoding ahead."""
        ...


class FrameReader(FrameSource, Protocol):
    """A source of which single frames can be had, too."""

    def read(self, key: FrameKey) -> Frame:
        """Return one frame.

        Raises:
            InputError: The key is not of this source, or its file cannot be read.
        """
        ...


class AllBut(Container[FrameKey]):
    """Every frame but a few: for reading just those. A video of which one is wanted is opened."""

    def __init__(self, wanted: Iterable[FrameKey]) -> None:
        """Take the frames to read."""
        self._wanted = frozenset(wanted)
        self._media = {key.media for key in self._wanted}

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, FrameKey):
            return False
        return key not in self._wanted and (key.index >= 0 or key.media not in self._media)


class FrameSink(Protocol):
    """Where drawn frames go."""

    def write(self, frame: Frame) -> None:
        """Write one frame, in order."""
        ...

    def close(self) -> None:
        """Finish: only now does the result appear under its final name."""
        ...


def prefetch(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_threads: int,
    ahead: int,
    release: Callable[[], None] | None = None,
) -> Generator[Result, None, None]:
    """Apply `function` to every item in threads, and yield the results in the items' order.

    Never more than `ahead` results are under way or waiting while the consumer works on one, so
    memory is bounded however long `items` is. What `function` raises comes out at its item's
    place and ends the generator. When the generator ends, is closed, or is dropped, nothing
    further is started, and the calls that were begun are waited for.

    Args:
        function: Runs in several threads at once; the interpreter's lock must be free in most of
            it (decoding, reading) for threads to help.
        items: Drawn from in the consumer's thread, only as far as needed.
        num_threads: At least 1.
        ahead: At least `num_threads` to keep every thread busy.
        release: Called at the end, before the calls are waited for: lets go whoever of them
            waits for the consumer.

    Calls are waited for, not threads: a generator that is dropped can be closed by the garbage
    collector in a thread that has just begun, which holds a lock that `Thread.join` takes.
    """
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="prefetch")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield _first(pending)
        while pending:
            yield _first(pending)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if release is not None:
            release()
        for future in pending:
            if not future.cancelled():
                future.exception()


def _first(pending: deque[Future[Result]]) -> Result:
    """Wait for the first one and take it away; it stays where the wait is interrupted."""
    result = pending[0].result()
    pending.popleft()
    return result


def drawn_ahead(items: Generator[Result, None, None], ahead: int) -> Generator[Result, None, None]:
    """Yield what `items` yields, drawn in a thread of its own; see `prefetch`.

    Args:
        items: Closed when this ends, after its thread.
        ahead: Most items that wait.
    """
    drawn = prefetch(_next, repeat(items), num_threads=1, ahead=ahead)
    with closing(items), closing(drawn):
        for item in drawn:
            if item is None:
                return
            yield item


def _next(items: Iterator[Result]) -> Result | None:
    return next(items, None)


class PixelBudget:
    """Bounds the pixels that threads decode ahead, where pictures may be of any size.

    Pictures enter in the order in which they will be wanted, so that the one that is waited for
    never waits itself behind those that come after it.
    """

    def __init__(self, num_pixels: int) -> None:
        """Allow pictures of `num_pixels` in all, or one that is larger."""
        self._limit = num_pixels
        self._held: dict[int, int] = {}
        self._next = 0
        self._closed = False
        self._changed = Condition()

    def take(self, place: int, num_pixels: int) -> None:
        """Wait for the turn of picture number `place`, from 0 on, and for its room.

        Every place is to be taken, if only with 0 pixels; a second time does nothing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._admits(place, num_pixels))
            if place == self._next:
                self._next += 1
                self._held[place] = num_pixels
                self._changed.notify_all()

    def give_back(self, place: int) -> None:
        """Say that picture number `place` has been handed on."""
        with self._changed:
            del self._held[place]
            self._changed.notify_all()

    def close(self) -> None:
        """Let everybody in: nobody will hand pictures on any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _admits(self, place: int, num_pixels: int) -> bool:
        if place != self._next:
            return place < self._next
        return not self._held or sum(self._held.values()) + num_pixels <= self._limit
