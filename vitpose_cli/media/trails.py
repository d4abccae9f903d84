"""Where people came from, drawn as lines that grow thin behind them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.drawing import FAR_PX, FIXED_BITS, INSTANCE_COLOURS, RIM
from vitpose_cli.pose.instances import Instances


class Trails:
    """Where the people of one video were in the last moments."""

    def __init__(self, length_s: float) -> None:
        """Begin a video.

        Args:
            length_s: For how long a place is remembered.
        """
        self._length_s = length_s
        self._places: defaultdict[int, deque[tuple[float, NDArray[np.float32]]]] = defaultdict(
            deque
        )

    def update(self, time_s: float, people: Instances) -> dict[int, NDArray[np.float32]]:
        """Take note of a frame; return where everybody in it was, (T, 2) px, oldest first.

        Who has left the picture, or was in it before a cut, would leave lines behind nobody.

        Args:
            time_s: When the frame is shown, seconds; more than the last one's.
            people: Who is in it; without identities they leave no trail.
        """
        ids = [] if people.track_ids is None else people.track_ids.tolist()
        centres = people.boxes.reshape(-1, 2, 2).mean(axis=1)
        for track_id, centre in zip(ids, centres, strict=False):
            self._places[track_id].append((time_s, centre))
        for track_id, places in list(self._places.items()):
            while places and places[0][0] < time_s - self._length_s:
                places.popleft()
            if not places:
                del self._places[track_id]
        return {
            track_id: np.stack([place for _, place in self._places[track_id]]) for track_id in ids
        }


def draw_trails(
    image: NDArray[np.uint8], trails: Mapping[int, NDArray[np.float32]], line_scale: float = 1.0
) -> NDArray[np.uint8]:
    """Draw trails onto a copy of a picture, each in the colour its identity has elsewhere.

    Args:
        image: (H, W, 3) uint8 RGB.
        trails: By identity, the places (T, 2) where somebody was, px, oldest first.
        line_scale: Factor on all widths.
    """
    canvas = np.array(image, order="C")
    widest = max(2.0, min(image.shape[:2]) / 160) * line_scale
    for track_id, places in sorted(trails.items()):
        own = INSTANCE_COLOURS[track_id % len(INSTANCE_COLOURS)]
        fixed = np.rint(np.clip(places, -FAR_PX, FAR_PX) * (1 << FIXED_BITS)).astype(int).tolist()
        widths = np.linspace(0.3, 1, len(fixed)) * widest
        for broader, colour in ((2, RIM), (0, own)):
            for start, end, width in zip(fixed, fixed[1:], widths, strict=False):
                thickness = max(1, round(width)) + broader
                cv2.line(canvas, start, end, colour, thickness, cv2.LINE_AA, FIXED_BITS)
    return canvas
