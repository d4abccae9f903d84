"""How many pictures there are in a piece of AV1, without decoding it.

It is a row of units, each with its kind and its length before it (AV1, 5.3 to 5.5).
"""

from __future__ import annotations

_FRAME_HEADER, _FRAME = 3, 6


def num_pictures(data: bytes) -> int:
    """Return how many pictures `data` holds, hidden ones and layers of one picture included."""
    count = at = 0
    while at < len(data):
        head = data[at]
        at += 2 if head & 4 else 1
        count += head >> 3 & 15 in (_FRAME_HEADER, _FRAME)
        if not head & 2:
            break  # the last unit needs no length
        length = shift = 0
        more = True
        while more and at < len(data):
            length |= (data[at] & 0x7F) << shift
            more = data[at] >= 0x80 and shift < 49
            shift += 7
            at += 1
        at += length
    return count
