"""What describes a PNG and says nothing of its pixels, as programs write it wrong."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitpose_cli.media.images import decode_image
from vitpose_cli.media.png_chunks import with_pixels_alone

PALETTE = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert("P")
COLOURS = PALETTE.convert("RGB")


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(kind + content)
    stored = struct.pack(">I", right if checksum is None else checksum)
    return struct.pack(">I", len(content)) + kind + content + stored


def encoded(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


@pytest.mark.parametrize(
    "spoiled",
    [
        chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")),
        chunk(b"sRGB", b"\0") * 2,
        chunk(b"gAMA", struct.pack(">I", 45455), checksum=1),
        chunk(b"tIME", b"\xff" * 7),
        chunk(b"zTXt", b"comment\0\0no stream"),
        chunk(b"eXIf", b"nothing"),
    ],
    ids=lambda content: content[4:8].decode(),
)
def test_nothing_is_said_of_what_only_describes_a_picture(
    spoiled: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(COLOURS)
    spoiled_data = data[:33] + spoiled + data[33:]  # behind the header
    assert np.array_equal(decode_image(spoiled_data), np.asarray(COLOURS))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (PALETTE, {"transparency": 3}),
        (COLOURS, {"transparency": (3, 3, 3)}),
        (COLOURS, {"save_all": True, "append_images": [COLOURS.rotate(180)]}),
        (
            COLOURS,
            {"save_all": True, "append_images": [COLOURS.rotate(180)], "default_image": True},
        ),
    ],
)
def test_pixels_are_those_of_the_whole_file(image: Image.Image, options: dict[str, Any]) -> None:
    data = encoded(image, dpi=(72, 72), **options)
    assert len(with_pixels_alone(data)) < len(data)
    whole, alone = map(decoded, (data, with_pixels_alone(data)))
    assert np.array_equal(whole, alone)


def test_what_is_damaged_or_has_no_more_than_pixels_stays_as_it_is() -> None:
    data = encoded(COLOURS)
    assert with_pixels_alone(data) is data
    cut = data[:33] + chunk(b"tEXt", b"comment\0" + b"long " * 100)[:300]
    assert with_pixels_alone(cut) is cut
