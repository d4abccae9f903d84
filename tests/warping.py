"""How far crops that OpenCV cuts may be from exact ones: version 4 rounds positions to 1/32 px."""

import cv2

_ROUNDS = int(cv2.__version__.partition(".")[0]) < 5

CROP_LEVELS = 9 if _ROUNDS else 2
"""Grey levels. 1/64 px along both axes between black and white is 8; measured: 8, in photos 4."""

KEYPOINT_PX = 1.0 if _ROUNDS else 0.05
"""Of an untrained network; shipped weights in photos are off by 0.04 px, and by 0.3 at p99."""

ALIKE = 0.95 if _ROUNDS else 1.0
"""Share of numbers this near; measured: 0.98, as peaks of an untrained network nearly tie."""
