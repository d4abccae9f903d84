"""What a file or folder is, told by its name: photos, a video, an archive, a run, or neither.

By the suffix, as opening each of a million files to look would take longer than labelling some of
them; only a WebP can be either a photo or a video.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from vitpose_cli.media.archives import ARCHIVE_SUFFIX, PACKED_ARCHIVES
from vitpose_cli.media.frames import PhotoFile
from vitpose_cli.media.headers import ANIMATION_BYTES, IMAGE_SUFFIXES, is_animated_webp
from vitpose_cli.media.marks import JOURNALS, MANIFEST, RUN_SUFFIX, is_marked
from vitpose_cli.media.reading import read_start

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".flv", ".3gp", ".ogv", ".vob", ".mxf", ".dv", ".gif"}
)
"""Suffixes, in lower case, by which videos are found in a folder. Of WebP, only animations are."""

WHAT_IS_READ = (
    f"Photos end in {' '.join(sorted(IMAGE_SUFFIXES))}, archives of photos in {ARCHIVE_SUFFIX}; "
    f"videos in {' '.join(sorted(VIDEO_SUFFIXES))}."
)
"""For whoever names something else."""

DRAWN = "drawn"
"""How files are counted that are passed over as `is_drawn` is true."""

LISTED = "exported"
"""How those are that a list says were exported, or extracted as frames."""


def is_video(file: PhotoFile | str) -> bool:
    """Return whether a file is taken for a video, an animation included; none in an archive is."""
    if not isinstance(file, Path | str):
        return False
    suffix = _suffix(file)
    if suffix != ".webp":
        return suffix in VIDEO_SUFFIXES
    try:
        return is_animated_webp(read_start(Path(file), ANIMATION_BYTES))
    except OSError:
        return False  # said when its turn comes


def is_drawn(path: Path) -> bool:
    """Return whether a photo or video was drawn by this program; the file is opened to see."""
    if path.suffix.lower() == ".mp4":
        # Only here, so that listing photos does not wait for FFmpeg's libraries to load.
        from vitpose_cli.media import video_encoder

        return path.is_file() and video_encoder.is_drawn_video(path)
    try:
        return is_marked(path)
    except OSError:
        return False  # said when its turn comes


def is_archive(path: Path | str) -> bool:
    """Return whether a file is taken for an archive of photos that is read in its place."""
    return _suffix(path) == ARCHIVE_SUFFIX


def is_read(path: Path) -> bool:
    """Return whether a file is taken for a photo, a video or an archive of photos."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES or suffix == ARCHIVE_SUFFIX


def _suffix(path: Path | str) -> str:
    """Return the suffix of a path in lower case, without making a `Path` of each of a million."""
    name = path.name if isinstance(path, Path) else path.rpartition(os.sep)[2]
    stem, _, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and suffix else ""


def packed_suffix(name: str) -> str:
    """Return the ending by which a file is known for a compressed archive; empty for others."""
    return next((ending for ending in PACKED_ARCHIVES if name.lower().endswith(ending)), "")


def ending_of(name: str) -> str:
    """Return the ending by which files that are passed over are counted."""
    suffix = packed_suffix(name) or PurePosixPath(name).suffix.lower()
    return suffix or "without suffix"


def is_visible(name: str) -> bool:
    """Return whether a file or folder of this name is neither hidden nor a run."""
    return not name.startswith(".") and not name.endswith(RUN_SUFFIX)


def is_run(names: Sequence[str]) -> bool:
    """Tell a run's folder, whatever it is called, by its manifest and journals.

    Args:
        names: Of the files in it.
    """
    return MANIFEST in names and any(fnmatchcase(name, JOURNALS) for name in names)


def is_run_folder(path: Path) -> bool:
    """Tell the same of a folder on the disk."""
    return (path / MANIFEST).is_file() and any(path.glob(JOURNALS))


def is_in_run(path: Path, depth: int, known: dict[Path, bool]) -> bool:
    """Tell whether a path, or one of the `depth` - 1 folders above it, is a run's folder.

    Args:
        path: The file or folder.
        depth: How many are looked at.
        known: Remembers what was found, for the next paths.
    """
    for folder in (path, *path.parents)[:depth]:
        if folder not in known:
            known[folder] = is_run_folder(folder)
        if known[folder]:
            return True
    return False


def only_kinds(seen: Counter[str]) -> str:
    """Return what there is instead of photos and videos, by suffix, to be put into a sentence."""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in seen.most_common(5))
    return f" (only: {kinds})" if kinds else ""
