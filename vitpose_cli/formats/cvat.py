"""CVAT: its "COCO Keypoints 1.0" archives, and the labels that a task needs before they fit.

CVAT matches label, keypoints and frames by name. It drops every attribute that the label does not
declare, so `uid` and `version` are declared; they bring corrections home. A video is a task of its
own there, whose frames are called `frame_000123`, and so it gets an archive of its own here.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, groupby, islice
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import quoteattr
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo, is_zipfile

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file
from vitpose_cli.formats import coco
from vitpose_cli.formats.apart_names import ApartNames
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.corrections import Corrections
from vitpose_cli.formats.keypoint_colours import BY_SIDE, PERSON
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.written import WriteOptions, Written, new_folder
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.coco_people import check_writable
from vitpose_cli.records.coco_writer import DocumentSize
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.mean_pose import mean_pose

PHOTOS = "photos"
LABELS = "labels.json"
_SUBSET = "default"
_DOCUMENTS = "annotations/person_keypoints_*.json"
_NUM_SAMPLES = 200
_PART_BYTES = 1 << 20
_DAMAGE = (
    *(OSError, EOFError, UnicodeDecodeError, RuntimeError, NotImplementedError),
    *(BadZipFile, zlib.error, LZMAError),
)
_ATTRIBUTES = ("uid", "version")
_NEXT = (
    "Make a task (for each video one of its own) whose labels are labels.json (constructor, "
    "Raw), then upload the archive as COCO Keypoints 1.0."
)


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write a folder with `labels.json`, `photos.zip` for all photos, and an archive a video.

    Raises:
        InputError: A name has half a character, a photo is listed twice, a file of somebody else
            is in the way, or something cannot be written.
    """
    check_writable(content.category, content.name)
    content.check_listed_once()
    new_folder(out, options)
    labels = out / LABELS
    samples = [frame.record for frame in islice(content.frames(), _NUM_SAMPLES)]
    keypoint_set = content.keypoint_set
    pose = mean_pose(samples, keypoint_set.num_keypoints)
    files, names = [labels], ApartNames()
    num_images = num_instances = 0
    with OwnFiles(out) as own, new_files(own) as new:
        labelled = task_labels(keypoint_set, pose)
        new.write(labels, orjson.dumps(labelled, option=orjson.OPT_INDENT_2))
        for name, frames in _tasks(content):
            source = PurePosixPath(name)
            archive = safe_media_path(out, str(names.give(source, source.name, ".zip")))
            size = _write_archive(content, frames, new.place(archive), options.split or _SUBSET)
            files.append(archive)
            num_images += size.num_images
            num_instances += size.num_instances
        new.put_in_place({out: ".zip"})  # there may be fewer tasks than in the earlier export
    return Written(tuple(files), num_images, num_instances, (_NEXT,))


def read(path: Path, names: Sequence[str]) -> Corrections:
    """Read what CVAT exports as COCO Keypoints 1.0: the archive, its folder, or the file in it.

    Args:
        path: The archive, folder or file.
        names: The K keypoints of the run.

    Raises:
        InputError: It cannot be read, holds no keypoints, or other ones.
    """
    if path.is_dir():
        found = sorted(path.glob(_DOCUMENTS))
        return _joined(path, [coco.read(document, names) for document in found])
    if not is_zipfile(path):
        return replace(coco.read(path, names), own_track_ids=True)
    members = _members(path)
    return _joined(path, [coco.read_content(*member, names) for member in members])


def is_for_upload(folder: Path) -> bool:
    """Return whether a folder is one that `write` made, not one that CVAT exported."""
    labels = folder / LABELS
    first = next(stream_items(labels), None) if labels.is_file() else None
    return first is not None and first.section == ""  # a list; FiftyOne's is an object


def _members(path: Path) -> Iterator[tuple[Iterator[bytes], str]]:
    """Yield the documents in an archive, part by part, each with its name in errors."""
    with _told(path), ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if PurePosixPath(name).match(_DOCUMENTS):
                yield _parts(path, archive, name), f"{path}: {name}"


def _parts(path: Path, archive: ZipFile, name: str) -> Iterator[bytes]:
    with _told(path), archive.open(name) as member:
        while part := member.read(_PART_BYTES):
            yield part


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell of damage as an error of the archive."""
    try:
        yield
    except _DAMAGE as error:
        raise InputError(
            f"{path} cannot be read as an archive: {error}.", "Export or download it again."
        ) from error


def _joined(path: Path, documents: Sequence[Corrections]) -> Corrections:
    """Return the documents of several subsets as one."""
    if not documents:
        raise InputError(
            f"{path} holds no {_DOCUMENTS}.",
            "Export the task or job from CVAT as COCO Keypoints 1.0, or from Label Studio as JSON.",
        )
    frames = [frame for document in documents for frame in document.frames]
    num_ignored = sum(each.num_ignored for each in documents)
    return Corrections(path, frames, num_ignored=num_ignored, own_track_ids=True)


def task_labels(keypoint_set: KeypointSet, pose: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Return the labels of a CVAT task, as its constructor takes them under Raw.

    Args:
        keypoint_set: The keypoints.
        pose: (K, 2) x and y in [0, 1], how a new skeleton stands when somebody adds one.
    """
    attributes = [
        {"name": name, "mutable": True, "input_type": "text", "default_value": "", "values": [""]}
        for name in _ATTRIBUTES  # mutable: the people of a track have one for each frame
    ]
    sublabels = [
        {"name": name, "type": "points", "color": BY_SIDE[side], "attributes": []}
        for name, side in zip(keypoint_set.names, keypoint_set.sides, strict=True)
    ]
    return [
        {
            "name": keypoint_set.category,
            "type": "skeleton",
            "color": PERSON,
            "attributes": attributes,
            "sublabels": sublabels,
            "svg": _svg(keypoint_set, pose),
        }
    ]


def _svg(keypoint_set: KeypointSet, pose: Sequence[Sequence[float]]) -> str:
    """Return the drawing of a skeleton, 100 x 100, that CVAT builds it from."""
    places = [tuple(round(5 + 90 * value, 2) for value in point) for point in pose]
    elements = []
    for start, end in keypoint_set.edges:
        (x1, y1), (x2, y2) = places[start], places[end]
        elements.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="black" stroke-width="0.5" '
            f'data-type="edge" data-node-from="{start + 1}" data-node-to="{end + 1}"></line>'
        )
    for number, (name, (x, y)) in enumerate(zip(keypoint_set.names, places, strict=True), 1):
        elements.append(
            f'<circle r="0.75" cx="{x}" cy="{y}" stroke="black" stroke-width="0.1" '
            f'data-type="element node" data-element-id="{number}" data-node-id="{number}" '
            f"data-label-name={quoteattr(name)}></circle>"
        )
    return "".join(elements)


def _tasks(content: Content) -> Iterator[tuple[str, Iterable[LabelledFrame]]]:
    """Yield the name and the frames of every task: the photos, then each video."""
    photos = (frame for frame in content.frames() if frame.record.key.index < 0)
    first = next(photos, None)
    if first is not None:
        yield PHOTOS, chain([first], photos)
    videos = (frame for frame in content.frames() if frame.record.key.index >= 0)
    yield from groupby(videos, key=lambda frame: frame.record.key.media)


def _write_archive(
    content: Content, frames: Iterable[LabelledFrame], archive: Path, subset: str
) -> DocumentSize:
    name = f"annotations/person_keypoints_{subset}.json"
    with atomic_file(archive) as stream, TemporaryDirectory(dir=archive.parent) as folder:
        document = Path(folder) / "document.json"
        size = coco.write_frames(content, frames, document, file_name=_file_name, keyframes=True)
        with ZipFile(stream, "w", ZIP_DEFLATED) as zipped:
            member = ZipInfo(name)  # without a date: the same labels give the same bytes
            member.compress_type = ZIP_DEFLATED
            with document.open("rb") as source, zipped.open(member, "w") as target:
                shutil.copyfileobj(source, target)
    return size


def _file_name(key: FrameKey) -> str:
    """Return what CVAT calls a frame: a video is a task, and its frames have no folder."""
    return key.media if key.index < 0 else PurePosixPath(str(key)).name
