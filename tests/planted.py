"""Small photos and animations at the paths that a test names, and what is found of them."""

from __future__ import annotations

import io
import random
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vitpose_cli.media.finding import find_media

PHOTO = cv2.imencode(".jpg", np.full((6, 8, 3), 200, np.uint8))[1].tobytes()


def gif() -> bytes:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full((16, 16, 3), grey, np.uint8)) for grey in (0, 90, 180)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return stream.getvalue()


def plant(root: Path, *names: str) -> None:
    for name in random.Random(0).sample(names, len(names)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gif() if name.endswith(".gif") else PHOTO)


def found(*sources: object) -> list[str]:
    return list(find_media([str(source) for source in sources]).files)
