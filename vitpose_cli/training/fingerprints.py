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

from vitpose_cli.errors import ConfigError
from vitpose_cli.media.archives import num_bytes
from vitpose_cli.media.frames import FrameKey, PhotoFile
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
        stretched: Whether pixels of some are known not to be square.
    """

    path: str
    files: str
    people: str
    num_people: int
    num_photos: int
    stretched: bool = False  # earlier versions took all for square


@dataclass(frozen=True, slots=True)
class DataFingerprint:
    """What a run learns from.

    Attributes:
        sources: What was opened, in the order of the configuration.
        read: By head, a hash of who is in a frame that could be read.
        measured: What the best AP was measured on, in the order of the configuration; None where
            an earlier version did not say.
    """

    sources: tuple[Fingerprint, ...]
    read: Mapping[str, str]
    measured: tuple[Fingerprint, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a state."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataFingerprint:
        """Return what `as_dict` was called on."""
        sources, measured = (
            None if each is None else tuple(Fingerprint(**one) for one in each)
            for each in (values["sources"], values.get("measured"))
        )
        return cls(sources or (), values["read"], measured)


_MOVED = "Since the run was begun photos have come or gone, or been replaced"
_RESHAPED = "When the run was begun, pixels counted as square that are not"

_MOVED_HINT = (
    "Put the photos back as they were, or choose another folder with --output; --allow-missing "
    "goes on with those that are there."
)
_RESHAPED_HINT = (
    "Choose another folder with --output to begin with their shape; --allow-missing goes on with "
    "it."
)


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
    for array in (people.boxes, people.keypoints, people.weights, people.repeats, people.images):
        digest.update(np.ascontiguousarray(array).tobytes())
    if (people.pixel_aspects != 1).any():
        digest.update(people.pixel_aspects.tobytes())
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


def check_same_sources(
    before: Sequence[Fingerprint], now: Sequence[Fingerprint], *, allow_missing: bool
) -> list[str]:
    """Refuse to go on with other data than a run was begun with.

    Args:
        before: The sources that it was begun with.
        now: The same sources as they are.
        allow_missing: Whether photos may have come, gone or been replaced, or may be of pixels
            whose shape was not known.

    Returns:
        Sentences about photos that have, or are.

    Raises:
        ConfigError: Labels are others, or photos have come, gone or been replaced, or are of
            pixels whose shape was not known.
    """
    pairs = [pair for pair in zip(before, now, strict=True) if pair[0].people != pair[1].people]
    # A file may be there twice, to learn from and to measure on.
    relabelled = dict.fromkeys(_change(*pair) for pair in pairs if pair[0].files != pair[1].files)
    alike = [pair for pair in pairs if pair[0].files == pair[1].files]
    reshaped = dict.fromkeys(now.path for then, now in alike if _only_reshaped(then, now))
    moved = dict.fromkeys(_change(*pair) for pair in alike if not _only_reshaped(*pair))
    if relabelled:
        raise ConfigError(
            "The run was begun with other labels:\n  " + "\n  ".join(relabelled),
            "Choose another folder with --output to begin with these, or delete that of the run.",
        )
    for what, changes, hint in (
        (_MOVED, moved, _MOVED_HINT),
        (_RESHAPED, reshaped, _RESHAPED_HINT),
    ):
        if changes and not allow_missing:
            raise ConfigError(f"{what}:\n  " + "\n  ".join(changes), hint)
    return [f"{_MOVED}: {change}." for change in moved] + [
        f"{_RESHAPED}: those of {path}." for path in reshaped
    ]


def same_people(before: Sequence[Fingerprint], now: Sequence[Fingerprint]) -> bool:
    """Return whether sources hold the same people, whatever the bytes of their files."""
    return [one.people for one in before] == [one.people for one in now]


def check_same_sets(before: Iterable[str], now: Iterable[str]) -> None:
    """Refuse to go on with other keypoint sets than a run was begun with.

    Args:
        before: The names of those that it learnt, or has a head for.
        now: The same as they are.

    Raises:
        ConfigError: They are others: an earlier version gave each name of the same keypoints a
            head of its own.
    """
    then, here = sorted(set(before)), sorted(set(now))
    if then != here:
        raise ConfigError(
            f"The run was begun with the keypoint sets {', '.join(then)}; its files now have "
            f"{', '.join(here)}.",
            "Choose another folder with --output to begin with these, or delete that of the run.",
        )


def check_same_read(
    before: Mapping[str, str], now: Mapping[str, str], *, allow_missing: bool
) -> None:
    """Refuse to go on without photos that could be read when a run was begun, or with more.

    Args:
        before: By head, a hash of who was in a frame that could be read.
        now: The same as it is.
        allow_missing: Whether that is no fault.

    Raises:
        ConfigError: It is others.
    """
    if before != now and not allow_missing:
        raise ConfigError(
            "Since the run was begun photos have come or gone: others can be read than then.",
            _MOVED_HINT,
        )


def _only_reshaped(before: Fingerprint, now: Fingerprint) -> bool:
    counts = ((one.num_people, one.num_photos) for one in (before, now))
    return now.stretched and not before.stretched and len({*counts}) == 1


def _change(before: Fingerprint, now: Fingerprint) -> str:
    then = f"{before.num_people:,} people in {before.num_photos:,} photos"
    if (before.num_people, before.num_photos) == (now.num_people, now.num_photos):
        return f"{now.path}: {then}, as many as then, but not the same"
    return f"{now.path}: {then} then, {now.num_people:,} in {now.num_photos:,} now"
