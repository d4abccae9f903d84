"""What a run has learnt from, in short: whether the data are still those it was begun with.

The people that were taken count, not the bytes of the files: a file that was written once more with
the same labels is no other one. Photos are known by their names and lengths. Comparing every
photo's pixels was refused: it takes as long as reading them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.media.archives import num_bytes
from vitpose_cli.media.frames import FrameKey, PhotoFile
from vitpose_cli.plurals import counted
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.records.composed_names import ByName
from vitpose_cli.training.people import People


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a source of people holds.

    Attributes:
        path: Its file.
        files: Hash of its files.
        people: Hash of all that is known of the people taken from it, and of their frames; of a
            source to measure on, also of what is to be found and of the boxes to look in.
        num_people: How many people were taken.
        num_photos: How many frames they are in.
    """

    path: str
    files: str
    people: str
    num_people: int
    num_photos: int

    @property
    def counts(self) -> str:
        """How many people were taken, and how many photos they are in, in words."""
        people = counted(self.num_people, "person", "people")
        return f"{people} in {counted(self.num_photos, 'photo')}"


@dataclass(frozen=True, slots=True)
class DataFingerprint:
    """What a run learns from.

    Attributes:
        sources: What was opened, in the order of the configuration.
        read: By head, a hash of who is in a frame that could be read.
        measured: What the best AP was measured on, in the order of the configuration.
        teachers: By head, what its teacher is known by.
    """

    sources: tuple[Fingerprint, ...]
    read: Mapping[str, str]
    measured: tuple[Fingerprint, ...]
    teachers: Mapping[str, str]

    @property
    def opened(self) -> tuple[Fingerprint, ...]:
        """All sources: those to learn from, then those to measure on."""
        return (*self.sources, *self.measured)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a state."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataFingerprint:
        """Return what `as_dict` was called on."""
        sources, measured = (
            tuple(Fingerprint(**one) for one in values[name]) for name in ("sources", "measured")
        )
        # Runs that were begun when teachers were not noted go on.
        return cls(sources, values["read"], measured, values.get("teachers", {}))


def files_hash(files: Iterable[Path]) -> str:
    """Return a text that changes with the bytes of any of the files."""
    digest = ""
    for path in files:
        with path.open("rb") as stream:
            digest += hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(digest.encode()).hexdigest()


def people_hash(people: People, keys: Sequence[FrameKey], files: Mapping[str, PhotoFile]) -> str:
    """Return a text that changes with anything that is known of people, and with their frames.

    Args:
        people: The people; `images` are positions in `keys`.
        keys: Their frames.
        files: What these are read from, by media name; none for what is not in files of its own.
    """
    digest = hashlib.sha256()
    known = people.keypoint_set
    digest.update(repr((known.name, known.names, known.flip_pairs)).encode())
    for key in keys:
        digest.update(f"{key.media}\0{key.index}\0".encode())
    for media, file in files.items():
        digest.update(f"{media}\0{num_bytes(file)}\0".encode())
    for array in people.arrays():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def measured_hash(truth: CocoDocument, boxes: ByName[Detections] | None) -> str:
    """Return a text that changes with what is to be found in photos, and with where to look.

    Args:
        truth: Who is to be found.
        boxes: Boxes by `file_name` to measure with; None for those of the people.
    """
    people = truth.by_image()
    names = ("category_id", "bbox", "area", "iscrowd", "keypoints")
    digest = hashlib.sha256()
    if "sigmas" in (known_set := truth.keypoint_set).stated:
        digest.update(known_set.sigmas.tobytes())
    for image in truth.images:
        known = [[one.get(name) for name in names] for one in people[image["id"]]]
        digest.update(json.dumps(known).encode())
        found = None if boxes is None else boxes.get(image["file_name"])
        if found is not None:
            digest.update(found.boxes.tobytes() + found.scores.tobytes())
    return digest.hexdigest()


def images_hash(people: People) -> str:
    """Return a text that changes with the choice among the same people."""
    return hashlib.sha256(np.ascontiguousarray(people.images).tobytes()).hexdigest()


def same_people(before: Sequence[Fingerprint], now: Sequence[Fingerprint]) -> bool:
    """Return whether sources hold the same people, whatever the bytes of their files."""
    return [one.people for one in before] == [one.people for one in now]
