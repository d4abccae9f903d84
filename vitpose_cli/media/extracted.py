"""The frames that are labelled, as files of their own for programs that open nothing else.

Photos are copied as they are, whatever their format: decoding and encoding them again would change
the pixels that were labelled. Only the frames of videos are encoded.
"""

from __future__ import annotations

from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file, make_folder
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink, place_of
from vitpose_cli.media.reading import read_whole
from vitpose_cli.media.source import MediaSource


class ExtractedFrames:
    """A folder that takes frames under the names that they have in the document."""

    def __init__(self, folder: Path, source: MediaSource) -> None:
        """Write below `folder`, which is made when the first frame comes.

        Args:
            folder: Where to.
            source: Where the frames come from.
        """
        self._folder = folder
        self._source = source
        self._encoded = ImageSink(folder)

    def write(self, frame: Frame) -> None:
        """Write one frame; a file of that name is replaced as a whole or not at all.

        Raises:
            PictureTooLargeError: It is of a video, and too large for a JPEG.
            InputError: The frame's name leads out of the folder, the photo cannot be read any
                more, or the file cannot be written.
        """
        if frame.key.video is not None:
            self._encoded.write(frame)
            return
        path = self.path(frame.key)
        try:
            content = read_whole(self._source.file(frame.key.media))
        except OSError as error:
            raise InputError(
                f"{frame.key} cannot be read again: {error.strerror or error}.",
                "It is to be copied; the same command tries again.",
            ) from error
        make_folder(path.parent)
        with atomic_file(path, durable=False) as stream:
            stream.write(content)

    def path(self, key: FrameKey) -> Path:
        """Return where the frame `key` goes.

        Raises:
            InputError: The name leads out of the folder.
        """
        return place_of(key, self._folder)
