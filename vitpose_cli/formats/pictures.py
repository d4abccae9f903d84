"""The photos and video frames that go with labels, put where a format needs them.

Photos are linked unless copies are asked for: a large set is on the disk once. Frames of videos
are decoded, since no program but ours takes `clip.mp4/frame_000123.jpg` out of a video.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from vitpose_cli.errors import InputError
from vitpose_cli.files import (
    atomic_file,
    has_long_name,
    is_file,
    read_error,
    reason_of,
    write_error,
)
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.new_files import NewFiles
from vitpose_cli.formats.written import Placing, WriteOptions
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.frames import AllBut, Frame, FrameKey, PhotoFile
from vitpose_cli.media.headers import HEADER_BYTES, upright_size
from vitpose_cli.media.reading import read_start
from vitpose_cli.plurals import counted
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.media_root import MediaFolders, find_folders

_PIECE_BYTES = 1 << 20
_FOR_COPIES_TOO = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG})


class PicturePlacer:
    """Puts the pictures of frames below one folder.

    Attributes:
        missing: Frames whose picture was not found.
        unnamed: Frames whose picture would have a name that no file can have.
        resized: Frames whose picture has another size than their labels are of, as it says.
    """

    def __init__(self, sources: MediaFolders, folder: Path, new: NewFiles, how: Placing) -> None:
        """Take the folders; nothing is read yet.

        Args:
            sources: The folders that media names are relative to.
            folder: Where the pictures go.
            new: The files that are to come into this folder, or into one above it.
            how: As links, as copies, or not at all.
        """
        self.missing: list[FrameKey] = []
        self.unnamed: list[FrameKey] = []
        self.resized: list[FrameKey] = []
        self._sources = sources
        self._folder = folder
        self._new = new
        self._how = how
        self._real = cache(Path.resolve)  # of folders: a million photos have few
        self._in_videos: dict[str, dict[FrameKey, tuple[Path, tuple[int, int] | None]]] = (
            defaultdict(dict)
        )

    @classmethod
    def of(
        cls, content: Content, folder: Path, new: NewFiles, options: WriteOptions
    ) -> PicturePlacer:
        """Find the pictures of what is written.

        Raises:
            InputError: They are wanted, and no folder has them, or they would be labelled, too,
                where they are to go.
        """
        if options.pictures == "none":
            return cls(MediaFolders(()), folder, new, "none")
        places = [MediaFolders.at(options.images)] if options.images else content.folders()
        keys = (frame.key for frame in content.chosen())
        pictures = cls(find_folders(places, keys), folder, new, options.pictures)
        pictures._check_found_by_nobody(frame.key for frame in content.chosen())
        return pictures

    def _check_found_by_nobody(self, keys: Iterable[FrameKey]) -> None:
        """Refuse to write pictures where whoever labels the photos again would find them.

        That is below the folder that names are relative to, unless the list of what was written is
        in a folder below those of the photos: every search passes over what such a list names.

        Raises:
            InputError: They would be found.
        """
        written, listed = self._folder.resolve(), self._new.folder.resolve()
        roots = [root for root in self._sources.folders if written.is_relative_to(root)]
        for media in {key.media for key in keys} if roots else ():
            for root in roots:
                place = (root / media).parent.resolve()
                if place.is_relative_to(listed) and not place.is_relative_to(written):
                    raise InputError(
                        f"Pictures cannot be written to {self._folder}: what is to be labelled "
                        f"lies in {self._new.folder}, such as {media}, and they would be "
                        "labelled, too.",
                        "Choose another folder with -o, or leave them there by --pictures none.",
                    )

    def check_apart(self, folder: Path, keys: Iterable[FrameKey]) -> None:
        """Refuse to delete a folder that the photos and videos themselves lie in.

        Raises:
            InputError: One of them does.
        """
        if self._how == "none":
            return
        inside = folder.resolve()
        for place in {PurePosixPath(key.media).parent for key in keys}:
            roots = self._sources.folders
            if any((root / place).resolve().is_relative_to(inside) for root in roots):
                raise InputError(
                    f"The pictures themselves lie in {folder}.",
                    "Choose another output folder with -o, or leave them there by --pictures none.",
                )

    def placed(self, frames: Iterable[LabelledFrame]) -> Iterator[LabelledFrame]:
        """Yield frames, and put the picture of each at its own name.

        Raises:
            InputError: One cannot be written.
        """
        for frame in frames:
            self.place(frame.record.key, str(frame.record.key), frame.record.size_wh)
            yield frame
        self.finish()

    def place(self, key: FrameKey, name: str, size_wh: tuple[int, int] | None = None) -> None:
        """Put a frame's picture at `name` in the folder; one out of a video with `finish`.

        Args:
            key: The frame.
            name: Where it goes, below the folder.
            size_wh: Width and height of the upright picture that was labelled, px, if known.

        Raises:
            InputError: Its name leads out of a folder, or it cannot be written.
        """
        if self._how == "none":
            return
        if has_long_name(PurePosixPath(name)):
            self.unnamed.append(key)
            return
        picture = self._sources.path(str(key))
        if is_file(picture):
            self._compare(key, _upright_size(picture), size_wh)
            folder = picture.parent
            real = picture.resolve() if picture.is_symlink() else self._real(folder) / picture.name
            self._put(real, safe_media_path(self._folder, name))
        elif (photo := photo_at(picture)) is not None:
            self._write(photo, picture, safe_media_path(self._folder, name))
        else:
            (stored,) = self._sources.stored_keys([key])
            if stored is not None:
                target = safe_media_path(self._folder, name)
                self._in_videos[stored.media][stored] = target, size_wh
            else:
                self.missing.append(key)

    def finish(self) -> None:
        """Decode the frames that lie in videos, each video once.

        Raises:
            InputError: One cannot be written.
        """
        if not self._in_videos:
            return
        # Only here, so that linking photos does not wait for OpenCV and FFmpeg to load.
        from vitpose_cli.media.images import encoded_frame
        from vitpose_cli.media.video import VideoFile

        for media, wanted in self._in_videos.items():
            for frame in VideoFile(self._sources.path(media), media).frames(AllBut(wanted)):
                if isinstance(frame, Frame):
                    target, labelled_wh = wanted.pop(frame.key)
                    self._new.write(target, encoded_frame(frame, target))
                    self._compare(frame.key, frame.size_wh, labelled_wh)
                if not wanted:
                    break
            self.missing += sorted(wanted)

    def notes(self) -> tuple[str, ...]:
        """Say which pictures were not found, and which are not those that were labelled."""
        notes = []
        if self.missing:
            missing = counted(len(self.missing), "picture was", "pictures were")
            notes.append(f"{missing} not found in {self._sources}: {_examples(self.missing)}.")
        if self.unnamed:
            unnamed = counted(len(self.unnamed), "picture was", "pictures were")
            notes.append(
                f"{unnamed} left out, as names are longer than those of files may be (255 bytes): "
                f"{_examples(self.unnamed)}."
            )
        if self.resized:
            resized = counted(len(self.resized), "picture has", "pictures have")
            notes.append(
                f"{resized} another size in {self._sources} than when labelled, so that keypoints "
                f"lie elsewhere: {_examples(self.resized)}. Give the folder that was labelled with "
                "--images."
            )
        return tuple(notes)

    def _compare(
        self, key: FrameKey, size_wh: tuple[int, int] | None, labelled_wh: tuple[int, int] | None
    ) -> None:
        """Take down a frame of another size than was labelled; sizes that nobody knows fit."""
        if None not in (size_wh, labelled_wh) and size_wh != labelled_wh:
            self.resized.append(key)

    def _write(self, photo: PhotoFile, picture: Path, target: Path) -> None:
        """Copy a photo out of an archive: there is nothing that a link could lead to."""
        try:
            data = photo.read_bytes()
        except OSError as error:
            raise read_error(picture, error) from error
        self._new.write(target, data)

    def _put(self, picture: Path, target: Path) -> None:
        try:
            if target.exists() and not target.is_symlink() and target.samefile(picture):
                return  # they are to be beside the labels, and are
            place = self._new.place(target)
            if self._how == "link":
                place.symlink_to(picture)
                return
        except OSError as error:
            if self._how != "link" or error.errno in _FOR_COPIES_TOO:
                raise write_error(target, error) from error
            raise InputError(
                f"Cannot write {target}: {reason_of(error)}.", "Copy the pictures instead."
            ) from error
        with atomic_file(place, durable=False) as stream:
            stream.writelines(_pieces(picture))


def _examples(keys: Sequence[FrameKey]) -> str:
    return ", ".join(map(str, keys[:3])) + (", …" if keys[3:] else "")


def _upright_size(picture: Path) -> tuple[int, int] | None:
    """Return the size that a photo says it has, px; None where it says none."""
    try:
        return upright_size(read_start(picture, HEADER_BYTES))
    except OSError:
        return None


def _pieces(picture: Path) -> Iterator[bytes]:
    """Yield what a file holds; an error of its disk is none of the disk that is written to.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with picture.open("rb") as source:
            while piece := source.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise read_error(picture, error) from error
