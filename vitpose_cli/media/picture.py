"""One picture of a video or an animation, and what every reader of such files can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import Frame, FrameKey

MAX_PICTURE_PIXELS = 500_000_000
"""Larger pictures are refused: no camera makes them. Of an animated WebP, all pictures together."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a video, decoded but not yet converted.

    Attributes:
        time_s: Presentation time in seconds since the file's start, as a player counts; later
            than that of the picture before.
        to_rgb: Return (H, W, 3) uint8 RGB, upright; raise `InputError` if the picture is damaged.
        pts: Presentation time in the file's own ticks, None where the file has none.
        interlaced: Whether it holds two half pictures of different moments.
        duration_s: For how long it is shown, None where the file does not say.
        pixel_aspect: Width of a pixel by its height once the picture is upright, as it is shown.
    """

    time_s: float
    to_rgb: Callable[[], NDArray[np.uint8]]
    pts: int | None = None
    interlaced: bool = False
    duration_s: float | None = None
    pixel_aspect: float = 1.0

    def frame(self, key: FrameKey) -> Frame:
        """Return it as the frame `key`.

        Raises:
            InputError: It is damaged.
        """
        return Frame(key, self.to_rgb(), self.time_s, self.duration_s, self.pixel_aspect)


class VideoReader(Protocol):
    """One open video or animation."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of a picture as it is stored, px: not turned upright yet."""
        ...

    @property
    def num_pictures(self) -> int | None:
        """How many pictures the file claims to have; an estimate, None where it says nothing."""
        ...

    @property
    def duration_s(self) -> float | None:
        """How long the file claims to be; an estimate, None where it says nothing."""
        ...

    def pictures(self, from_pts: int | None = None) -> Iterator[Picture]:
        """Yield pictures in the order they are shown.

        Args:
            from_pts: Begin at a keyframe shown at or before this time, instead of at the start.

        Raises:
            InputError: The file breaks off here, after the pictures yielded so far.
        """
        ...

    def all_pts(self) -> NDArray[np.int64] | None:
        """Return the time of every picture in the file's own ticks, in order, if it tells."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
