"""A few frames out of many: those at given keys, wherever among photos and videos they are.

`FrameSource.frames` passes over everything in order, which is right for a run and wrong for two
hundred frames out of a million.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import ImageFolder


@dataclass(frozen=True, slots=True)
class ListedFrames:
    """Frames at given keys; a `FrameSource`.

    Attributes:
        paths: Where each photo and video lies, by its media name; archives count as folders.
        keys: The frames, of media in `paths`.
        num_threads: Photos decoded at once.
    """

    paths: Mapping[str, Path]
    keys: Sequence[FrameKey]
    num_threads: int = 4

    @property
    def expected(self) -> int:
        """How many frames there are."""
        return len(self.keys)

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield the frames that are not in `skip`, sorted by key, photos first."""
        wanted = (key for key in self.keys if key not in skip)
        return read_frames(self.paths, wanted, self.num_threads)


def read_frames(
    paths: Mapping[str, Path], keys: Iterable[FrameKey], num_threads: int = 4
) -> Iterator[Frame | FrameFailure]:
    """Yield frames sorted by key; photos are decoded ahead, videos opened once.

    Args:
        paths: Where each photo and video lies, by its media name; archives count as folders.
        keys: The frames wanted, of media in `paths`.
        num_threads: Photos decoded at once.
    """
    for is_photo, group in groupby(
        sorted(keys, key=lambda key: (key.video is not None, key)), lambda key: key.video is None
    ):
        if is_photo:
            files = {key.media: photo_at(paths[key.media]) or paths[key.media] for key in group}
            yield from ImageFolder(files, num_threads=num_threads).frames()
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
                yield cursor.read(key.index)
            except InputError as error:
                yield FrameFailure.of_video(key, error, path)
    finally:
        cursor.close()
