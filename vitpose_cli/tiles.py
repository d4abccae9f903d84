"""Labelled people as tiles of one picture, for sheets and comparisons: what goes into each tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.records.media_root import MediaFolders, read_found


class Tiles(NamedTuple):
    """Tiles of one size, and what is written below them.

    Attributes:
        pictures: (H, W, 3) uint8 RGB each; black where the frame could not be read.
        captions: The name of each tile's frame, and why it could not be read.
        unread: The frames that could not be.
    """

    pictures: list[NDArray[np.uint8]]
    captions: list[str]
    unread: list[FrameFailure]


def read_tiles(
    keys: Sequence[FrameKey],
    places: Iterable[MediaFolders],
    size_wh: tuple[int, int],
    drawn: Callable[[int, Frame], NDArray[np.uint8]],
) -> Tiles:
    """Read the frames of tiles, one at a time, and draw the tiles.

    Args:
        keys: The frame of each tile, at least one.
        places: Where the frames may be.
        size_wh: Width and height of a tile, px.
        drawn: Returns a tile, by its place among `keys` and its frame.

    Raises:
        InputError: Frames are not found, or none can be read.
    """
    pictures = [np.zeros((size_wh[1], size_wh[0], 3), np.uint8) for _ in keys]
    captions = list(map(str, keys))
    tiles_of: dict[FrameKey, list[int]] = {}
    for place, key in enumerate(keys):
        tiles_of.setdefault(key, []).append(place)
    unread = []
    for frame in read_found(places, tiles_of):
        if isinstance(frame, FrameFailure):
            unread.append(frame)
            for place in tiles_of[frame.key]:
                captions[place] += f": {frame.error}"
            continue
        for place in tiles_of[frame.key]:
            pictures[place] = drawn(place, frame)
    if len(unread) == len(tiles_of):
        raise InputError(
            f"None of the pictures can be read, such as {unread[0].key}: {unread[0].error}",
            "Give the folder that they lie in with --images.",
        )
    return Tiles(pictures, captions, unread)
