"""The pictures of a run, found again for the page: where they lie, whole and as thumbnails.

A picture is asked for by the key of a frame that the run has, never by a path, and leaves here
only as a freshly encoded JPEG: what is no picture cannot leave at all, and the browser shows the
very pixels that labels refer to, upright, whatever it thinks of EXIF, CMYK or TIFF. Searching
the sources anew with `open_source` was refused: at 100,000 photos it takes seconds before the
first one is seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageFolder
from vitpose_cli.media.previews import encode_preview
from vitpose_cli.records.media_root import MediaFolders

if TYPE_CHECKING:
    from vitpose_cli.media.video_cursor import VideoCursor

    _Video = tuple[VideoCursor, Lock]

MAX_SIDE = 8192
"""Larger pictures are shown smaller; labels keep their own pixels."""

THUMBNAIL_SIDE = 160
_QUALITY = 93
_THUMBNAIL_QUALITY = 80
_CACHE_BYTES = 96 << 20
_MAX_OPEN_VIDEOS = 8


class PictureReader:
    """The pictures below some folders, each by its frame's key. For several threads at once."""

    def __init__(self, folders: MediaFolders, *, follow_links: bool = False) -> None:
        """Take the folders; nothing is opened yet.

        Args:
            folders: The folders that media names are relative to.
            follow_links: Show pictures that a link inside of a folder leads out of it for.
        """
        self._folders = folders
        self._follow_links = follow_links
        self._whole = _Pictures(MAX_SIDE, _QUALITY, _CACHE_BYTES)
        self._small = _Pictures(THUMBNAIL_SIDE, _THUMBNAIL_QUALITY, _CACHE_BYTES)
        self._videos: OrderedDict[str, _Video] = OrderedDict()
        self._mutex = Lock()

    def picture(self, key: FrameKey) -> bytes:
        """Return a whole picture as JPEG.

        Raises:
            InputError: It lies outside of the folder, is missing, or cannot be decoded.
        """
        return self._whole.get(key) or self._read(key, self._whole)

    def thumbnail(self, key: FrameKey) -> bytes:
        """Return a small picture as JPEG.

        Raises:
            InputError: See `picture`.
        """
        return self._small.get(key) or self._read(key, self._small)

    def size_wh(self, key: FrameKey) -> tuple[int, int]:
        """Return width and height of the upright picture, px.

        Raises:
            InputError: See `picture`.
        """
        stored, path = self._found(key)
        if stored.video is None:
            return _photo(stored, path).size_wh
        with self._video(stored, path) as cursor:
            return cursor.read(stored.index).size_wh

    def _read(self, key: FrameKey, size: _Pictures) -> bytes:
        """Decode a picture and keep it in the cache of one size.

        Of a video both sizes are kept of every frame on the way: to come back for them costs more.
        """
        stored, path = self._found(key)
        if stored.video is None:
            return size.keep(_photo(stored, path, size.max_side))
        with self._video(stored, path) as cursor:
            known = size.get(key)  # another thread may have passed by
            if known is not None:
                return known
            for frame in cursor.lead_up(stored.index):
                encoded = {each: each.keep(frame) for each in (self._whole, self._small)}
        return encoded[size]

    def _found(self, key: FrameKey) -> tuple[FrameKey, Path]:
        """Return the key by which a frame is read, and where its photo or video lies."""
        (stored,) = self._folders.stored_keys([key], follow_links=self._follow_links)
        if stored is None:
            raise InputError(f"{key} is not in {self._folders}.")
        return stored, self._folders.path(stored.media, follow_links=self._follow_links)

    @contextmanager
    def _video(self, key: FrameKey, path: Path) -> Iterator[VideoCursor]:
        """Lend the open video of a frame to one thread."""
        # Only here, so that reviewing photos does not wait for FFmpeg's libraries to load.
        from vitpose_cli.media.video_cursor import VideoCursor

        with self._mutex:
            video = self._videos.pop(key.media, None) or (VideoCursor(path, key.media), Lock())
            self._videos[key.media] = video
            while len(self._videos) > _MAX_OPEN_VIDEOS:
                self._videos.popitem(last=False)
        cursor, turn = video
        with turn:
            yield cursor


def _photo(key: FrameKey, path: Path, least_side: int | None = None) -> Frame:
    return ImageFolder({key.media: photo_at(path) or path}).read(key, least_side=least_side)


class _Pictures:
    """Encoded pictures of one size, the least recently used of which make room.

    By what they are called: a frame of a video is the same where it was extracted.
    """

    def __init__(self, max_side: int, quality: int, max_bytes: int) -> None:
        self.max_side = max_side
        self._quality = quality
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._items: OrderedDict[str, bytes] = OrderedDict()
        self._mutex = Lock()

    def get(self, key: FrameKey) -> bytes | None:
        with self._mutex:
            name = str(key)
            if name not in self._items:
                return None
            self._items.move_to_end(name)
            return self._items[name]

    def keep(self, frame: Frame) -> bytes:
        data = encode_preview(frame.image, self.max_side, self._quality)
        with self._mutex:
            name = str(frame.key)
            self._num_bytes += len(data) - len(self._items.pop(name, b""))
            self._items[name] = data
            while self._num_bytes > self._max_bytes and len(self._items) > 1:
                self._num_bytes -= len(self._items.popitem(last=False)[1])
        return data
