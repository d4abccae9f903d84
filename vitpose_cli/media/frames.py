"""Frames and where they come from and go: the one path for photos and videos.

A `FrameSource` yields frames strictly in its own stable order; nobody behind it knows whether they
come from photos or a video. What cannot be read comes out as a `FrameFailure` in its place, so
that it is recorded and counted, never skipped in silence.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, order=True)
class FrameKey:
    """The name of a frame: stable over runs, machines and operating systems.

    Attributes:
        media: The file's path relative to the source, with forward slashes.
        index: The frame's decode index (0-based) in a video or animation; -1 for a photo.
    """

    media: str
    index: int = -1

    def __str__(self) -> str:
        """Return the path the frame has, or would have if it were extracted."""
        return self.media if self.index < 0 else f"{self.media}/frame_{self.index:06d}.jpg"


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        key: Its name.
        image: (H, W, 3) uint8 RGB, upright (EXIF or container rotation applied).
        time_s: Presentation time in seconds, None for a photo.
    """

    key: FrameKey
    image: NDArray[np.uint8]
    time_s: float | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the upright picture, px."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True)
class FrameFailure:
    """A frame that could not be read.

    Attributes:
        key: Its name.
        error: What is wrong with it, one sentence.
    """

    key: FrameKey
    error: str


class FrameSource(Protocol):
    """Where frames come from."""

    @property
    def expected(self) -> int | None:
        """How many frames there are; None while that is unknown (some videos)."""
        ...

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield every frame whose key is not in `skip`, in a stable order, decoding ahead."""
        ...

    def read(self, key: FrameKey) -> Frame:
        """Return one frame.

        Raises:
            InputError: The key is not of this source, or its file cannot be read.
        """
        ...


class FrameSink(Protocol):
    """Where drawn frames go."""

    def write(self, frame: Frame) -> None:
        """Write one frame, in order."""
        ...

    def close(self) -> None:
        """Finish: only now does the result appear under its final name."""
        ...
