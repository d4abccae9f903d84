"""From a pack of person crops to labelled people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.geometry import xyxy_to_xywh
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.training.data_options import PackSource
from vitpose_cli.training.fingerprints import Fingerprint, files_hash, people_hash
from vitpose_cli.training.labels import Purpose, keypoint_weights
from vitpose_cli.training.opened_source import (
    OpenedSource,
    identity,
    in_split,
    nobody,
    outside_split,
    spread,
)
from vitpose_cli.training.packs import Pack
from vitpose_cli.training.people import LabelledFrames, People

_SHOWN = 10
"""How many numbers a sentence lists."""


def open_pack(options: PackSource, num_threads: int, purpose: Purpose) -> OpenedSource:
    """Read the labels of a pack; `open_data_source` says what the arguments mean."""
    pack = Pack.open(options.path, num_threads)
    keys = pack.keys()
    size_wh = pack.size_wh()
    known_as = keypoint_set(options.keypoint_set)
    if pack.keypoints.shape[1] != known_as.num_keypoints:
        raise InputError(
            f"{options.path} has {pack.keypoints.shape[1]} keypoints a person, "
            f"{known_as.name} has {known_as.num_keypoints}.",
            "Set keypoint_set of this source.",
        )
    points = pack.keypoints[..., :2]
    inside = ((points >= 0) & (points <= np.array(size_wh))).all(axis=-1)
    labels = np.where(inside, pack.keypoints[..., 2], 0).astype(np.int64)
    weights = keypoint_weights(labels, pack.keypoints[..., 3].astype(np.float64), options)
    repeats = np.array([options.repeat_of.get(int(one), options.repeat) for one in pack.sources])
    dropped: Counter[str] = Counter()
    usable = _in_sources(pack, keys, options)
    reasons = {
        "people without keypoints": (purpose != "pretraining") & ~(labels > 0).any(axis=1),
        "people whose keypoints count nothing": (purpose == "training") & ~weights.any(axis=1),
    }
    for reason, applies in reasons.items():
        dropped[reason] = int((usable & applies).sum())
        usable &= ~applies
    rows = np.array(spread(np.flatnonzero(usable).tolist(), options), np.int64)
    if not len(rows):
        outside = outside_split(options, {str(key): 1 for key in keys}, "crop")
        raise outside or nobody(options, dropped, len(keys))
    boxes = pack.boxes(size_wh, options.context)[rows]
    people = People(
        known_as,
        boxes,
        points[rows],
        weights[rows].astype(np.float32),
        repeats[rows].astype(np.float32),
        np.arange(len(rows)),
        np.ones(len(rows), np.float32),
    )
    chosen = tuple(keys[row] for row in rows)
    file = files_hash((options.path,))
    known = f"{people_hash(people, chosen, {})} {file}"  # the pixels are in the file
    fingerprint = Fingerprint(str(options.path), file, known, len(people), len(people))
    frames = LabelledFrames(
        people,
        chosen,
        pack,
        identity(fingerprint, options),
        options.path,
        (size_wh,) * len(people),
        (1.0,) * len(people),
    )
    judged = np.arange(len(people) if purpose == "measuring" else 0)
    truth = _pack_truth(options.path, people.select(judged), (labels[rows] > 0)[judged], size_wh)
    notes = tuple(_unknown_sources(pack, options))
    return OpenedSource(frames, truth, +dropped, fingerprint, notes=notes)


def _in_sources(pack: Pack, keys: Sequence[FrameKey], options: PackSource) -> NDArray[np.bool_]:
    """Return which people (N,) are of sources that are shown, and in the part that is asked for."""
    never = [number for number, repeat in options.repeat_of.items() if repeat == 0]
    in_part = np.array([in_split(str(key), options.split) for key in keys], np.bool_)
    shown: NDArray[np.bool_] = ~np.isin(pack.sources, never) & in_part
    return shown


def _unknown_sources(pack: Pack, options: PackSource) -> Iterator[str]:
    """Yield a sentence if `repeat_of` speaks of sources that a pack does not have."""
    there = set(pack.sources.tolist())
    unknown = sorted(options.repeat_of.keys() - there)
    if unknown:
        yield (
            f"repeat_of does nothing for {', '.join(map(str, unknown))}: the source numbers in "
            f"{options.path} are {', '.join(map(str, sorted(there)[:_SHOWN]))}"
            f"{', and others' * (len(there) > _SHOWN)}."
        )


def _pack_truth(
    path: Path, people: People, known: NDArray[np.bool_], size_wh: tuple[int, int]
) -> CocoDocument:
    """Return the people of a pack, and which keypoints (N, K) are known, as a COCO document.

    Each is in a photo of their own.
    """
    xywh = xyxy_to_xywh(people.boxes.astype(np.float64))
    shown = known[..., None]
    points = np.concatenate([np.where(shown, people.keypoints, 0), 2 * shown], axis=-1)
    images = [
        {"id": number, "file_name": f"{number:06d}", "width": size_wh[0], "height": size_wh[1]}
        for number in range(1, len(people) + 1)
    ]
    annotations = [
        {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": box,
            "keypoints": flat,
        }
        for number, box, flat in zip(
            range(1, len(people) + 1),
            xywh.tolist(),
            points.reshape(len(people), 3 * points.shape[1]).tolist(),
            strict=True,
        )
    ]
    category = people.keypoint_set.to_category()
    return CocoDocument(path, {}, tuple(images), (category,), tuple(annotations))
