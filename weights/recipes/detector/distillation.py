"""Learning from what the teacher says of every training picture, at every place of it.

Boxes kept in the pack say where the teacher was sure, on the photo as it is. Shown the very picture
(cut, mosaicked, with people pasted in), it says at each place how likely somebody is there, and
what box they have: a soft answer for every place, rather than a yes or no (knowledge distillation,
arXiv:1503.02531, as dense as the student's own answer).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from loss import PERSON, Places
from teacher import INPUT, STRIDES, Teacher
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

_WORTH_A_BOX = 0.2
"""Teacher's score from which on its box is learnt from."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the teacher says of some pictures, at the student's places.

    Attributes:
        boxes: (B, A, 4) xyxy, px of the pictures.
        scores: (B, A) in [0, 1].
    """

    boxes: Tensor
    scores: Tensor


class DenseTeacher:
    """Shows training pictures to the teacher."""

    def __init__(self, path: Path) -> None:
        """Load the teacher from an ONNX file."""
        self._teacher = Teacher(path)

    @torch.no_grad()
    def look_at(self, images: Tensor, places: Places) -> Hints:
        """Return what the teacher says of pictures (B, 3, S, S), RGB in [0, 1], at `places`."""
        side = images.shape[-1]
        small = functional.interpolate(
            images, (INPUT, INPUT), mode="bilinear", antialias=side > INPUT, align_corners=False
        )
        pixels = (small.flip(1) * 255).permute(0, 2, 3, 1).cpu().numpy()
        answers = [self._teacher.answer_everywhere(picture) for picture in pixels]
        index = _nearest(places, side).cpu()
        boxes, scores = (
            torch.from_numpy(np.stack(parts))[:, index].to(images.device)
            for parts in zip(*answers, strict=True)
        )
        return Hints(boxes * (side / INPUT), scores)


def hint_loss(answers: dict[str, Tensor], places: Places, hints: Hints) -> dict[str, Tensor]:
    """Return the parts of the loss against the teacher's answers.

    Args:
        answers: `cls_logits` (B, A, C) and `bbox_regression` (B, A, 4); see `detection_loss`.
        places: Of those answers.
        hints: Of the same pictures, at the same places.
    """
    logits = answers["cls_logits"][..., PERSON].float()
    total = hints.scores.sum().clamp(min=1)
    gap = (hints.scores - logits.sigmoid()).detach().abs() ** 2
    entropy = functional.binary_cross_entropy_with_logits(logits, hints.scores, reduction="none")
    sure = hints.scores > _WORTH_A_BOX
    found = places.decode(answers["bbox_regression"].float())[sure]
    misfit = generalized_box_iou_loss(found, hints.boxes[sure], reduction="none")
    return {
        "hint_class": (entropy * gap).sum() / total,
        "hint_box": 2 * (misfit * hints.scores[sure]).sum() / total,
    }


def _nearest(places: Places, side: int) -> Tensor:
    """Return for each place (A,) the teacher's place nearest to it at the same stride.

    Places of larger strides than any of the teacher's take its largest.
    """
    index = torch.zeros(len(places.strides), dtype=torch.long, device=places.strides.device)
    start = 0
    for stride in STRIDES:
        num = INPUT // stride
        cells = (places.centres * (num / side)).long().clamp(max=num - 1)
        own = places.strides >= stride
        index = torch.where(own, start + cells[:, 1] * num + cells[:, 0], index)
        start += num**2
    return index
