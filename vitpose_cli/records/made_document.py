"""What the document of a run was made of, in a file beside it: what would be made again is kept.

A document is a pure function of manifest and journals (`coco_writer`). Where these are, byte for
byte, what they were, and so is the document, a million frames need not be written anew to come out
the same. Contents are compared, never times and lengths, which copies and set clocks change: two
gigabytes of a million photos take seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache, partial
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Self

import orjson

import vitpose_cli
from vitpose_cli.files import atomic_file, read_error
from vitpose_cli.media.marks import JOURNALS, MANIFEST
from vitpose_cli.records.folder import FAILURES, MADE
from vitpose_cli.records.shards import ANNOTATIONS, document_parts, shard_paths

_hash = partial(blake2b, digest_size=16)


@dataclass(frozen=True, slots=True)
class MadeDocument:
    """What was made when the document was written last.

    Attributes:
        made_from: The `labels_digest` from before it was written.
        made_into: A digest of the document and of the list of failures.
        num_images: Photos and video frames in the document.
        num_instances: Annotations in the document.
        num_failures: Frames in the list of failures.
    """

    made_from: str
    made_into: str
    num_images: int
    num_instances: int
    num_failures: int

    @classmethod
    def still_there(cls, folder: Path, made_from: str, num_shards: int) -> Self | None:
        """Return what the run in `folder` has, where it is what would be made; else None.

        Args:
            folder: The run, whose document no other process may write meanwhile.
            made_from: Of what it would be made.
            num_shards: Into how many files.
        """
        try:
            made = cls(**orjson.loads((folder / MADE).read_bytes()))
            document = folder / ANNOTATIONS
            is_same = (
                made.made_from == made_from
                and document_parts(document) == shard_paths(document, num_shards)
                and made.made_into == _made_digest(folder)
            )
        except (OSError, orjson.JSONDecodeError, TypeError):  # then it is made
            return None
        return made if is_same else None

    @classmethod
    def of(
        cls, folder: Path, made_from: str, num_images: int, num_instances: int, num_failures: int
    ) -> Self:
        """Return what was just made in the run in `folder`.

        Raises:
            InputError: It cannot be read.
        """
        try:
            made_into = _made_digest(folder)
        except OSError as error:
            raise read_error(error.filename or folder, error) from error
        return cls(made_from, made_into, num_images, num_instances, num_failures)

    def write(self, folder: Path) -> None:
        """Write it into the run in `folder`.

        Raises:
            InputError: It cannot be written.
        """
        with atomic_file(folder / MADE) as stream:
            stream.write(orjson.dumps(asdict(self)) + b"\n")


def labels_digest(folder: Path, finish: Callable[..., object]) -> str:
    """Return a digest of all that the document of a run depends on.

    Args:
        folder: The run.
        finish: What is to be done with the records on their way; known by its name.

    Raises:
        InputError: A file cannot be read.
    """
    how = f"{_program_digest()} {finish.__module__}.{finish.__qualname__}"
    try:
        # Without empty ones, such as whoever looks through a run and changes nothing leaves behind.
        journals = [path for path in sorted(folder.glob(JOURNALS)) if path.stat().st_size]
        return _digest([folder / MANIFEST, *journals], how)
    except OSError as error:
        raise read_error(error.filename or folder, error) from error


def _made_digest(folder: Path) -> str:
    return _digest([*document_parts(folder / ANNOTATIONS), folder / FAILURES])


@cache
def _program_digest() -> str:
    """Return a digest of this program's code: between two releases the version does not change."""
    return _digest(sorted(Path(vitpose_cli.__file__).parent.rglob("*.py")))


def _digest(paths: Iterable[Path], more: str = "") -> str:
    """Return a digest of the names and contents of some files."""
    whole = _hash(more.encode())
    for path in paths:
        with path.open("rb") as stream:
            content = file_digest(stream, _hash)
        whole.update(b"\0%s\0" % os.fsencode(path.name) + content.digest())
    return whole.hexdigest()
