"""Pixels of HEIC, as iPhones and others write photos.

FFmpeg decodes the pieces; here they are put together, cut and turned. That is part of decoding:
every program does it, and the EXIF orientation counts for nothing.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.heif_boxes import HeifLayout, cut, read_layout

SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Of such photos, in lower case."""

_HINT = "Copy it again from where it came; save it as JPEG if it looks right in a viewer."


def decode(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a photo to RGB as it is to be shown, 10 bits to 8.

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
        raise InputError("The HEIC is damaged, or of a rare kind.", _HINT) from error
    if layout.ends_at > len(data):
        raise InputError("The HEIC is cut off: its end is missing.", _HINT)
    pieces = _decoded(data, layout.items, max_pixels)
    image = _together(pieces, layout, max_pixels)
    for kind, content in layout.turns:
        if kind == b"clap":
            left, top, right, bottom = cut(content, (image.shape[1], image.shape[0]))
            image = image[max(top, 0) : bottom, max(left, 0) : right]
        elif kind == b"irot":
            image = np.rot90(image, content[0] & 3)
        else:
            image = image[:, ::-1] if content[0] & 1 else image[::-1]
    if image.size == 0:
        raise InputError("The HEIC is damaged: nothing is left of its photo.", _HINT)
    return np.ascontiguousarray(image)


def _decoded(data: bytes, items: tuple[int, ...], max_pixels: int) -> list[NDArray[np.uint8]]:
    """Return the pixels of items, in their order, each (H, W, 3)."""
    # Only here, so that photos of other kinds do not wait for FFmpeg's libraries to load.
    import av
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

    from vitpose_cli.media import ffmpeg_log
    from vitpose_cli.media.frame_pixels import stored_rgb

    ffmpeg_log.silence()
    found: dict[int, NDArray[np.uint8]] = {}
    converter = VideoReformatter()
    try:
        with av.open(
            io.BytesIO(data), mode="r", format="mov", metadata_errors="replace"
        ) as container:
            tracks = [track for track in container.streams.video if track.id in items]
            if len(tracks) < len(set(items)):
                raise InputError("The HEIC is damaged: a piece of its photo is missing.", _HINT)
            for track in tracks:
                track.codec_context.thread_count = 1  # photos are decoded side by side already
                track.codec_context.options = {"max_pixels": str(max_pixels)}
            for packet in container.demux(tracks):
                for frame in packet.decode():
                    if not isinstance(frame, VideoFrame) or frame.is_corrupt:
                        raise InputError("The HEIC is damaged.", _HINT)
                    found[packet.stream.id] = stored_rgb(frame, converter)
    except av.FFmpegError as error:
        raise InputError(f"The HEIC cannot be decoded: {error.strerror}.", _HINT) from error
    if len(found) < len(tracks):
        raise InputError("The HEIC is damaged: a piece of its photo has no pixels.", _HINT)
    return [found[item] for item in items]


def _together(
    pieces: list[NDArray[np.uint8]], layout: HeifLayout, max_pixels: int
) -> NDArray[np.uint8]:
    """Lay pieces out in rows and cut them to the size of the whole."""
    height, width = pieces[0].shape[:2]
    if len(pieces) == 1:
        whole = pieces[0]
    elif any(piece.shape != pieces[0].shape for piece in pieces):
        raise InputError("The HEIC is damaged: pieces of its photo have several sizes.", _HINT)
    else:
        rows = len(pieces) // layout.num_columns
        beyond = rows * height * layout.num_columns * width > 2 * max_pixels
        if beyond:
            raise InputError("The HEIC is damaged: its pieces are larger than its photo.", _HINT)
        grid = np.stack(pieces).reshape(rows, layout.num_columns, height, width, 3)
        whole = grid.swapaxes(1, 2).reshape(rows * height, -1, 3)
    width, height = layout.size_wh
    return whole[:height, :width]
