"""A video file as a sink of frames: encoded in a thread of its own, and there whole or not at all.

What a good file needs is in `video_encoder`. PyAV and not `cv2.VideoWriter`, which writes one
fixed rate, no sound, and a codec (`mp4v`) that browsers refuse.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

from vitpose_cli.errors import InputError
from vitpose_cli.files import (
    TEMPORARY_SUFFIX,
    check_replaceable,
    remove_left_over,
    temporary_name,
    write_error,
)
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions, VideoEncoder, is_drawn_video

AHEAD = 4
"""Frames that wait for the encoder at most."""


class VideoSink:
    """An MP4 file that takes frames in order.

    Until `close` is done it has a hidden temporary name; what a killed process left under such a
    name is deleted by the next one that writes the file. Used as a context manager, it is closed
    at the end, and removed after an exception, Ctrl-C included.
    """

    def __init__(
        self,
        path: Path,
        options: EncodeOptions | None = None,
        *,
        source_video: Path | None = None,
        taken: VideoOptions | None = None,
    ) -> None:
        """Check where the video goes; the first frame decides its size.

        Args:
            path: The file; one of that name that was written here is replaced at the end.
            options: How it is encoded.
            source_video: The video the frames come from, for its sound and frame rate.
            taken: Which frames of it are taken, so that the sound is cut as they are.

        Raises:
            InputError: The folder is missing, or `path` is the source itself, a folder, or
                something else that is there already.
        """
        if not path.parent.is_dir():
            raise InputError(f"There is no folder {path.parent} to write to.", "Make it first.")
        if path.is_dir():
            raise InputError(f"{path} is a folder.", "Name a file in it.")
        if source_video is not None and path.exists() and path.samefile(source_video):
            raise InputError(f"{path} is the video to read from.", "Give the output another name.")
        check_replaceable(path, is_drawn_video)
        self._path = path
        remove_left_over(path)
        self._temporary = path.with_name(temporary_name(path.name, TEMPORARY_SUFFIX))
        self._options = options or EncodeOptions()
        self._source_video = source_video
        self._taken = taken or VideoOptions()
        self._encoder: VideoEncoder | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._pending: deque[Future[None]] = deque()

    def write(self, frame: Frame) -> None:
        """Hand one frame to the encoder; it is shown at its own time.

        A frame of another size than the first is scaled to fit, on black.

        Raises:
            InputError: The file cannot be written; this may come some frames late.
        """
        self._pending.append(self._pool.submit(self._encode, frame))
        if len(self._pending) > AHEAD:
            self._pending.popleft().result()

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            InputError: It cannot be written, or there was no frame. Nothing is left behind.
        """
        try:
            while self._pending:
                self._pending.popleft().result()
            self._pool.submit(self._finish).result()
        except BaseException:
            self.abort()
            raise
        self._pool.shutdown()

    def abort(self) -> None:
        """Stop, and remove what was written."""
        self._pool.shutdown(cancel_futures=True)
        if self._encoder is not None:
            self._encoder.abandon()
        with suppress(OSError):
            self._temporary.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _encode(self, frame: Frame) -> None:
        if self._encoder is None:
            self._encoder = VideoEncoder(
                self._temporary,
                self._options,
                frame,
                source_video=self._source_video,
                taken=self._taken,
            )
        self._encoder.encode(frame)

    def _finish(self) -> None:
        if self._encoder is None:
            raise InputError(f"There is no frame to write to {self._path}.")
        self._encoder.finish()
        try:
            with self._temporary.open("rb+") as file:
                os.fsync(file.fileno())
            self._temporary.replace(self._path)
        except OSError as error:
            raise write_error(self._path, error) from error
