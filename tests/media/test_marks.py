"""The mark of drawn copies."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.headers import read_image_header
from vitpose_cli.media.images import ImageSink, decode_image
from vitpose_cli.media.marks import is_marked


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_marked_picture_is_the_same_picture(tmp_path: Path, name: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    key = FrameKey(name)
    plain, drawn = ImageSink(tmp_path / "plain"), ImageSink(tmp_path / "drawn", mark=True)
    for sink in (plain, drawn):
        sink.write(Frame(key, picture))
    assert is_marked(drawn.path(key))
    assert not is_marked(plain.path(key))
    data = drawn.path(key).read_bytes()
    assert read_image_header(data).size_wh == (64, 48)
    expected = decode_image(plain.path(key).read_bytes())
    assert np.array_equal(decode_image(data), expected)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
        comment = image.info.get("comment") or image.info["Comment"].encode()
    assert comment == b"drawn by vitpose"
    assert cv2.imread(str(drawn.path(key))) is not None


@pytest.mark.parametrize("content", [b"", b"drawn by vitpose", b"\xff\xd8\xff"])
def test_what_is_no_picture_has_no_mark(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert not is_marked(tmp_path / "a.jpg")
