"""A COCO document in several files, and which files are meant by a path.

A shard is a document of its own: `annotations-00000-of-00003.json`. Numbers of images and
annotations go on from one shard to the next, so that all of them together are one document again,
and every reader takes such a set where it takes a file.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from glob import escape, has_magic
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.files import is_file
from vitpose_cli.media.marks import MANIFEST
from vitpose_cli.records.exported_edits import ExportedEdits
from vitpose_cli.records.folder import REVIEW_JOURNAL, run_meant
from vitpose_cli.records.index import JournalReader
from vitpose_cli.records.journal import Scan
from vitpose_cli.records.json_values import is_number

ANNOTATIONS = "annotations.json"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")


def shard_paths(path: Path, count: int) -> tuple[Path, ...]:
    """Return the files that the document `path` is written to in `count` parts."""
    if count == 1:
        return (path,)
    return tuple(
        path.with_name(f"{path.stem}-{number:05d}-of-{count:05d}{path.suffix}")
        for number in range(count)
    )


def document_name(path: Path, count: int) -> Path:
    """Return what to call the document `path` in `count` parts: a glob of them, if several."""
    return (
        path if count == 1 else path.with_name(f"{escape(path.stem)}-*-of-{count:05d}{path.suffix}")
    )


def num_shards_of(path: Path) -> int:
    """Return in how many parts the document `path` was written last; 1 where it was not."""
    shards = [found for part in document_parts(path) if (found := _SHARD.fullmatch(part.name))]
    return 1 if is_file(path) or not shards else int(shards[-1][3])


def document_parts(path: Path) -> tuple[Path, ...]:
    """Return whatever there is of the document `path`: itself, and shards of any count, sorted."""
    shards = (
        other
        for other in path.parent.glob(f"{escape(path.stem)}-*-of-*{path.suffix}")
        if (found := _SHARD.fullmatch(other.name)) and found[1] == path.stem
    )
    return (*((path,) if is_file(path) else ()), *sorted(shards))


def num_bytes_of(parts: Sequence[Path]) -> int:
    """Return the length of all files of a document together."""
    return sum(part.stat().st_size for part in parts)


def document_title(path: Path, files: Sequence[Path]) -> str:
    """Return what to call the document at a path: of a glob of shards that of which they are.

    Args:
        path: What a user gave.
        files: What `document_files` returns for it.
    """
    shard = _SHARD.fullmatch(files[0].name) if len(files) > 1 else None
    return path.name if shard is None else shard[1] + shard[4]


def document_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the document that a user means.

    Args:
        path: A file; or a glob such as `annotations-*.json`; or a folder, for the document in it.

    Raises:
        InputError: There is none, one of its shards is missing, or it is the document of a run in
            which a person has labelled something since it was written.
    """
    files = _files_of(path)
    for folder in {file.parent for file in files}:
        if (folder / MANIFEST).is_file() and not set(files).isdisjoint(
            document_parts(folder / ANNOTATIONS)
        ):
            _check_current(folder)
    return files


def lacks_edits(folder: Path) -> bool:
    """Return whether a person's labels in a run are newer than its document.

    The run says what the document contains. One that does not, as its document is a backup, is
    judged by time, and that of the labels themselves has to be later, too: in a copy of the folder
    the time of the files says little.

    Raises:
        InputError: The run cannot be read.
    """
    journal = folder / REVIEW_JOURNAL
    if not journal.is_file() or not (edited := journal.stat()).st_size:
        return False
    parts = document_parts(folder / ANNOTATIONS)
    exported = ExportedEdits.read(folder) if parts else None
    if exported is not None and exported.document_bytes == num_bytes_of(parts):
        return not exported.contains(folder)
    written_ns = min((path.stat().st_mtime_ns for path in parts), default=0)
    return edited.st_mtime_ns > written_ns and _edited_at_s(journal) > written_ns / 1e9


def _edited_at_s(journal: Path) -> float:
    """Return when the last edit was made, in seconds since 1970; infinity where it does not say."""
    with closing(JournalReader([journal])) as reader:
        for entry in deque(Scan(journal).entries(), maxlen=1):
            review = reader.read(0, entry.offset, entry.length).review
            edited_at_s: Any = None if review is None else review.edited_at_s
            return float(edited_at_s) if edited_at_s and is_number(edited_at_s) else math.inf
    return 0.0


def _check_current(folder: Path) -> None:
    """Refuse the document of a run that lacks what a person did since."""
    if lacks_edits(folder):
        raise InputError(
            f"A person has labelled frames in {folder} that its {ANNOTATIONS} lacks: their review "
            "or import is still open, or was killed.",
            "End it, which writes them into it; if none is open, begin a review and end it: "
            f"vitpose review {folder}",
        )


def _files_of(path: Path) -> tuple[Path, ...]:
    """Return the files of the document at a path, as `document_files` does, of any age."""
    if path.is_dir():
        document = path / ANNOTATIONS
        files = (document,) if document.is_file() else document_parts(document)
        if not files:
            if (path / MANIFEST).is_file():
                raise InputError(
                    f"The run in {path} is not finished: it has no {ANNOTATIONS} yet.",
                    "The same `vitpose annotate` command goes on with it and writes that.",
                )
            raise InputError(
                f"{path} holds no labels: it has no {ANNOTATIONS}.",
                run_meant(path, ", or a COCO-keypoint file"),
            )
    elif has_magic(path.name) and not path.exists():
        files = tuple(sorted(path.parent.glob(path.name)))
        if not files:
            raise InputError(f"No file matches {path}.", "Check the pattern.")
    else:
        return (path,)
    _check_whole(files)
    return files


def _check_whole(files: tuple[Path, ...]) -> None:
    """Refuse a set of shards that lacks some, or is of two sets."""
    shards = [found for file in files if (found := _SHARD.fullmatch(file.name))]
    for count in {found[3] for found in shards}:
        if len(files) != int(count):
            raise InputError(
                f"{files[0].parent} has {len(files)} of {int(count)} shards.",
                "Write all of them again with the command that made them.",
            )
