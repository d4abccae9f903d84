"""What may stand as the OKS sigmas of keypoints in a file, and what counts where none do."""

from __future__ import annotations

import math

UNKNOWN_SIGMA = 0.067
"""OKS sigma of a keypoint nobody has measured: the mean of COCO's seventeen (1.138 / 17)."""


def sigmas_fault(stated: object, num_keypoints: int) -> str:
    """Return what is wrong with sigmas that somebody wrote; empty where nothing is."""
    if not isinstance(stated, list | tuple):
        return "is not a list"
    if len(stated) != num_keypoints:
        return f"has {len(stated)} numbers for {num_keypoints} keypoints"
    for sigma in stated:
        if isinstance(sigma, bool) or not isinstance(sigma, int | float):
            return f"has {sigma!r}, which is not a number"
        if not 0 < sigma < math.inf:
            return f"has {sigma!r}, which is not above 0 and finite"
    return ""
