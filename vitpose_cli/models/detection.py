"""What every detector shares: the protocol, its options, and tidying what a network found.

Opening one by its name is in `detectors`. Classes are found by their name and never by number: the
same person is 0 in one model and 1 in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import nms

from vitpose_cli.errors import ConfigError
from vitpose_cli.media.frames import Frame
from vitpose_cli.pose.geometry import clip_boxes
from vitpose_cli.pose.instances import Detections
from vitpose_cli.runtime import has_fast

DEFAULT_THRESHOLD = 0.3
"""Score from which on a box counts, where neither the user nor the weights say otherwise."""

DETECTOR_FRAMES = 8
"""Frames in one call of a detector, and held at once."""

DETECTOR_PIXELS = 100_000_000
"""Pixels (300 MB) from which on fewer frames are."""

_NO_CLASS = "__background__"  # what torchvision calls the first of its classes

PERSON = ("person",)
ANIMALS = ("animal", "bear", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
"""COCO's mammals, and the one class of wildlife detectors.

COCO's bird is left out: AP-10K and APT-36K hold mammals alone, and their keypoints (four paws, a
root of the tail) name no part of a bird.
"""

SAME_ANIMAL_IOU = 0.8
"""Boxes of two classes that overlap more are one animal taken for both."""


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How a detector is run.

    Attributes:
        device: Where its network runs.
        dtype: In which number type, at most; detectors take `finer_dtype`.
        threshold: Boxes scored below it are dropped; None takes the detector's own.
        classes: Names of the wanted classes; a detector must know at least one.
        input_wh: Width and height of the network's input, px; None takes the detector's own.
        flip_test: Whether a detector that was made for it looks at the mirrored frame, too.
        image_names: File names by image id, for boxes of a results file that has ids alone; None
            takes those of COCO's own photos.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    threshold: float | None = None
    classes: tuple[str, ...] = PERSON
    input_wh: tuple[int, int] | None = None
    flip_test: bool = True
    image_names: Mapping[int, str] | None = None

    @property
    def finer_dtype(self) -> torch.dtype:
        """The number type in which a network loses no pixels: `dtype`, but never bf16.

        With the 8 bits of bf16 boxes are off by pixels, even where these are computed in float32
        of what the network says; with the 11 bits of fp16 by parts of one.
        """
        if self.dtype != torch.bfloat16:
            return self.dtype
        return torch.float16 if has_fast(torch.float16, self.device) else torch.float32


class Detector(Protocol):
    """Who finds the boxes."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame, computed in as few batches as that allows.

        Boxes are of the wanted classes, score at least the threshold, lie within the frame, have
        an area, and are sorted by score, best first.
        """
        ...


def classes_of(category: str) -> tuple[str, ...]:
    """Return the detector classes whose instances have the keypoints of `category`."""
    return {"person": PERSON, "animal": ANIMALS}.get(category, (category,))


def find_classes(names: Mapping[int, str], wanted: Collection[str], where: str) -> tuple[int, ...]:
    """Return the labels of the `wanted` classes, whatever their case.

    Args:
        names: Every class name by label.
        wanted: Names; those that the detector lacks are passed over.
        where: The detector, for the error.

    Raises:
        ConfigError: The detector knows none of them.
    """
    folded = {name.casefold() for name in wanted}
    labels = tuple(label for label, name in names.items() if str(name).casefold() in folded)
    if not labels:
        known = sorted({*map(str, names.values())} - {_NO_CLASS})
        shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        what, example, advice = " or ".join(sorted(wanted)), "", ""
        if {*wanted} == {*ANIMALS}:
            what, example = "animals", ", such as dfine-m"
        elif "person" in (name.casefold() for name in known):
            advice = f" For {what} that are parts of people, learn from a category called person."
        raise ConfigError(
            f"The detector {where} does not know {what}.",
            f"It knows: {shown}. Take another with --detector{example}, or whole-image where each "
            f"photo is nearly filled by one; or give --boxes, a file or a run.{advice}",
        )
    return labels


def detect_by_size(
    frames: Sequence[Frame],
    sizes_wh: Sequence[tuple[int, int]],
    detect: Callable[[list[Frame], tuple[int, int]], Iterable[Detections]],
) -> list[Detections]:
    """Return the boxes of each frame, found in batches of one size of input each.

    For networks whose input is as large as its largest frame: padding changes what is found, and a
    frame's boxes must not depend on its neighbours, or a resumed run would give others.

    Args:
        frames: The frames.
        sizes_wh: The input's width and height for each, px.
        detect: Returns the boxes of each of some frames, whose input has this one size.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for position, size_wh in enumerate(sizes_wh):
        groups.setdefault(size_wh, []).append(position)
    found: dict[int, Detections] = {}
    for size_wh, group in groups.items():
        boxes = detect([frames[position] for position in group], size_wh)
        found.update(zip(group, boxes, strict=True))
    return [found[position] for position in range(len(frames))]


def tidy(
    boxes: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
    threshold: float,
    size_wh: tuple[int, int],
) -> Detections:
    """Drop what scores too low, cut boxes at the frame, drop the empty ones, and sort by score.

    Args:
        boxes: (N, 4) xyxy, frame px; may leave the frame, be empty or not finite.
        scores: (N,).
        threshold: Least score.
        size_wh: The frame's width and height, px.
    """
    clipped = clip_boxes(boxes.astype(np.float32), size_wh)
    solid = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)  # False for NaN
    kept = np.flatnonzero(solid & (scores >= threshold))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    return Detections(clipped[order], scores[order])


def detections_of(
    found: Mapping[str, Tensor],
    labels: Sequence[int],
    threshold: float,
    size_wh: tuple[int, int],
) -> Detections:
    """Return what a network found in one frame as detections of some classes, each animal once.

    Networks suppress duplicates within a class at most; a cow taken for a horse as well is found
    twice.

    Args:
        found: `boxes` (N, 4) xyxy in frame px, `scores` (N,) and `labels` (N,).
        labels: The wanted classes.
        threshold: Least score.
        size_wh: The frame's width and height, px.
    """
    chosen = torch.isin(found["labels"], torch.tensor(labels, device=found["labels"].device))
    boxes, scores = found["boxes"][chosen].float(), found["scores"][chosen].float()
    if len(labels) > 1:
        kept = nms(boxes, scores, SAME_ANIMAL_IOU)
        boxes, scores = boxes[kept], scores[kept]
    return tidy(boxes.cpu().numpy(), scores.cpu().numpy(), threshold, size_wh)
