"""Tiles with captions, laid out in rows on one picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.letters import writable

GAP = 8
"""Pixels round every tile."""

CAPTION_HEIGHT = 22
"""Pixels below a tile for its caption."""

_PAPER = (250, 250, 250)
_INK = (40, 40, 40)
_FONT_SCALE = 0.42


def mosaic(
    tiles: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int
) -> NDArray[np.uint8]:
    """Lay tiles of one size out in rows, each with its caption below.

    Args:
        tiles: At least one, (H, W, 3) uint8 RGB each.
        captions: One line for each; cut where it is too long, letters as in `writable`.
        columns: Tiles in a row, at least 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = tiles[0].shape[:2]
    step_x, step_y = width + GAP, height + CAPTION_HEIGHT + GAP
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), _PAPER, np.uint8)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = number % columns * step_x + GAP, number // columns * step_y + GAP
        canvas[top : top + height, left : left + width] = tile
        place = (left, top + height + CAPTION_HEIGHT - 8)
        text = _fitting(writable(caption), width)
        cv2.putText(
            canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, _INK, 1, cv2.LINE_AA
        )
    return canvas


def _fitting(text: str, width: int) -> str:
    """Cut a text to a width in px, at its front: the end of a path says most."""
    shown = text
    while shown and _width(shown) > width:
        text = text[1:]
        shown = "..." + text
    return shown


def _width(text: str) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, 1)
    return int(width)
