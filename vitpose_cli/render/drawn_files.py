"""Where drawn copies of photos and videos go: one file, or a folder laid out as the sources are."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.files import check_replaceable, fitted_name, make_folder
from vitpose_cli.media.copies import VIDEO_SUFFIX, CopySink, photo_copy, video_copy
from vitpose_cli.media.frames import FrameKey, FrameSink
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.media.images import WRITTEN_SUFFIXES, ImageSink
from vitpose_cli.media.kinds import VIDEO_SUFFIXES, is_video
from vitpose_cli.media.marks import is_marked
from vitpose_cli.media.source import MediaSource
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions, is_drawn_video
from vitpose_cli.media.video_sink import VideoSink


class DrawnFiles:
    """Where drawn photos and videos go.

    Attributes:
        output: The one file, or the folder of all.
    """

    def __init__(
        self,
        output: Path | None,
        source: MediaSource,
        encode: EncodeOptions,
        taken: VideoOptions,
        *,
        of_folder: bool = False,
    ) -> None:
        """Decide between a file and a folder.

        Args:
            output: The file or folder that was asked for; None names it after the source.
            source: Photos and videos to draw.
            encode: How videos are encoded.
            taken: Which frames of videos are drawn.
            of_folder: Whether the source was named as a folder, of one file perhaps.

        Raises:
            ConfigError: A photo or video is to be written as something else than it gives, or
                several of them into one file.
            InputError: The sources would be overwritten, or another file that nobody drew.
        """
        self._encode = encode
        self._source = source
        self._taken = taken
        only = source.path(source.media[0]) if len(source.media) == 1 else None
        if output is None:
            stem = only.stem if only else source.root.name
            self.output = Path(fitted_name(stem, f"-pose{_suffix(only) if only else ''}"))
        else:
            self.output = output
        suffix = self.output.suffix.lower()
        is_file = suffix in (VIDEO_SUFFIX, *WRITTEN_SUFFIXES) or bool(suffix and not of_folder)
        self._one_file = bool(only and is_file and not self.output.is_dir())
        if self._one_file and only:
            if suffix not in ((VIDEO_SUFFIX,) if is_video(only) else WRITTEN_SUFFIXES):
                raise ConfigError(
                    f"{source.media[0]} cannot be drawn into {self.output}.",
                    "A video gives an .mp4 file, a photo a .jpg or .png.",
                )
            if self.output.exists() and only.exists() and self.output.samefile(only):
                raise InputError(f"{self.output} is the source.", "Give the output another name.")
            check_replaceable(self.output, is_drawn_video if is_video(only) else is_marked)
        elif (
            only is None and suffix in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not self.output.is_dir()
        ):
            raise ConfigError(
                f"{self.output} names one file, but {len(source.media)} files are to be drawn.",
                "Name a folder with -o, or draw one photo or video.",
            )
        elif self.output.resolve() == source.root.resolve():
            raise InputError(
                f"The drawn copies would overwrite the sources in {source.root}.",
                "Choose another output folder with -o.",
            )

    def check_apart(self, drawn: frozenset[str]) -> None:
        """Refuse to draw over photos and videos that are drawn themselves.

        Args:
            drawn: Names of those of the sources that have something to draw.

        Raises:
            InputError: A copy would lie where one of them does, in a folder of the sources.
        """
        output, root = self.output.resolve(), self._source.root.resolve()
        if self._one_file or not output.is_relative_to(root):
            return
        folder = output.relative_to(root)
        for media in drawn:
            copies = photo_copy(media), video_copy(media)
            if not drawn.isdisjoint((folder / copy).as_posix() for copy in copies):
                raise InputError(
                    f"The drawn copy of {media} would overwrite one of the sources in {output}.",
                    "Choose another output folder with -o.",
                )

    def key(self, key: FrameKey) -> FrameKey:
        """Return the name that a frame has in its sink."""
        return FrameKey(self.output.name) if self._one_file else key

    def sink(self, video: str | None) -> AbstractContextManager[FrameSink]:
        """Open the sink of a video's frames, by its media name, or of photos (None)."""
        if video is None:
            if self._one_file:
                return closing(ImageSink(self.output.parent, mark=True))
            return closing(CopySink(self.output))
        path = self.output
        if not self._one_file:
            path /= video_copy(video)
            make_folder(path.parent)
        source_video = self._source.path(video)
        return VideoSink(
            path,
            self._encode,
            source_video=source_video,
            taken=self._taken,
        )


def _suffix(path: Path) -> str:
    """Return the suffix of the drawn copy of a photo or video."""
    if is_video(path):
        return VIDEO_SUFFIX
    return path.suffix if path.suffix.lower() in WRITTEN_SUFFIXES else WRITTEN_SUFFIXES[0]
