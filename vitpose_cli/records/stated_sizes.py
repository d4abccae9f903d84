"""Whether photos are those that a document speaks of, told by the sizes that it states.

Keypoints are pixels: of a photo that was resized or turned since it was labelled they all lie
elsewhere, and nothing else would show it.
"""

from __future__ import annotations

from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey


def check_size(
    key: FrameKey,
    size_wh: tuple[int, int],
    stated_wh: tuple[int, int] | None,
    document: Path,
) -> None:
    """Refuse a frame of another size than its labels are of.

    Args:
        key: The frame.
        size_wh: Its width and height, upright, px.
        stated_wh: Those that the document states; None where it states none.
        document: Where the labels are from.

    Raises:
        InputError: The sizes differ.
    """
    if stated_wh is None or size_wh == stated_wh:
        return
    (width, height), (stated_width, stated_height) = size_wh, stated_wh
    turned = ""
    if size_wh == (stated_height, stated_width):
        turned = ", as if it were not turned upright by its EXIF orientation"
    raise InputError(
        f"{key} has {width} x {height} px, and {document} labels a photo of {stated_width} x "
        f"{stated_height} px{turned}.",
        "Give the photos that were labelled: in resized or rotated copies every keypoint lies "
        "elsewhere. Photos are turned upright by their EXIF orientation here, so that labels of "
        "unturned ones do not fit. If only width and height in the file are wrong, remove them.",
    )


def check_same_size(
    key: FrameKey,
    sizes_wh: tuple[tuple[int, int] | None, tuple[int, int] | None],
    labels: tuple[object, object],
) -> None:
    """Refuse two sets of labels of a frame that are of different sizes.

    Args:
        key: The frame.
        sizes_wh: The width and height that each states, px; None where it states none.
        labels: What to call the two.

    Raises:
        InputError: The sizes differ.
    """
    first_wh, second_wh = sizes_wh
    if first_wh is None or second_wh is None or first_wh == second_wh:
        return
    raise InputError(
        f"{key} has {first_wh[0]} x {first_wh[1]} px in {labels[0]}, and {second_wh[0]} x "
        f"{second_wh[1]} px in {labels[1]}.",
        "Compare labels of the same photos: in those of resized or turned copies every keypoint "
        "lies elsewhere. If only width and height in a file are wrong, remove them.",
    )
