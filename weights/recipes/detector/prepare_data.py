"""Make the detector's training pack of photos with true boxes, pseudo boxes and person crops.

    python prepare_data.py DATA --out pack.npz

DATA holds `people/` (photos by source, some sources with true boxes in `boxes.json`),
`coco_train/`, `packs/*.npz` (person crops with keypoints) and `teachers/yolox_nano.onnx`. The
teacher's boxes are kept beside the pack, so that a second run with other settings takes seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pack import LabelledPhoto, encode_webp, write_pack
from teacher import Teacher, box_iou

FloatArray = NDArray[np.float32]

_SURE, _MAYBE = 0.45, 0.12
"""Scores from which on the teacher's box is a person, and may be one. Between them nothing is
taught: three of four such boxes are people, and one who learns them as background forgets how
people look."""

_SAME = 0.5
"""Overlap from which on a true box and a teacher's are one person."""

_HELD_OUT = {"coco_train": 0.25, "voc2012_animal_scenes": 0.15, "voc_street_vehicles": 0.15}
_HELD_OUT_ELSE = 0.06
"""Share of the held-out photos by source: most where people drew the boxes."""

_CROP_SIDE = 0.6
"""Size of a crop beside that of a photo: about one person needs no more pixels."""

_SPORT = 1
"""Source of the crops of sport poses; the others of the packs are cut from photos used here."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo before it is packed: its pixels (BGR) and true boxes, None where there are none."""

    name: str
    image: NDArray[np.uint8]
    true_boxes: FloatArray | None = None
    crowds: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    is_crop: bool = False


def photos_of_people(folder: Path) -> Iterator[Photo]:
    """Yield the photos of every source below `people/`, with the true boxes where it has any."""
    for source in sorted(path for path in folder.iterdir() if path.is_dir()):
        boxes_path = source / "boxes.json"
        known = boxes_of(json.loads(boxes_path.read_text())) if boxes_path.is_file() else {}
        for path in sorted((source / "images").iterdir()):
            yield Photo(f"{source.name}/{path.name}", read_image(path), known.get(path.name))


def photos_of_coco(folder: Path) -> Iterator[Photo]:
    """Yield the photos of a folder with `person_keypoints.json` and `images/`."""
    document = json.loads((folder / "person_keypoints.json").read_text())
    persons, crowds = boxes_of(document), boxes_of(document, crowds=True)
    for name in sorted(persons):
        image = read_image(folder / "images" / name)
        yield Photo(f"{folder.name}/{name}", image, persons[name], crowds[name])


def crops_of_pack(path: Path, most: int) -> Iterator[Photo]:
    """Yield `most` person crops, spread evenly over those that are no part of `people/`."""
    if not most:
        return
    with np.load(path) as arrays:
        data = {key: arrays[key] for key in arrays.files}
    usable = np.flatnonzero(data["source"] == _SPORT)
    for index in usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).astype(int)]:
        blob = data["blob"][data["offsets"][index] : data["offsets"][index + 1]]
        image = np.asarray(cv2.imdecode(blob, cv2.IMREAD_COLOR), np.uint8)
        yield Photo(f"{path.stem}/{index:06d}", image, is_crop=True)


def boxes_of(document: dict[str, Any], *, crowds: bool = False) -> dict[str, FloatArray]:
    """Return the boxes (N, 4) xyxy of every photo of a COCO document by file name."""
    found: dict[int, list[list[float]]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        if bool(annotation.get("iscrowd", 0)) == crowds:
            x, y, width, height = annotation["bbox"]
            found[annotation["image_id"]].append([x, y, x + width, y + height])
    return {
        Path(image["file_name"]).name: np.array(found[image["id"]], np.float32).reshape(-1, 4)
        for image in document["images"]
    }


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a photo as BGR, upright."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"{path} is no photo that OpenCV can read.")
    return np.asarray(image, np.uint8)


def label(photo: Photo, boxes: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Join the true boxes of a photo with the teacher's; return boxes and their weights.

    A teacher's box with no true one beside it: where the true boxes are complete but for tiny
    people (COCO) nothing is known of it, elsewhere it may be somebody whom the source left out.
    """
    if photo.true_boxes is None:
        return boxes, np.where(scores >= _SURE, scores, 0).astype(np.float32)
    true = np.concatenate([photo.true_boxes, photo.crowds])
    true_weights = np.repeat([1.0, 0.0], [len(photo.true_boxes), len(photo.crowds)])
    if len(true):
        unknown = box_iou(boxes, true).max(axis=1) < _SAME
        boxes, scores = boxes[unknown], scores[unknown]
    sure = _SURE if not photo.name.startswith("coco") else np.inf
    weights = np.where(scores >= sure, scores, 0)
    both = np.concatenate([true_weights, weights]).astype(np.float32)
    return np.concatenate([true, boxes]).astype(np.float32), both


def is_held_out(name: str) -> bool:
    """Tell whether a photo is of the validation split, the same in every run.

    Photos whose names differ in a last number alone (one exercise, two moments) stay together.
    """
    source, _, file = name.partition("/")
    group = re.sub(r"_\d\.\w+$", "", file)
    share = _HELD_OUT.get(source, _HELD_OUT_ELSE)
    return zlib.crc32(f"{source}/{group}".encode()) % 1000 < share * 1000


class TeacherNotes:
    """What the teacher said of each photo, in a JSON-lines file that later runs read."""

    def __init__(self, path: Path, teacher_path: Path) -> None:
        """Read the notes of earlier runs; the teacher is loaded at the first gap."""
        self._path, self._teacher_path = path, teacher_path
        self._teacher: Teacher | None = None
        lines = path.read_text().splitlines() if path.is_file() else []
        self._notes: dict[str, list[list[float]]] = dict(json.loads(line) for line in lines)

    def look_up(self, photo: Photo) -> tuple[FloatArray, FloatArray]:
        """Return boxes and scores of a photo, asking the teacher where there is no note."""
        if photo.name not in self._notes:
            if self._teacher is None:
                self._teacher = Teacher(self._teacher_path)
            boxes, scores = self._teacher.detect(photo.image)
            rows = np.concatenate([boxes, scores[:, None]], axis=1).round(4).tolist()
            self._notes[photo.name] = rows
            with self._path.open("a") as file:
                file.write(json.dumps([photo.name, rows]) + "\n")
        rows_array = np.array(self._notes[photo.name], np.float32).reshape(-1, 5)
        return rows_array[:, :4], rows_array[:, 4]


def pack_photo(photo: Photo, notes: TeacherNotes, long_side: int, quality: int) -> LabelledPhoto:
    """Label, shrink and encode one photo."""
    boxes, scores = notes.look_up(photo)
    boxes, weights = label(photo, boxes[scores >= _MAYBE], scores[scores >= _MAYBE])
    side = round(long_side * _CROP_SIDE) if photo.is_crop else long_side
    webp, scale = encode_webp(photo.image, side, quality)
    return LabelledPhoto(
        name=photo.name,
        webp=webp,
        boxes=boxes * np.float32(scale),
        weights=weights,
        held_out=not photo.is_crop and is_held_out(photo.name),
        is_crop=photo.is_crop,
        is_true=photo.true_boxes is not None,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--long-side", type=int, default=416, help="of photos, px at most")
    parser.add_argument("--quality", type=int, default=50, help="of WebP, 1 to 100")
    parser.add_argument("--crops", type=int, default=2500, help="person crops, at most")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    teacher_path = options.data / "teachers" / "yolox_nano.onnx"
    notes = TeacherNotes(options.out.with_suffix(".teacher.jsonl"), teacher_path)
    packed = []
    for source in (
        photos_of_coco(options.data / "coco_train"),
        photos_of_people(options.data / "people"),
        crops_of_pack(options.data / "packs" / "people_a.npz", options.crops),
    ):
        for photo in source:
            packed.append(pack_photo(photo, notes, options.long_side, options.quality))
            if len(packed) % 500 == 0:
                print(f"{len(packed)} photos", flush=True)
    write_pack(options.out, packed)
    held_out = [photo for photo in packed if photo.held_out]
    num_people = sum(int((photo.weights > 0).sum()) for photo in packed)
    print(
        f"{len(packed)} photos ({sum(photo.is_crop for photo in packed)} crops) with {num_people} "
        f"people, {len(held_out)} held out, {options.out.stat().st_size / 2**20:.1f} MiB"
    )


if __name__ == "__main__":
    main()
