"""What may stand as the OKS sigmas of keypoints in a file, and what counts where none do."""

from __future__ import annotations

import reprlib

UNKNOWN_SIGMA = 0.067
"""OKS sigma of a keypoint nobody has measured: the mean of COCO's seventeen (1.138 / 17)."""

SIGMAS = (1e-4, 10.0)
"""Range of what a file may state: below lies no pixel of any photo, above everything is right.

Published ones are between 0.007 (on the face, COCO-WholeBody) and 0.179 (shoulders, MPII).
"""


def sigmas_fault(stated: object, num_keypoints: int) -> str:
    """Return what is wrong with sigmas that somebody wrote; empty where nothing is."""
    if not isinstance(stated, list | tuple):
        return "is not a list"
    if len(stated) != num_keypoints:
        return f"has {len(stated)} numbers for {num_keypoints} keypoints"
    for sigma in stated:
        if isinstance(sigma, bool) or not isinstance(sigma, int | float):
            return f"has {sigma!r}, which is not a number"
        if not SIGMAS[0] <= sigma <= SIGMAS[1]:
            return f"has {reprlib.repr(sigma)}, which is not from {SIGMAS[0]} to {SIGMAS[1]:g}"
    return ""
