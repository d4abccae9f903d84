"""Pictures as JPEG data for a screen: whole ones to look at closely, small ones for lists.

Nothing here touches a file; drawn copies for a folder are written by `images.ImageSink`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError


def encode_preview(image: NDArray[np.uint8], max_side: int, quality: int) -> bytes:
    """Return a picture as JPEG data, made smaller where a side is longer than `max_side`.

    Args:
        image: (H, W, 3) uint8 RGB.
        max_side: Longest side of the result, px.
        quality: JPEG quality, 1 to 100.

    Raises:
        InputError: The picture cannot be encoded.
    """
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale < 1:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise InputError(f"A picture of {width} x {height} px cannot be shown as JPEG.")
    return data.tobytes()
