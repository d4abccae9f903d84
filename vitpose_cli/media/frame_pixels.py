"""The pixels of a decoded frame: its own colours, range and orientation made plain RGB."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import stored_aspect
from vitpose_cli.media.hdr import standard_range

_UNSPECIFIED_COLOUR = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720
"""Untagged video at least this tall is BT.709, below BT.601: what Chromium and mpv assume."""
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
_FULL_GREYS = np.clip((np.arange(256) - 16) * (255 / 219), 0, 255).round().astype(np.uint8)
"""By greys of limited range, in which 16 is black and 235 is white (ITU-R BT.601)."""


def upright_rgb(frame: VideoFrame, converter: VideoReformatter) -> NDArray[np.uint8]:
    """Convert a decoded frame to upright 8-bit RGB, by its own colour space, range and curve.

    Args:
        frame: A decoded frame.
        converter: One for all frames, as setting a conversion up costs as much as a frame.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: FFmpeg cannot convert this kind of pixels.
    """
    untagged_hd = frame.colorspace == _UNSPECIFIED_COLOUR and frame.height >= _HD_HEIGHT
    source = Colorspace.ITU709 if untagged_hd else None
    return _upright(stored_rgb(frame, converter, source), frame)


def stored_rgb(
    frame: VideoFrame, converter: VideoReformatter, source: Colorspace | None = None
) -> NDArray[np.uint8]:
    """Convert a decoded frame to 8-bit RGB as it is stored, by its own range and curve.

    Args:
        frame: A decoded frame.
        converter: One for all frames.
        source: Its colour space; None for what it says itself, which is BT.601 if it says nothing.

    Raises:
        InputError: FFmpeg cannot convert this kind of pixels.
    """
    try:
        rgb = converter.reformat(frame, format="rgb24", src_colorspace=source, threads=1)
        image = cast(NDArray[np.uint8], rgb.to_ndarray())
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"The picture cannot be converted from {frame.format.name}.") from error
    if frame.format.name.startswith("gray") and frame.color_range == _LIMITED_RANGE:
        image = cv2.LUT(image, _FULL_GREYS)  # FFmpeg takes all grey for full range
    return standard_range(image, frame.color_trc)


def upright_aspect(frame: VideoFrame, stated: Fraction | None) -> float:
    """Return the width of a decoded frame's pixels by their height, once it is upright.

    Args:
        frame: A decoded frame.
        stated: The same as the frame is stored; None or 0 where nothing says.
    """
    aspect = stored_aspect(stated)
    return 1 / aspect if aspect != 1 and _lies_on_side(frame) else aspect


def _lies_on_side(frame: VideoFrame) -> bool:
    """Return whether the rows of a decoded frame are columns once it is upright."""
    (a, b), _ = _display_matrix(frame)
    return abs(b) > abs(a)


def _upright(image: NDArray[np.uint8], frame: VideoFrame) -> NDArray[np.uint8]:
    """Apply the display matrix, to its nearest right angle."""
    (a, b), (c, d) = _display_matrix(frame)
    if _lies_on_side(frame):  # x' = c y, y' = b x
        image, flip_x, flip_y = cv2.transpose(image), c < 0, b < 0
    else:  # x' = a x, y' = d y
        flip_x, flip_y = a < 0, d < 0
    if flip_x or flip_y:
        image = cv2.flip(image, -1 if flip_x and flip_y else int(flip_x))
    return image


def _display_matrix(frame: VideoFrame) -> list[list[int]]:
    """Return what maps stored to shown pixels: [[a, b], [c, d]]."""
    try:
        data = bytes(cast("Mapping[str, Buffer]", frame.side_data)["DISPLAYMATRIX"])
    except KeyError:
        return [[1, 0], [0, 1]]
    matrix: list[list[int]] = np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].tolist()
    return matrix
