"""Learning from what the teacher says of every training picture, at every place of it.

Boxes kept in the pack say where the teacher was sure, on the photo as it is. Shown the very picture
(cut, mosaicked, with people pasted in), it says at each place how likely somebody is there, and
what box they have: a soft answer for every place, rather than a yes or no (knowledge distillation,
arXiv:1503.02531, as dense as the student's own answer). What it sees there of all its 80 classes,
dogs and hydrants too, is in the features before its heads, which the student's pyramid is taught to
tell, too (arXiv:2207.02039).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from loss import PERSON, Places
from teacher import INPUT, STEM_WIDTH, STRIDES, Teacher
from torch import Tensor, nn
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
        stems: What goes into its heads, (B, `STEM_WIDTH`, H, W) at each of its `STRIDES`.
    """

    boxes: Tensor
    scores: Tensor
    stems: tuple[Tensor, ...]


class DenseTeacher:
    """Shows training pictures to the teacher."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load the teacher from an ONNX file, to be run on so many threads."""
        self._teacher = Teacher(path, threads=threads)

    @torch.no_grad()
    def look_at(self, images: Tensor, places: Places) -> Hints:
        """Return what the teacher says of pictures (B, 3, S, S), RGB in [0, 1], at `places`."""
        side = images.shape[-1]
        small = functional.interpolate(
            images, (INPUT, INPUT), mode="bilinear", antialias=side > INPUT, align_corners=False
        )
        pixels = (small.flip(1) * 255).permute(0, 2, 3, 1).cpu().numpy()
        answers = [self._teacher.answer_everywhere(picture) for picture in pixels]
        boxes, scores, *stems = (
            torch.from_numpy(np.stack(parts)).to(images.device)
            for parts in zip(*answers, strict=True)
        )
        index = _nearest(places, side)
        return Hints(boxes[:, index] * (side / INPUT), scores[:, index], tuple(stems))


class StemReader(nn.Module):
    """Reads the teacher's stems from the student's pyramid; thrown away after the training."""

    def __init__(self, pyramid_width: int) -> None:
        """Start a linear map for each of the teacher's strides.

        Args:
            pyramid_width: Channels of the student's pyramid.
        """
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(pyramid_width, STEM_WIDTH, 1) for _ in STRIDES)

    def forward(self, features: list[Tensor], stems: tuple[Tensor, ...]) -> Tensor:
        """Return how much of the stems is not told, in [0, 2]: 1 - Pearson's correlation.

        Args:
            features: Of the student at the teacher's strides, (B, C, H, W), and at any further.
            stems: Of the teacher.
        """
        losses = []
        for read, feature, stem in zip(self.maps, features, stems, strict=False):
            wanted = functional.interpolate(
                stem, feature.shape[-2:], mode="bilinear", align_corners=False
            )
            product = _standardised(read(feature).float()) * _standardised(wanted)
            losses.append(1 - product.mean())
        return torch.stack(losses).mean()


def _standardised(features: Tensor) -> Tensor:
    """Return (B, C, H, W) with mean 0 and variance 1 in each channel."""
    mean = features.mean(dim=(0, 2, 3), keepdim=True)
    spread = features.var(dim=(0, 2, 3), keepdim=True, correction=0)
    return (features - mean) / (spread + 1e-6).sqrt()


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
