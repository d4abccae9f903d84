"""How a format is written: what the user chose, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitpose_cli.errors import InputError
from vitpose_cli.files import TEMPORARY_SUFFIX, check_replaceable, make_folder
from vitpose_cli.ranges import check_types

Placing = Literal["link", "copy", "none"]
"""What is done with pictures: links to them, copies of them, or nothing."""

_CHOOSE = "Choose another place with -o, or --overwrite to replace what is there."

_OF_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What macOS and Windows leave in folders that somebody has looked at."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What may be chosen; each format takes what concerns it.

    Attributes:
        split: The part of a dataset that the frames are, such as `train`; empty for the format's
            own default.
        images: The folder that photos and videos lie in; None for where they were labelled.
        pictures: What is done with them where the format wants them beside the labels.
        url: What stands before the path of a photo where a program loads it by URL; None for the
            folder that it lies in, as the program serves it.
        truth: A COCO file whose ids of images and categories results get; None for those of the
            document that the labels come from.
        overwrite: Replace what an earlier export left at the same place.
        num_shards: Into how many files a COCO document is written; None for as many as before.

    Paths may be given as text.
    """

    split: str = ""
    images: Path | None = None
    pictures: Placing = "link"
    url: str | None = None
    truth: Path | None = None
    overwrite: bool = False
    num_shards: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        files: The files that a person needs next, the most important one first.
        num_images: Frames in them, with or without people.
        num_instances: People in them.
        notes: What a person must know: what is missing, what to do next. Whole sentences.
    """

    files: tuple[Path, ...]
    num_images: int
    num_instances: int
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "files": [str(file) for file in self.files],
            "num_images": self.num_images,
            "num_instances": self.num_instances,
            "notes": list(self.notes),
        }


def new_folder(path: Path, options: WriteOptions) -> None:
    """Make a folder to write into; one that holds something is taken only if that was said.

    What a killed export left there, or a system by itself, is nothing.

    Raises:
        InputError: It holds something, or cannot be made.
    """
    present = path.iterdir() if path.is_dir() and not options.overwrite else ()
    if any(each.suffix != TEMPORARY_SUFFIX and each.name not in _OF_SYSTEMS for each in present):
        raise InputError(f"{path} is not empty.", _CHOOSE)
    make_folder(path)


def check_new(
    path: Path, options: WriteOptions, is_alike: Callable[[Path], bool], sources: Sequence[Path]
) -> None:
    """Refuse to replace a file unless that was said; make the folder it goes into.

    Args:
        path: The file.
        options: What was said.
        is_alike: Returns whether a file is of this format.
        sources: The files that the labels come from, which are not replaced in any case.

    Raises:
        InputError: It is there already and may not be replaced, or its folder cannot be made.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "This format is one file: name it with -o.")
    if path.exists() and not options.overwrite:
        raise InputError(f"{path} is there already.", _CHOOSE)
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise InputError(f"{path} is where the labels come from.", "Choose another place with -o.")
    check_replaceable(path, is_alike)
    make_folder(path.parent)
