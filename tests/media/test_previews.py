from typing import Any

import cv2
import numpy as np
import pytest

from vitpose_cli.media.previews import encode_preview


def decoded(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("shape", "wanted"), [((4, 9000), (100, 1)), ((9000, 4), (1, 100)), ((50, 80), (80, 50))]
)
def test_large_pictures_are_shown_smaller(shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = decoded(encode_preview(np.zeros((*shape, 3), np.uint8), 100, 90))
    assert (image.shape[1], image.shape[0]) == wanted


def test_colours_stay_what_they_are() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:] = (200, 60, 20)
    shown = decoded(encode_preview(image, 64, 95))[..., ::-1]
    assert np.abs(shown.astype(int) - image).max() <= 3  # grey levels
