"""Videos of which each picture stands alone, so that damage costs none but itself."""

from __future__ import annotations

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

INDEPENDENT = frozenset({"mjpeg", "prores", "dnxhd", "png"})
"""Codecs of which each packet is a picture, none builds on another, and damage is told."""


def decoded_alone(packet: Packet[VideoStream], *, after_damage: bool) -> VideoFrame | None:
    """Return the picture of a packet that builds on no other; None where it is damaged.

    Args:
        packet: Not empty.
        after_damage: The one before was damaged. Where that was in the second of two fields, the
            decoder takes the next field for the second, so that it is given the packet once more.
    """
    try:
        for _ in range(1 + after_damage):
            frames = packet.decode()
    except av.FFmpegError:
        return None
    return frames[0] if frames and not frames[0].is_corrupt else None
