"""The one file of training data: small photos, their boxes, and which of them are held out.

An .npz of plain arrays, so that it travels to another machine as one file and is read without the
project. Photos lie in it as WebP, one after the other; a folder of JPEGs with a COCO file would be
twice as large and thousands of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """One photo and what is known of the people in it.

    Attributes:
        name: Source and file, for a person to find it again.
        webp: The encoded photo.
        boxes: (N, 4) xyxy, px of the encoded photo.
        weights: (N,) trust in each box: 1 drawn by a person, less for a teacher's, 0 where there
            may or may not be a person, so that nothing found there is right or wrong.
        held_out: Whether it is of the validation split.
        is_crop: Whether it was cut around one person, rather than a whole photo.
        is_true: Whether its boxes were drawn by people.
    """

    name: str
    webp: bytes
    boxes: FloatArray
    weights: FloatArray
    held_out: bool = False
    is_crop: bool = False
    is_true: bool = False


def encode_webp(image: NDArray[np.uint8], long_side: int, quality: int) -> tuple[bytes, float]:
    """Shrink a BGR photo to `long_side` at most and encode it; return also the scale."""
    scale = min(1.0, long_side / max(image.shape[:2]))
    if scale < 1:
        size_wh = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise OSError("This OpenCV cannot write WebP.")
    return data.tobytes(), scale


def decode_webp(data: bytes) -> NDArray[np.uint8]:
    """Return a photo of the pack as (H, W, 3) RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError("A photo of the pack is damaged; prepare the pack anew.")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def write_pack(path: Path, photos: Sequence[LabelledPhoto]) -> None:
    """Write photos as one .npz, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part.npz")
    np.savez(
        temporary,
        blob=np.frombuffer(b"".join(photo.webp for photo in photos), np.uint8),
        sizes=np.array([len(photo.webp) for photo in photos], np.int64),
        names=np.array([photo.name for photo in photos]),
        boxes=np.concatenate([photo.boxes.reshape(-1, 4) for photo in photos]).astype(np.float32),
        weights=np.concatenate([photo.weights for photo in photos]).astype(np.float32),
        num_boxes=np.array([len(photo.boxes) for photo in photos], np.int64),
        held_out=np.array([photo.held_out for photo in photos]),
        is_crop=np.array([photo.is_crop for photo in photos]),
        is_true=np.array([photo.is_true for photo in photos]),
    )
    temporary.replace(path)


def read_pack(path: Path) -> list[LabelledPhoto]:
    """Read every photo of a pack, still encoded."""
    with np.load(path) as arrays:
        data = {key: arrays[key] for key in arrays.files}
    ends, box_ends = np.cumsum(data["sizes"]), np.cumsum(data["num_boxes"])
    blob: bytes = data["blob"].tobytes()
    photos = []
    for index, (end, box_end) in enumerate(zip(ends, box_ends, strict=True)):
        own = slice(box_end - data["num_boxes"][index], box_end)
        photos.append(
            LabelledPhoto(
                name=str(data["names"][index]),
                webp=blob[end - data["sizes"][index] : end],
                boxes=data["boxes"][own],
                weights=data["weights"][own],
                held_out=bool(data["held_out"][index]),
                is_crop=bool(data["is_crop"][index]),
                is_true=bool(data["is_true"][index]),
            )
        )
    return photos
