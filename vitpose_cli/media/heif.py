"""Pixels of HEIC, as iPhones and others write photos, and of AVIF, as web sites do.

FFmpeg decodes the pieces; here they are put together, cut and turned. That is part of decoding:
every program does it, and the EXIF orientation counts for nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.av1_units import num_pictures
from vitpose_cli.media.heif_boxes import HeifLayout, Piece, cut, read_layout

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SUFFIXES = frozenset({".heic", ".heif", ".hif", ".avif"})
"""Of such photos, in lower case."""

_DECODERS = {b"hvc1": "hevc", b"av01": "libdav1d"}
_MAX_PICTURES = 8  # all are held at once; a piece has one, or up to four that refine each other
_HINT = "Copy it again from where it came; save it as JPEG if it looks right in a viewer."


def decode(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a photo to RGB as it is to be shown, 10 and 12 bits to 8.

    Args:
        data: The whole file.
        max_pixels: Refuse pieces that have more, whatever the file has said before.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: The photo is damaged, cut off or of a rare kind.
    """
    try:
        layout = read_layout(data)
    except (struct.error, LookupError, ValueError) as error:
        raise InputError("The photo is damaged, or of a rare kind.", _HINT) from error
    if layout.ends_at > len(data):
        raise InputError("The photo is cut off: its end is missing.", _HINT)
    image = _together(_decoded(data, layout, max_pixels), layout, max_pixels)
    for kind, content in layout.turns:
        if kind == b"clap":
            left, top, right, bottom = cut(content, (image.shape[1], image.shape[0]))
            image = image[max(top, 0) : bottom, max(left, 0) : right]
        elif kind == b"irot":
            image = np.rot90(image, content[0] & 3)
        else:
            image = image[:, ::-1] if content[0] & 1 else image[::-1]
    if image.size == 0:
        raise InputError("The photo is damaged: nothing is left of it.", _HINT)
    return np.ascontiguousarray(image)


def _decoded(data: bytes, layout: HeifLayout, max_pixels: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of the pieces, in their order, each (H, W, 3)."""
    # Only here, so that photos of other kinds do not wait for FFmpeg's libraries to load.
    import av
    from av.video.reformatter import VideoReformatter

    from vitpose_cli.media import ffmpeg_log
    from vitpose_cli.media.frame_pixels import stored_rgb

    ffmpeg_log.silence()
    converter = VideoReformatter()
    for piece in layout.pieces:
        try:
            frame = _frame(data, piece, max_pixels)
        except av.FFmpegError as error:
            raise InputError(f"The photo cannot be decoded: {error.strerror}.", _HINT) from error
        if layout.colours is not None:
            frame.color_trc, frame.colorspace, is_full_range = layout.colours
            frame.color_range = 2 if is_full_range else 1  # AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG
        yield stored_rgb(frame, converter)


def _frame(data: bytes, piece: Piece, max_pixels: int) -> VideoFrame:
    """Return a piece as it is decoded.

    Raises:
        InputError: It is damaged.
        av.FFmpegError: So FFmpeg says.
    """
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

    decoder = cast(VideoCodecContext, VideoCodecContext.create(_DECODERS[piece.kind], "r"))
    decoder.thread_count = 1  # photos are decoded side by side already
    decoder.options = {"max_pixels": str(max_pixels)}
    start, stop = piece.configuration
    decoder.extradata = data[start:stop]
    encoded = b"".join(data[start:stop] for start, stop in piece.extents)
    if piece.kind == b"av01" and num_pictures(encoded) > _MAX_PICTURES:
        raise InputError("The photo is damaged: a piece of it has too many pictures.", _HINT)
    frames = [*decoder.decode(Packet(encoded)), *decoder.decode()]
    if not frames or frames[-1].is_corrupt:
        raise InputError("The photo is damaged: a piece of it has no pixels.", _HINT)
    return frames[-1]


def _together(
    pieces: Iterator[NDArray[np.uint8]], layout: HeifLayout, max_pixels: int
) -> NDArray[np.uint8]:
    """Lay pieces out in rows and cut them to the size of the whole."""
    first = next(pieces)
    width, height = layout.size_wh
    if len(layout.pieces) == 1:
        return first[:height, :width]
    down, across = first.shape[:2]
    all_down = len(layout.pieces) // layout.num_columns * down
    all_across = layout.num_columns * across
    fits = all_down >= height and all_across >= width
    if not fits or all_down * all_across > 2 * max_pixels:
        raise InputError("The photo is damaged: its pieces have another size than it has.", _HINT)
    whole = np.empty((all_down, all_across, 3), np.uint8)
    for place, piece in enumerate(chain([first], pieces)):
        if piece.shape != first.shape:
            raise InputError("The photo is damaged: its pieces have several sizes.", _HINT)
        top, left = place // layout.num_columns * down, place % layout.num_columns * across
        whole[top : top + down, left : left + across] = piece
    return whole[:height, :width]
