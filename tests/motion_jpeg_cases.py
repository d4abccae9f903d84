"""Motion JPEG as cameras write it, packet by packet, and damage within one of its pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from runs import EXAMPLES
from video_cases import picture

SIZE_WH = (240, 180)
RATE = 25
_NUMBER_ROWS = 24

QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 75)
SAMPLINGS = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
}
_DHT, _APP0, _SOS = 0xC4, 0xE0, 0xDA


def textured(index: int, size_wh: tuple[int, int] = SIZE_WH) -> NDArray[np.uint8]:
    """Draw picture `index` with part of a photo below its number, so that it takes kilobytes."""
    image = picture(index, size_wh)
    below = image[_NUMBER_ROWS:]
    height, width = below.shape[:2]
    photo = cv2.resize(_photo(), (width + 20, height))
    below[:] = photo[:, index % 20 : index % 20 + width]
    return image


@cache
def _photo() -> NDArray[np.uint8]:
    data = np.frombuffer((EXAMPLES / "astronaut.jpg").read_bytes(), np.uint8)
    return cast(NDArray[np.uint8], cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def jpeg(image: NDArray[np.uint8], *options: int) -> bytes:
    """Encode a picture; `options` are OpenCV's, in pairs."""
    code = cv2.COLOR_RGB2BGR if image.ndim == 3 else cv2.COLOR_GRAY2BGR
    made = image if image.ndim == 2 else cv2.cvtColor(image, code)
    return cast(NDArray[np.uint8], cv2.imencode(".jpg", made, [*QUALITY, *options])[1]).tobytes()


def fields(index: int) -> tuple[bytes, bytes]:
    """Return the two half pictures of which one packet of interlaced video is made."""
    image = textured(index)
    return jpeg(image[0::2]), jpeg(image[1::2])


def write_packets(path: Path, packets: Sequence[bytes], size_wh: tuple[int, int] = SIZE_WH) -> Path:
    """Write JPEG files as the packets of a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuvj420p"
        container.start_encoding()
        for index, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream = stream
            packet.pts = packet.dts = index
            packet.time_base, packet.duration = Fraction(1, RATE), 1
            packet.is_keyframe = True
            container.mux(packet)
    return path


def damaged(data: bytes) -> bytes:
    """Return a JPEG over the middle of which another was written."""
    return overwritten(data, 0.5, data[:512])


def overwritten(data: bytes, at: float, others: bytes) -> bytes:
    """Return a JPEG with other bytes at some place of its picture, 0 its begin and 1 its end."""
    begin = _parts(data)[-1][2]
    start = begin + round(at * (len(data) - len(others) - begin))
    return data[:start] + others + data[start + len(others) :]


def without(data: bytes, *markers: int) -> bytes:
    """Return a JPEG that lacks some of its segments."""
    parts = _parts(data)
    kept = b"".join(data[start:end] for marker, start, end in parts if marker not in markers)
    return data[:2] + kept + data[parts[-1][2] :]


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    """Return a JPEG with one more segment, the first of all."""
    length = (len(content) + 2).to_bytes(2, "big")
    return data[:2] + bytes([0xFF, marker]) + length + content + data[2:]


def _parts(data: bytes) -> list[tuple[int, int, int]]:
    """Return the marker, start and end of each segment, up to where the picture itself begins."""
    parts: list[tuple[int, int, int]] = []
    start = 2
    while not parts or parts[-1][0] != _SOS:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        parts.append((data[start + 1], start, end))
        start = end
    return parts


def _grey(index: int) -> bytes:
    return jpeg(cv2.cvtColor(textured(index), cv2.COLOR_RGB2GRAY))


def _of(change: Callable[[bytes], bytes]) -> Callable[[int], bytes]:
    return lambda index: change(jpeg(textured(index)))


def _encoded(*options: int) -> Callable[[int], bytes]:
    return lambda index: jpeg(textured(index), *options)


ODDITIES: dict[str, Callable[[int], bytes]] = {
    **{
        name: _encoded(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
        for name, factor in SAMPLINGS.items()
    },
    "grey": _grey,
    "progressive": _encoded(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "tables of its own": _encoded(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "restart after each block": _encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "restart after seven": _encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 7),
    "no restart though one is told": _encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 60000),
    "no tables": _of(lambda data: without(data, _DHT)),
    "no tables, as AVI has it": _of(
        lambda data: with_segment(without(data, _DHT, _APP0), _APP0, b"AVI1" + bytes(10))
    ),
    "no end": _of(lambda data: data[:-2]),
    "half an end": _of(lambda data: data[:-1]),
    "zeros for an end": _of(lambda data: data[:-2] + bytes(1000)),
    "zeros before the end": _of(lambda data: data[:-2] + bytes(1000) + data[-2:]),
    "bytes of fill before the end": _of(lambda data: data[:-2] + b"\xff" * 7 + data[-2:]),
    "zeros behind the end": _of(lambda data: data + bytes(4096)),
    "fill behind the end": _of(lambda data: data + b"\xff" * 301),
    "text behind the end": _of(lambda data: data + b"1970-01-01 00:00:00 a camera" * 40),
    "half a picture behind the end": _of(lambda data: data + data[: len(data) // 2]),
    "something before the start": _of(lambda data: b"\0\0\0\x12size" + data),
    "thumbnail": _of(lambda data: with_segment(data, 0xE1, b"Exif\0\0" + data[:5000])),
    "Exif that is none": _of(
        lambda data: with_segment(data, 0xE1, b"Exif\0\0II*\0" + b"\xff" * 40)
    ),
    "empty segment": _of(lambda data: with_segment(data, 0xE2, b"")),
    "markers in a segment": _of(lambda data: with_segment(data, 0xEC, b"\xff\xd8\xff\xda" * 99)),
    "comment": _of(lambda data: with_segment(data, 0xFE, b"a camera\0")),
}
"""Whole pictures of every kind that cameras make, by number."""
