"""Where the photos and videos of labels lie: records name them relative to a folder, and no more.

The folder is not stored in records, since sets are moved between machines; what was labelled, as
the user named it, is in the manifest of a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.records.coco import safe_media_path

_NUM_SAMPLES = 20


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
        "Give the folder that they lie in, or a copy of what is at a URL, with --images.",
    )


def read_found(
    folders: Iterable[Path], keys: Collection[FrameKey]
) -> Iterator[Frame | FrameFailure]:
    """Yield the frames of `keys`, sorted, from the first of the folders that has them.

    Raises:
        InputError: No folder has any of them, or a name leads out of it.
    """
    # Only here: most formats need no photos, and so no OpenCV.
    from vitpose_cli.media.lookup import read_frames

    root = find_root(folders, sorted(keys))
    yield from read_frames({key.media: safe_media_path(root, key.media) for key in keys}, keys)


def labelled_folders(sources: Sequence[str], run: Path) -> list[Path]:
    """Return where the sources in a run's manifest may be.

    Relative paths are looked for in the working folder, then beside the run, where `annotate`
    puts a run by default.
    """
    # Only here: most formats need no photos, and so no OpenCV.
    from vitpose_cli.media.finding import find_media_root
    from vitpose_cli.media.remote import is_url

    if any(map(is_url, sources)):
        return []
    folders = []
    for base in (Path(), run.resolve().parent):
        named = [_based(source, base) for source in sources]
        if len(named) == 1 and Path(named[0]).is_dir():
            folders.append(Path(named[0]))
            continue
        try:
            folders.append(find_media_root(named))
        except InputError:
            continue
    return folders


def _based(source: str, base: Path) -> str:
    sign = "@" if source.startswith("@") else ""
    return sign + str(base / source[len(sign) :])


def _lies_below(root: Path, name: str) -> bool:
    try:
        return photo_at(safe_media_path(root, name)) is not None
    except InputError:
        return False
