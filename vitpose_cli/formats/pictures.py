"""The photos and video frames that go with labels: found again, and put where a format needs them.

Photos are linked unless copies are asked for: a large set is on the disk once. Frames of videos
are decoded, since no program but ours takes `clip.mp4/frame_000123.jpg` out of a video.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.written import Placing, WriteOptions
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.media.source import find_media
from vitpose_cli.records.coco import safe_media_path

_NUM_SAMPLES = 20


class Pictures:
    """Puts the pictures of frames below one folder.

    Attributes:
        missing: Frames whose picture was not found.
    """

    def __init__(self, root: Path, folder: Path, how: Placing) -> None:
        """Take the folders; nothing is read yet.

        Args:
            root: The folder that media names are relative to.
            folder: Where the pictures go.
            how: As links, as copies, or not at all.
        """
        self.missing: list[FrameKey] = []
        self._root = root
        self._folder = folder
        self._how = how
        self._in_videos: dict[str, set[FrameKey]] = defaultdict(set)

    @classmethod
    def of(cls, content: Content, folder: Path, options: WriteOptions) -> Pictures:
        """Find the pictures of what is written.

        Raises:
            InputError: They are wanted, and no folder has them.
        """
        if options.pictures == "none":
            return cls(Path(), folder, "none")
        folders = (options.images,) if options.images else content.folders()
        keys = (frame.record.key for frame in content.frames())
        return cls(find_root(folders, keys), folder, options.pictures)

    def placed(self, frames: Iterable[LabelledFrame]) -> Iterator[LabelledFrame]:
        """Yield frames, and put the picture of each at its own name.

        Raises:
            InputError: One cannot be written.
        """
        for frame in frames:
            self.place(frame.record.key, str(frame.record.key))
            yield frame
        self.finish()

    def place(self, key: FrameKey, name: str) -> None:
        """Put a frame's picture at `name` in the folder; one out of a video with `finish`.

        Raises:
            InputError: Its name leads out of a folder, or it cannot be written.
        """
        if self._how == "none":
            return
        picture = safe_media_path(self._root, str(key))
        if picture.is_file():
            self._put(picture.resolve(), safe_media_path(self._folder, name))
        elif key.index >= 0 and safe_media_path(self._root, key.media).is_file():
            self._in_videos[key.media].add(key)
        else:
            self.missing.append(key)

    def finish(self) -> None:
        """Decode the frames that lie in videos, each video once.

        Raises:
            InputError: One cannot be written.
        """
        sink = ImageSink(self._folder)
        for media, wanted in self._in_videos.items():
            # Only here, so that exporting photos does not wait for FFmpeg's libraries to load.
            from vitpose_cli.media.video import VideoFile

            for frame in VideoFile(self._root / media, media).frames(_AllBut(wanted)):
                if isinstance(frame, Frame):
                    sink.write(frame)
                    wanted.remove(frame.key)
                if not wanted:
                    break
            self.missing += sorted(wanted)

    def notes(self) -> tuple[str, ...]:
        """Say which pictures were not found."""
        if not self.missing:
            return ()
        examples = ", ".join(map(str, self.missing[:3])) + (", …" if self.missing[3:] else "")
        return (f"{len(self.missing)} pictures were not found in {self._root}: {examples}.",)

    def _put(self, picture: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if self._how == "link":
                target.symlink_to(picture)
            else:
                shutil.copyfile(picture, target)
        except OSError as error:
            hint = "Copy the pictures instead." if self._how == "link" else "Check free space."
            raise InputError(f"Cannot write {target}: {error.strerror}.", hint) from error


class _AllBut:
    """All frames but some."""

    def __init__(self, keys: set[FrameKey]) -> None:
        self._keys = keys

    def __contains__(self, key: object) -> bool:
        return isinstance(key, FrameKey) and key.index >= 0 and key not in self._keys


def find_root(folders: Iterable[Path], keys: Iterable[FrameKey]) -> Path:
    """Return the folder that the media names of frames are relative to.

    Args:
        folders: The folders to try, in this order.
        keys: The frames; some must be found, so that a wrong folder is noticed at once.

    Raises:
        InputError: No folder has any of them.
    """
    samples = list(islice(keys, _NUM_SAMPLES))
    tried = list(dict.fromkeys(folder.resolve() for folder in folders))
    for folder in tried:
        for key in samples:
            if any(_lies_below(folder, name) for name in (key.media, str(key))):
                return folder
    example = repr(samples[0].media) if samples else "one"
    raise InputError(
        f"The photos and videos, such as {example}, are not in "
        f"{', '.join(map(str, tried)) or 'any place'}.",
        "Give the folder that they lie in with --images, or --pictures none to do without.",
    )


def labelled_folders(sources: Sequence[str], run: Path) -> list[Path]:
    """Return where the sources in a run's manifest may be.

    Relative paths are looked for in the working folder, then beside the run, where `annotate`
    puts a run by default.
    """
    folders = []
    for base in (Path(), run.resolve().parent):
        named = [_based(source, base) for source in sources]
        if len(named) == 1 and Path(named[0]).is_dir():
            folders.append(Path(named[0]))
            continue
        try:
            folders.append(find_media(named).root)
        except InputError:
            continue
    return folders


def _based(source: str, base: Path) -> str:
    sign = "@" if source.startswith("@") else ""
    return sign + str(base / source[len(sign) :])


def _lies_below(root: Path, name: str) -> bool:
    try:
        return safe_media_path(root, name).is_file()
    except InputError:
        return False
