"""Pictures as a handful of colours, to tell at a glance whether two are of the same scene."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def colour_thumbnail(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Return a picture's colours on a coarse grid.

    In CIE L*a*b*, where equal distances look about equally different.

    Args:
        image: (H, W, 3) uint8 RGB.
        side: Cells in each direction; the picture is stretched to a square.

    Returns:
        (side, side, 3) float32, each of the three about 0 to 1.
    """
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    lab: NDArray[np.float32] = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    return lab
