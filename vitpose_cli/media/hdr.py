"""Pictures of high dynamic range, as new phones film them, made what a usual screen shows.

Their numbers stand for light by other curves (PQ, HLG) and for purer colours (BT.2020). Taken as
they are, they look grey, to people and to networks, which have hardly seen such pictures. Shadows
and what is as bright as skin become what other videos have there; brighter light is compressed.
FFmpeg's own way was refused: it takes zscale or libplacebo, which PyAV's wheels lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

_WHITE_NITS = 203.0  # of paper, which usual video has as its brightest (ITU-R BT.2408, table 1)
_PEAK_NITS = 1000.0
_GAMMA = 2.2  # of a usual screen
_KNEE = 0.5  # of the brightest light: what is darker stays
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""ITU-R BT.2087, section 4."""


def _pq_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return light, of signals in [0, 1]; SMPTE ST 2084."""
    root = signal ** (32 / 2523)
    nits: NDArray[np.float64] = 10000 * (
        np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)
    ) ** (8192 / 1305)
    return nits


def _hlg_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light of a screen of 1000 nits, of signals in [0, 1]; ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    nits: NDArray[np.float64] = _PEAK_NITS * scene**1.2
    return nits


def _compressed(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return light in [0, 1], of light of which 1 is white; FFmpeg's tone map "mobius"."""
    peak, knee = _PEAK_NITS / _WHITE_NITS, _KNEE
    light = np.minimum(light, peak)
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    bent = (b**2 + 2 * b * knee + knee**2) / (b - a) * (light + a) / (light + b)
    return np.where(light <= knee, light, bent)


def _squares(nits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return squares of what a usual screen is given: a root is all that is left to take."""
    return (_compressed(nits / _WHITE_NITS) ** (2 / _GAMMA)).astype(np.float32)


_SIGNALS = np.linspace(0, 1, 256)
_TABLES: Mapping[int, NDArray[np.float32]] = MappingProxyType(
    {16: _squares(_pq_nits(_SIGNALS)), 18: _squares(_hlg_nits(_SIGNALS))}
)
"""By FFmpeg's numbers of the curves, AVCOL_TRC_SMPTE2084 and AVCOL_TRC_ARIB_STD_B67."""


def standard_range(image: NDArray[np.uint8], transfer: int) -> NDArray[np.uint8]:
    """Return a picture as a usual screen shows it; the very same one if it is made for that.

    Args:
        image: (H, W, 3) uint8 RGB, full range.
        transfer: FFmpeg's number of its curve.
    """
    table = _TABLES.get(transfer)
    if table is None:
        return image
    # Of light itself a mixture would be right. That of these numbers differs little.
    mixed = cv2.transform(cv2.LUT(image, table), _BT2020_TO_BT709)
    shown = cv2.convertScaleAbs(cv2.sqrt(cv2.max(mixed, 0.0)), alpha=255)
    return cast(NDArray[np.uint8], shown)
