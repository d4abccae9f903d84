"""The frames that are labelled, as files of their own for programs that open nothing else.

Photos are copied as they are, whatever their format: decoding and encoding them again would change
the pixels that were labelled. Only the frames of videos are encoded.
"""

from __future__ import annotations

from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file, has_long_name, make_folder, reason_of
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import encoded_frame, place_of
from vitpose_cli.media.reading import read_whole
from vitpose_cli.media.source import MediaSource
from vitpose_cli.own_files import OwnFiles


class NameTooLongError(InputError):
    """A frame has a name that no file can have."""


class ExtractedFrames:
    """A folder that takes frames under the names that they have in the document.

    A list in it says which files are frames of the source: others are never replaced, and whoever
    searches a folder round it passes over those.
    """

    def __init__(self, folder: Path, source: MediaSource, worker: int = 1) -> None:
        """Write below `folder`, which is made when the first frame comes.

        Args:
            folder: Where to.
            source: Where the frames come from.
            worker: The number of this process among those that write frames of the source.

        Raises:
            InputError: The list of what is there cannot be read.
        """
        self._folder = folder
        self._source = source
        self._own = OwnFiles(folder, source=str(source.root), worker=worker)

    def write(self, frame: Frame) -> None:
        """Write one frame; an earlier file of it is replaced as a whole or not at all.

        Raises:
            PictureTooLargeError: It is of a video, and too large for a JPEG.
            NameTooLongError: Its name, of an archive or a URL, is longer than that of a file.
            StorageGoneError: The place of the photo is gone.
            InputError: The frame's name leads out of the folder, the photo cannot be read any
                more, or the file cannot be written, or only in place of another one.
        """
        path = self.path(frame.key)
        if has_long_name(path):
            raise NameTooLongError(f"{frame.key} is longer than names of files may be.")
        if frame.key.video is not None:
            content = encoded_frame(frame, path)
        else:
            try:
                content = read_whole(self._source.file(frame.key.media))
            except OSError as error:
                self._source.check_storage(frame.key.media)
                raise InputError(
                    f"{frame.key} cannot be read again: {reason_of(error)}.",
                    "It is to be copied; the same command tries again.",
                ) from error
        if self._own.claim(path, content):
            make_folder(path.parent)
            with atomic_file(path, durable=False) as stream:
                stream.write(content)

    def has(self, key: FrameKey) -> bool:
        """Return whether the frame `key` of the source is there.

        Raises:
            InputError: The name leads out of the folder.
        """
        return self._own.owns(self.path(key))

    def path(self, key: FrameKey) -> Path:
        """Return where the frame `key` goes.

        Raises:
            InputError: The name leads out of the folder.
        """
        return place_of(key, self._folder)

    def close(self) -> None:
        """Close the list."""
        self._own.close()
