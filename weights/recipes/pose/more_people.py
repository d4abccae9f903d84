"""Make a pack of the people in everyday photos whom the packs at hand leave out.

    python more_people.py DATA --out people_c.npz

DATA holds `people/` (photos by source, some with true boxes), `packs/people_b.npz` and the
teachers: YOLOX-nano finds the people and PP-TinyPose says where their keypoints are. What people_b
already shows is left out, and so are all photos of the crops that are held out of it. YOLOX-nano's
boxes are kept beside the pack, so that a second run takes a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from held_out import CONTEXT, are_held_out
from numpy.typing import NDArray

from vitpose_cli.media.frames import Frame
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.pose.geometry import PADDING, CropTransforms, box_iou
from vitpose_cli.training.config import NcnnTeacher
from vitpose_cli.training.ncnn_teacher import NcnnNetwork
from vitpose_cli.training.packs import Pack
from vitpose_cli.training.process import Placement

sys.path.append(str(Path(__file__).parents[1] / "detector"))
from prepare_data import Photo, TeacherNotes, photos_of_people

FloatArray = NDArray[np.float32]

CROP_WH = (240, 320)
"""As in the packs."""

LEAST_SCORE = 0.25
"""Of a box. Below it two of three are no people."""

LEAST_WH = (12, 32)
"""Of a box, px. Below it the teacher guesses."""

LEAST_CONFIDENCE = 0.25
"""Of the teacher, mean of the seven keypoints it is surest of: below it is nobody."""

KNOWN = 0.05
"""Confidence from which on a keypoint of the teacher's is written down."""

SAME_BOX = 0.5
"""Overlap from which on a found box and a true one are one person."""

ALIKE = 0.9
"""Correlation of two thumbnails from which on they show the same person."""

SOURCE = 3
"""Number of these crops' source; the packs at hand have 0 to 2."""

BATCH = 32


@dataclass(frozen=True, slots=True)
class Crop:
    """A person cut out: the photo's name, and pixels (320, 240, 3) uint8 BGR."""

    photo: str
    pixels: NDArray[np.uint8]


def crops_of_photos(photos: Iterable[Photo], notes: TeacherNotes) -> Iterator[Crop]:
    """Yield the person crops of all photos that are worth asking about."""
    for photo in photos:
        found, scores = notes.look_up(photo)
        boxes = found[scores >= LEAST_SCORE]
        if photo.true_boxes is not None:
            missed = ~(box_iou(photo.true_boxes, boxes) > SAME_BOX).any(axis=1)
            boxes = np.concatenate([boxes, photo.true_boxes[missed]])
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= LEAST_WH).all(axis=1)]
        transforms = CropTransforms.from_boxes(
            boxes, CROP_WH, alignment="classic", padding=PADDING * CONTEXT
        )
        for matrix in transforms.matrices:
            yield Crop(photo.name, _cut(photo.image, matrix))


def _cut(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Resample a crop from a photo that is made smaller first where the crop is."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1:
        size_wh = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix.copy()
        matrix[:, :2] /= scale
    return np.asarray(cv2.warpAffine(image, matrix, CROP_WH, flags=cv2.INTER_LINEAR), np.uint8)


def thumbnail(pixels: NDArray[np.uint8]) -> FloatArray:
    """Return what a person crop looks like from afar: (432,) with zero mean and unit length."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels[60:260, 45:195]), cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (18, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return np.asarray(small / max(1e-6, float(np.linalg.norm(small))), np.float32)


def new_crops(crops: Sequence[Crop], path: Path) -> list[Crop]:
    """Leave out who is in the pack already, and every photo of a crop that is held out of it."""
    pack = Pack.open(path)
    pictures = [frame.image for frame in pack.frames() if isinstance(frame, Frame)]
    known = np.stack([thumbnail(picture[..., ::-1]) for picture in pictures])
    alike = np.stack([thumbnail(crop.pixels) for crop in crops]) @ known.T > ALIKE
    held_out = np.any(alike[:, are_held_out(pack)], axis=1)
    barred = {crop.photo for crop, is_held_out in zip(crops, held_out, strict=True) if is_held_out}
    seen = np.any(alike, axis=1)
    print(f"{len(crops)} crops, {seen.sum()} of them known, {len(barred)} photos are held out")
    return [
        crop
        for crop, is_seen in zip(crops, seen, strict=True)
        if not is_seen and crop.photo not in barred
    ]


def keypoints_of(crops: Sequence[Crop], teacher: NcnnNetwork) -> FloatArray:
    """Ask the teacher; return (N, K, 4) as a pack holds it: x, y, kind, confidence."""
    corner = np.array(CROP_WH) * (1 - 1 / CONTEXT) / 2
    box = np.concatenate([corner, np.array(CROP_WH) - corner])[None]
    codec = teacher.codec
    middle = CropTransforms.from_boxes(box, codec.input_wh, alignment=codec.alignment, padding=1.0)
    rows = []
    for start in range(0, len(crops), BATCH):
        cut = [
            cv2.warpAffine(crop.pixels, middle.matrices[0], codec.input_wh)
            for crop in crops[start : start + BATCH]
        ]
        pixels = torch.from_numpy(np.stack(cut)[..., ::-1].copy())
        decoded = codec.decode(teacher.maps(normalise(pixels)))
        scores = decoded.scores.numpy()[..., None]
        flat = decoded.crop_keypoints.numpy().reshape(1, -1, 2)
        places = middle.to_frame(flat).reshape(*scores.shape[:2], 2)
        rows.append(np.concatenate([places, scores > KNOWN, scores], axis=-1))
    return np.concatenate(rows).astype(np.float32)


def write_pack(path: Path, crops: Sequence[Crop], keypoints: FloatArray, source: int) -> None:
    """Write crops and what the teacher says of them."""
    webps = []
    for crop in crops:
        _, data = cv2.imencode(".webp", crop.pixels, [cv2.IMWRITE_WEBP_QUALITY, 80])
        webps.append(data.ravel())
    np.savez(
        path,
        blob=np.concatenate(webps),
        offsets=np.cumsum([0, *map(len, webps)]),
        keypoints=keypoints,
        source=np.full(len(crops), source, np.int8),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    finder = options.data / "teachers" / "yolox_nano.onnx"
    notes = TeacherNotes(options.out.with_suffix(".teacher.jsonl"), finder)
    candidates = list(crops_of_photos(photos_of_people(options.data / "people"), notes))
    crops = new_crops(candidates, options.data / "packs" / "people_b.npz")
    network = NcnnTeacher(ncnn=options.data / "teachers" / "tinypose_256x192.param")
    keypoints = keypoints_of(crops, NcnnNetwork.open(network, Placement(torch.device("cpu"))))
    surest = np.sort(keypoints[..., 3], axis=1)[:, -7:].mean(axis=1)
    kept = np.flatnonzero(surest >= LEAST_CONFIDENCE)
    write_pack(options.out, [crops[index] for index in kept], keypoints[kept], SOURCE)
    print(f"{len(kept)} of {len(crops)} crops show somebody: {options.out}")


if __name__ == "__main__":
    main()
