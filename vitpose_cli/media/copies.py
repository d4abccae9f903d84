"""What drawn copies of photos and videos are called, and the folder that takes those of photos.

A copy has the name of its source, with the ending of what is written behind it where the source is
something else. It has that ending, too, where the name could be that of another source's copy:
`a.webp` gives `a.webp.jpg`, so `a.webp.jpg` gives `a.webp.jpg.jpg`. A name follows from that of its
source alone; one that no file system would take is cut, with a hash. To look which sources there
are was refused: they are more in a later call, and the copy of one would then lie where the copy of
another did.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path, PurePosixPath

from vitpose_cli.files import fitted_name
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.media.images import WRITTEN_SUFFIXES, ImageSink
from vitpose_cli.media.kinds import VIDEO_SUFFIXES

VIDEO_SUFFIX = ".mp4"
"""Of drawn copies of videos."""

_OTHER_PHOTOS = IMAGE_SUFFIXES.difference(WRITTEN_SUFFIXES)
_VIDEOS = VIDEO_SUFFIXES | {".webp"}


def photo_copy(media: str) -> str:
    """Return what the drawn copy of a photo is called, by its media name."""
    return _copy(media, WRITTEN_SUFFIXES[0], _OTHER_PHOTOS)


def video_copy(media: str) -> str:
    """Return what the drawn copy of a video or animation is called, by its media name."""
    return _copy(media, VIDEO_SUFFIX, _VIDEOS)


class CopySink(ImageSink):
    """A folder that takes drawn frames, those of photos under the names of `photo_copy`."""

    def __init__(self, folder: Path) -> None:
        """Write marked pictures below `folder`; see `ImageSink`."""
        super().__init__(folder, mark=True)

    def path(self, key: FrameKey) -> Path:
        """Return where the frame `key` goes.

        Raises:
            InputError: The name leads out of the folder.
        """
        return super().path(key if key.video else FrameKey(photo_copy(key.media)))

    def has(self, key: FrameKey) -> bool:
        """Return whether the frame `key` is there.

        Raises:
            InputError: The name leads out of the folder.
        """
        return self.path(key).exists()


def _copy(media: str, ending: str, renamed: Container[str]) -> str:
    """Return a name, with `ending` behind it if it has one of some suffixes before its endings."""
    start = media
    while start.endswith(ending):
        start = start.removesuffix(ending)
    if PurePosixPath(start).suffix.lower() not in renamed:
        return media
    path = PurePosixPath(media)
    return str(path.with_name(fitted_name(path.name, ending)))
