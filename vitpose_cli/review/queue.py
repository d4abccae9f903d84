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
from vitpose_cli.records.coco_items import named_images, wrong
from vitpose_cli.records.shards import document_files


def read_queue(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the reasons for each frame by its `file_name`, in the order of the queue.

    Raises:
        InputError: The file cannot be read, is no COCO file, or names no image.
    """
    reasons = {
        image["file_name"]: _reasons(image, path, place)
        for place, image in named_images(document_files(path))
    }
    if not reasons:
        raise InputError(f"{path} names no images.", "A queue lists frames under `images`.")
    return reasons


def _reasons(image: Mapping[str, Any], path: Path, place: str) -> tuple[str, ...]:
    reasons = image.get("reasons", [])
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise wrong(path, f"{place}.reasons", "is not a list of texts")
    return tuple(reasons)
