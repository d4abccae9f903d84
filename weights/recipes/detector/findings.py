"""What a network finds in photos of a pack, and the numbers worth a line of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from measure import Matches, PhotoResult
from pack import LabelledPhoto, decode_webp
from store import resized

_SMALL, _LARGE = 22, 45
"""Sides, px of the pack's photos, that stand for 32 and 64 px of photos as COCO has them."""


@torch.inference_mode()
def find_in_photos(
    network: Any, photos: Sequence[LabelledPhoto], side: int, device: torch.device
) -> list[PhotoResult]:
    """Find people in photos of a pack with torchvision's own inference, without a threshold."""
    network.transform.min_size, network.transform.max_size = (side,), side
    network.score_thresh = 0.05
    results = []
    for photo in photos:
        pixels = torch.from_numpy(decode_webp(photo.webp)).permute(2, 0, 1)
        scale = side / max(pixels.shape[1:])
        [found] = network([resized(pixels, scale).to(device).float() / 255])
        results.append(
            PhotoResult(
                found["boxes"].cpu().numpy() / np.float32(scale),
                found["scores"].cpu().numpy(),
                photo.boxes,
                photo.weights,
            )
        )
    return results


def summary(matches: Matches) -> dict[str, float]:
    """Return the numbers worth a line of the log."""
    threshold = matches.threshold_at(0.4)
    numbers = {
        "ap50": matches.average_precision(),
        "threshold": threshold,
        "recall_large": matches.recall(threshold, _LARGE),
        "recall_medium": matches.recall(threshold, _SMALL),
        "false_boxes": matches.false_boxes(threshold),
    }
    return {key: round(value, 4) for key, value in numbers.items()}
