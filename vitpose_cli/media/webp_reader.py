"""The pictures of an animated WebP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.files import reason_of
from vitpose_cli.media.picture import MAX_PICTURE_PIXELS, Picture

_WEBP_CANVAS_AT = (24, 27)  # width and height less one, 24 bits each
_WEBP_FRAME = b"ANMF"

_AT_ONCE_MS, _INSTEAD_MS = 10, 100
"""Pictures that are to be seen for no longer are seen for so long, as in browsers."""


class WebpReader:
    """An animated WebP, which FFmpeg cannot decode, through OpenCV. It is held in memory whole."""

    def __init__(self, path: Path) -> None:
        """Decode `path`.

        Raises:
            InputError: The animation is damaged.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {reason_of(error)}.") from error
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in _WEBP_CANVAS_AT)
        if width * height * data.count(_WEBP_FRAME) > MAX_PICTURE_PIXELS:
            raise InputError(f"{path} has more pixels in all than are held in memory.")
        row = np.frombuffer(data, np.uint8)[np.newaxis]  # OpenCV 4 takes no column for WebP
        damaged = InputError(f"{path} is an animated WebP that cannot be decoded: it is damaged.")
        try:
            done, animation = cv2.imdecodeanimation(row)
        except cv2.error as error:
            raise damaged from error
        if not done or not len(animation.frames):
            raise damaged
        self._frames = animation.frames
        durations_ms = np.array(animation.durations, np.float64)
        durations_ms[durations_ms <= _AT_ONCE_MS] = _INSTEAD_MS
        self._ends_s = np.cumsum(durations_ms) / 1000

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of a picture, px."""
        return self._frames[0].shape[1], self._frames[0].shape[0]

    @property
    def num_pictures(self) -> int:
        """How many pictures there are."""
        return len(self._frames)

    @property
    def duration_s(self) -> float:
        """How long one round takes."""
        return float(self._ends_s[-1])

    def pictures(self, from_pts: int | None = None) -> Iterator[Picture]:
        """Yield the pictures of one round, from the start."""
        start_s = 0.0
        for frame, end_s in zip(self._frames, self._ends_s.tolist(), strict=True):
            yield Picture(start_s, partial(_bgr_to_rgb, frame), duration_s=end_s - start_s)
            start_s = end_s

    def all_pts(self) -> None:
        """Return nothing: a jump would gain nothing."""
        return

    def close(self) -> None:
        """Release the pictures."""
        self._frames = ()


def _bgr_to_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, code)
    return rgb
