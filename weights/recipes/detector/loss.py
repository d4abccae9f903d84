"""What the network is taught: which places answer for whom, and what they should say.

torchvision's own FCOS loss assigns places by fixed size ranges per level and takes no pseudo boxes
with doubts. Here each person chooses the places that already answer best (SimOTA, arXiv:2107.08430,
with the soft centre prior of RTMDet, arXiv:2212.07784), a place is taught how well its box fits
(quality focal loss, arXiv:2006.04388), and regions of doubt teach nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

_MOST_PLACES = 13
PERSON = 1
"""Column of the person among the classes."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the network answers.

    Attributes:
        centres: (A, 2) xy, picture px.
        strides: (A,) px.
    """

    centres: Tensor
    strides: Tensor

    @classmethod
    def of_anchors(cls, anchors: Tensor) -> Places:
        """Take the centres and sizes of torchvision's anchors, (A, 4)."""
        return cls((anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2] - anchors[:, 0])

    def decode(self, distances: Tensor) -> Tensor:
        """Turn distances (B, A, 4) to the four sides, in strides, into boxes xyxy in px."""
        reach = distances * self.strides[None, :, None]
        low, high = self.centres - reach[..., :2], self.centres + reach[..., 2:]
        return torch.cat([low, high], dim=-1)


def detection_loss(
    answers: dict[str, Tensor], places: Places, boxes: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """Return the parts of the loss.

    Args:
        answers: `cls_logits` (B, A, C), `bbox_regression` (B, A, 4), `bbox_ctrness` (B, A, 1) of
            torchvision's FCOS head.
        places: Of those answers.
        boxes: (B, P, 4) xyxy, px.
        weights: (B, P): above 0 a person and the trust in it, 0 a region to ignore, -1 nothing.
    """
    logits = answers["cls_logits"][..., PERSON].float()
    found = places.decode(answers["bbox_regression"].float())
    with torch.no_grad():
        owners, overlaps = assign(logits.sigmoid(), found, places, boxes, weights)
        positive = owners >= 0
        chosen = owners.clamp(min=0)
        trust = torch.where(positive, weights.gather(1, chosen), torch.ones_like(logits))
        target = torch.where(positive, overlaps, torch.zeros_like(overlaps))
        trust = trust * ~(~positive & _in_doubt(places, boxes, weights))
        total = (target * trust).sum().clamp(min=1)
    gap = (target - logits.sigmoid()).abs() ** 2
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    wanted = boxes.gather(1, chosen[..., None].expand(-1, -1, 4))[positive]
    strength = (target * trust)[positive]
    misfit = generalized_box_iou_loss(found[positive], wanted, reduction="none")
    quality = functional.binary_cross_entropy_with_logits(
        answers["bbox_ctrness"][..., 0].float()[positive], target[positive], reduction="none"
    )
    return {
        "class": (entropy * gap * trust).sum() / total,
        "box": 2 * (misfit * strength).sum() / total,
        "quality": 0.5 * (quality * trust[positive]).sum() / positive.sum().clamp(min=1),
    }


def assign(
    scores: Tensor, found: Tensor, places: Places, boxes: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose the places that answer for each person.

    Args:
        scores: (B, A) in [0, 1].
        found: (B, A, 4) boxes as the network sees them now.
        places: Of those answers.
        boxes: (B, P, 4) true boxes.
        weights: (B, P); only boxes above 0 get places.

    Returns:
        The box that each place answers for (B, A), -1 for none, and how far the two overlap (B, A).
    """
    is_person = weights > 0
    inside = _inside(places, boxes) & is_person[..., None]
    overlaps = _overlaps(boxes, found)
    centre = (boxes[..., None, :2] + boxes[..., None, 2:]) / 2
    away = (places.centres - centre).norm(dim=-1) / places.strides
    entropy = functional.binary_cross_entropy(
        scores[:, None].expand_as(overlaps), overlaps, reduction="none"
    )
    cost = entropy * (overlaps - scores[:, None]) ** 2 - 3 * (overlaps + 1e-7).log()
    cost = cost + 10 ** (away - 3).clamp(max=6)
    cost = torch.where(inside, cost, torch.full_like(cost, 1e9))
    most = min(_MOST_PLACES, cost.shape[-1])
    best = (overlaps * inside).topk(most, dim=-1).values.sum(dim=-1)
    num_places = best.long().clamp(min=1)
    ranked = cost.topk(most, dim=-1, largest=False)
    rank = torch.arange(most, device=cost.device)
    taken = (rank < num_places[..., None]) & (ranked.values < 1e8)
    matched = torch.zeros_like(inside).scatter(2, ranked.indices, taken)
    owners = torch.where(matched, cost, torch.full_like(cost, 1e9)).argmin(dim=1)
    fit = overlaps.gather(1, owners[:, None])[:, 0]
    return torch.where(matched.any(dim=1), owners, torch.full_like(owners, -1)), fit


def _inside(places: Places, boxes: Tensor) -> Tensor:
    """Tell which places (A) lie within which boxes (B, P, 4), (B, P, A)."""
    x, y = places.centres.T
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    within: Tensor = (x > low[..., 0]) & (x < high[..., 0]) & (y > low[..., 1]) & (y < high[..., 1])
    return within


def _in_doubt(places: Places, boxes: Tensor, weights: Tensor) -> Tensor:
    """Tell which places (B, A) lie in a region to ignore."""
    return (_inside(places, boxes) & (weights == 0)[..., None]).any(dim=1)


def _overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Return the overlap (IoU) of boxes (B, P, 4) and (B, A, 4), (B, P, A)."""
    low = torch.maximum(a[:, :, None, :2], b[:, None, :, :2])
    high = torch.minimum(a[:, :, None, 2:], b[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1) for boxes in (a, b)]
    overlap: Tensor = shared / (areas[0][:, :, None] + areas[1][:, None] - shared).clamp(min=1e-6)
    return overlap.clamp(0, 1)
