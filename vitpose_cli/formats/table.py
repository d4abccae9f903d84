"""All formats by name, and how to tell which one a file has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from zipfile import is_zipfile

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats import (
    coco,
    csv_table,
    cvat,
    fiftyone,
    labelstudio,
    labelstudio_export,
    openpose,
    results,
    yolo,
)
from vitpose_cli.formats.content import Content
from vitpose_cli.formats.importing import Read
from vitpose_cli.formats.written import WriteOptions, Written
from vitpose_cli.plurals import did_you_mean
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.shards import document_files

Write = Callable[[Content, Path, WriteOptions], Written]
"""Writes labels as a file or a folder."""

_FIFTYONE_URL = "https://voxel51.com/fiftyone"


@dataclass(frozen=True, slots=True)
class Format:
    """How labels are written in one format, and read back.

    Attributes:
        write: Writes them.
        read: Reads what a person corrected; None where there is no way back.
        folder: Whether a folder is written, not a file.
        options: The fields of `WriteOptions` that it has a use for, besides `overwrite`.
        categories: Whether people of several categories are told apart in it.
        smoothed: Whether it holds smoothed keypoints beside the raw ones.
    """

    write: Write
    read: Read | None
    folder: bool
    options: frozenset[str] = frozenset()
    categories: bool = False
    smoothed: bool = False


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "coco": Format(
            coco.write,
            coco.read,
            folder=False,
            options=frozenset({"num_shards"}),
            categories=True,
            smoothed=True,
        ),
        "controlnet": Format(openpose.write_for_controlnet, None, folder=True),
        "csv": Format(csv_table.write, None, folder=False, categories=True, smoothed=True),
        "cvat": Format(cvat.write, cvat.read, folder=True, options=frozenset({"split"})),
        "fiftyone": Format(
            fiftyone.write,
            fiftyone.read,
            folder=True,
            options=frozenset({"images", "pictures"}),
            smoothed=True,
        ),
        "labelstudio": Format(
            labelstudio.write,
            labelstudio_export.read,
            folder=True,
            options=frozenset({"images", "url"}),
        ),
        "openpose": Format(openpose.write, None, folder=True),
        "pose2sim": Format(openpose.write_for_pose2sim, None, folder=True),
        "results": Format(
            results.write, None, folder=False, options=frozenset({"truth"}), categories=True
        ),
        "yolo": Format(
            yolo.write,
            None,
            folder=True,
            options=frozenset({"split", "images", "pictures"}),
            categories=True,
        ),
    }
)


def format_named(name: str) -> Format:
    """Return the format of a name.

    Raises:
        ConfigError: There is none; the hint names the likeliest.
    """
    if name in FORMATS:
        return FORMATS[name]
    raise ConfigError(
        f"There is no format {name!r}.",
        f"{did_you_mean(name, FORMATS)}There are: {', '.join(FORMATS)}.",
    )


def format_of(path: Path) -> str:
    """Return the name of the format that a file, a glob of shards or a folder with corrections has.

    Raises:
        InputError: It cannot be read, or has none that can be read back.
    """
    if path.is_dir():
        if cvat.is_for_upload(path):
            raise InputError(
                f"{path} is what `vitpose export --format cvat` wrote, for CVAT to take.",
                "Import what CVAT exported afterwards, as COCO Keypoints 1.0.",
            )
        return "cvat" if (path / "annotations").is_dir() else "fiftyone"
    if is_zipfile(path):
        return "cvat"
    for section, position, value in stream_items(document_files(path)[0]):
        if section == "" and position is not None:
            if isinstance(value, dict) and "data" in value:
                return "labelstudio"
            raise InputError(
                f"{path} is a list, but no export of Label Studio with annotations.",
                "Export the project as JSON (not JSON-MIN). A results file cannot be brought back: "
                "it does not say what a person decided.",
            )
        if section == "info" and isinstance(value, dict) and value.get("url") == _FIFTYONE_URL:
            return "fiftyone"
    return "coco"
