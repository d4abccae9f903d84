"""The queue: which frames to look at, in which order, and why.

A queue is a COCO annotation file, so that any tool can show what was chosen: the order of its
`images` is the order of the review, and `reasons` of an image says in words why it is there. Its
labels are not used; those of the run are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.coco_items import wrong


def read_queue(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the reasons for each frame by its `file_name`, in the order of the queue.

    Raises:
        InputError: The file cannot be read, is no COCO file, or names no image.
    """
    document = read_coco(path)
    if not document.images:
        raise InputError(f"{path} names no images.", "A queue lists frames under `images`.")
    return {
        image["file_name"]: _reasons(image, path, place)
        for place, image in enumerate(document.images)
    }


def _reasons(image: Mapping[str, Any], path: Path, place: int) -> tuple[str, ...]:
    reasons = image.get("reasons", [])
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise wrong(path, f"images[{place}].reasons", "is not a list of texts")
    return tuple(reasons)
