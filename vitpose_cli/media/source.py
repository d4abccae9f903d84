"""What a user names on the command line, as one source of frames.

Behind `open_source` nobody knows which folder, archive, video or URL a frame came from. What the
names stand for is looked up in `finding`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from vitpose_cli.errors import InputError
from vitpose_cli.media.finding import FoundMedia, find_media
from vitpose_cli.media.frames import (
    Frame,
    FrameFailure,
    FrameKey,
    FrameReader,
    PhotoFile,
    VideoEnd,
    prefetch,
)
from vitpose_cli.media.headers import HEADER_BYTES, MAX_PIXELS, first_look
from vitpose_cli.media.images import ImageFolder
from vitpose_cli.media.reading import read_start
from vitpose_cli.media.storage import Storage

if TYPE_CHECKING:
    from vitpose_cli.media.video import VideoFile, VideoOptions


def open_source(
    sources: Sequence[str],
    *,
    num_threads: int = 4,
    video: VideoOptions | None = None,
    max_pixels: int = MAX_PIXELS,
    roots: Sequence[Path] = (),
) -> MediaSource:
    """Find all photos and videos that `sources` name, as `find_media` does, and read from them.

    Args:
        sources: Folders, files, globs and `@list.txt` lists.
        num_threads: Photos decoded at once.
        video: Which frames of videos are taken; all of them by default.
        max_pixels: Larger photos come out as failures, before memory is taken for them.
        roots: What names may have been relative to before.

    Raises:
        InputError: A source is missing or unreadable, or there is no photo or video at all.
    """
    found = find_media(sources, roots)
    return MediaSource(found, num_threads=num_threads, video=video, max_pixels=max_pixels)


class MediaSource:
    """Photos and videos as one source of frames, photos first, then videos, in natural order.

    Attributes:
        root: The folder that media names are relative to.
        ignored: How many files of each other suffix were passed over.
    """

    def __init__(
        self,
        found: FoundMedia,
        *,
        num_threads: int,
        video: VideoOptions | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Take what was found; nothing is opened yet, but WebP files to see which are animations.

        Args:
            found: At least one file.
            num_threads: Photos decoded, and videos looked at, at once.
            video: Which frames of videos are taken; all of them by default.
            max_pixels: Larger photos come out as failures.
        """
        self.root = found.root
        self.ignored = found.ignored
        self._files = found.files
        self._storage = found.storage
        self._num_threads = num_threads
        self._photos: list[ImageFolder] = []
        self._videos: dict[str, VideoFile] = {}
        self._members: list[FrameReader] = []
        self._owners: dict[str, FrameReader] = {}
        for moving, group in groupby(found.files, key=found.files.is_video):
            if moving:
                for media in group:
                    path = self.path(media)
                    self._videos[media] = _open_video(path, media, video, found.storage)
                    self._adopt(self._videos[media], [media])
            else:
                files = found.files.only(group)
                self._photos.append(
                    ImageFolder(
                        files,
                        num_threads=num_threads,
                        max_pixels=max_pixels,
                        storage=found.storage,
                    )
                )
                self._adopt(self._photos[-1], files)

    def _adopt(self, member: FrameReader, names: Iterable[str]) -> None:
        self._members.append(member)
        self._owners |= dict.fromkeys(names, member)

    @property
    def media(self) -> tuple[str, ...]:
        """Names of all photos and videos, in order."""
        return tuple(self._owners)

    @property
    def expected(self) -> int | None:
        """How many frames there are; None while that is unknown for some video."""
        return _total(member.expected for member in self._members)

    @property
    def videos(self) -> tuple[str, ...]:
        """Names of all videos, in order."""
        return tuple(self._videos)

    def end(self, media: str) -> VideoEnd | FrameFailure | None:
        """Return where a video ends or breaks off; None for a photo, and until `frames` knows."""
        return self._videos[media].end if media in self._videos else None

    def file_bytes(self, media: str) -> int | None:
        """How large a video's file is now; None for a photo, and where that cannot be told."""
        return self._videos[media].file_bytes if media in self._videos else None

    def pixel_aspects(self) -> dict[str, float]:
        """Return the width of pixels by their height, as `Frame` has it, by media name.

        Those of all videos and photos whose pixels are not square, as far as they can be read.
        Only the first photo of a folder is looked at where its pixels are square, as they are in
        all but frames of videos; several files at a time.
        """
        photos: dict[str, list[str]] = {}
        for media in self.media:
            if media not in self._videos:
                photos.setdefault(media.rpartition("/")[0], []).append(media)
        found = self._not_square([*self._videos, *(each[0] for each in photos.values())])
        others = chain.from_iterable(each[1:] for each in photos.values() if each[0] in found)
        return found | self._not_square(list(others))

    def _not_square(self, names: Sequence[str]) -> dict[str, float]:
        """Return the shape of the pixels of those files in which they are not square."""
        num_threads = self._num_threads
        aspects = prefetch(self._pixel_aspect, names, num_threads=num_threads, ahead=num_threads)
        return {name: each for name, each in zip(names, aspects, strict=True) if each != 1}

    def _pixel_aspect(self, media: str) -> float:
        if media in self._videos:
            return self._videos[media].pixel_aspect
        header = None
        with suppress(OSError, InputError):
            header = first_look(read_start(self.file(media), HEADER_BYTES))
        return 1.0 if header is None else header.pixel_aspect

    def expected_of(self, media: Set[str]) -> int | None:
        """How many frames some of the files have; None while that is unknown for some video."""
        videos = media & self._videos.keys()
        in_videos = _total(self._videos[name].expected for name in videos)
        return None if in_videos is None else len(media) - len(videos) + in_videos

    @property
    def num_rotated(self) -> int:
        """How many photos had to be turned upright by their EXIF orientation so far."""
        return sum(photos.num_rotated for photos in self._photos)

    def part(self, media: Iterable[str]) -> FoundMedia:
        """Return some of the files, for a source of their own, in another process for example.

        Raises:
            KeyError: The source has no such file.
        """
        files = self._files.only(media)
        return FoundMedia(self.root, files, {}, self._storage.part(files.values()))

    def file(self, media: str) -> PhotoFile:
        """Return a photo's or video's file, also where it is a part of an archive or at a URL.

        Raises:
            KeyError: The source has no such file.
        """
        return self._files[media]

    def path(self, media: str) -> Path:
        """Return where a photo or video lies; an archive counts as a folder.

        Raises:
            KeyError: The source has no such file.
        """
        file = self._files[media]
        return file if isinstance(file, Path) else self.root / media

    def check_storage(self, media: str) -> None:
        """Make sure that a file which could not be read is alone in that.

        Raises:
            KeyError: The source has no such file.
            StorageGoneError: Its place is gone.
        """
        self._storage.check(self._files[media])

    def keys(self) -> list[FrameKey]:
        """Return the keys of all photos, in order, without touching a file.

        A video's frames are not among them: how many it has shows only when it is decoded.
        """
        return list(chain.from_iterable(photos.keys() for photos in self._photos))

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield every frame whose key is not in `skip`, file after file, decoding ahead.

        Raises:
            StorageGoneError: The place of a file is gone; all frames before it were yielded.
        """
        for member in self._members:
            yield from member.frames(skip)

    def read(self, key: FrameKey) -> Frame:
        """Return one frame.

        Raises:
            InputError: The key is not of this source, or its file cannot be read.
        """
        if key.media not in self._owners:
            raise InputError(f"There is no {key.media} below {self.root}.")
        return self._owners[key.media].read(key)


def _total(counts: Iterable[int | None]) -> int | None:
    """Return how many there are in all; None where one is not known."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _open_video(
    path: Path, media: str, options: VideoOptions | None, storage: Storage
) -> VideoFile:
    # Only here, so that labelling photos does not wait for FFmpeg's libraries to load.
    from vitpose_cli.media.video import VideoFile

    return VideoFile(path, media, options, storage)
