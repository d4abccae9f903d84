"""A few frames out of many: those at given keys, wherever among photos and videos they are.

`FrameSource.frames` passes over everything in order, which is right for a run and wrong for two
hundred frames out of a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import ImageFolder


def read_frames(
    paths: Mapping[str, Path], keys: Iterable[FrameKey]
) -> Iterator[Frame | FrameFailure]:
    """Yield frames sorted by key; photos are decoded ahead, videos opened once.

    Args:
        paths: Where each photo and video lies, by its media name; archives count as folders.
        keys: The frames wanted, of media in `paths`.
    """
    for is_photo, group in groupby(
        sorted(keys, key=lambda key: (key.video is not None, key)), lambda key: key.video is None
    ):
        if is_photo:
            files = {key.media: photo_at(paths[key.media]) or paths[key.media] for key in group}
            yield from ImageFolder(files).frames()
        else:
            for media, frames in groupby(group, lambda key: key.media):
                yield from _of_video(paths[media], media, frames)


def _of_video(path: Path, media: str, keys: Iterable[FrameKey]) -> Iterator[Frame | FrameFailure]:
    # Only here, so that reading photos does not wait for FFmpeg's libraries to load.
    from vitpose_cli.media.video_cursor import VideoCursor

    cursor = VideoCursor(path, media)
    try:
        for key in keys:
            try:
                *_, frame = cursor.lead_up(key.index)
                yield frame
            except InputError as error:
                yield FrameFailure(key, error.message)
    finally:
        cursor.close()
