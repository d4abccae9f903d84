"""What drawn copies are called: always the same, and never what another copy is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.media.copies import CopySink, photo_copy, video_copy
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.media.kinds import VIDEO_SUFFIXES

PHOTO_ENDINGS = [*sorted(IMAGE_SUFFIXES), ".JPG", ".WEBP"]
VIDEO_ENDINGS = [*sorted(VIDEO_SUFFIXES), ".webp", ".MP4", ".MKV"]


def names_of(endings: list[str]) -> st.SearchStrategy[set[str]]:
    """Return sets of names that end in up to four of some suffixes."""
    ends = st.lists(st.sampled_from(endings), min_size=1, max_size=4).map("".join)
    return st.sets(st.builds(str.__add__, st.sampled_from(["a", "s.mkv/a", "v1.2"]), ends))


@pytest.mark.parametrize(
    ("media", "copy"),
    [
        ("s/a.jpg", "s/a.jpg"),
        ("a.JPEG", "a.JPEG"),
        ("a.png", "a.png"),
        ("a.v2.jpg", "a.v2.jpg"),
        ("a.png.jpg", "a.png.jpg"),
        ("a.webp", "a.webp.jpg"),
        ("a.webp.jpg", "a.webp.jpg.jpg"),
        ("a.tar/a.BMP", "a.tar/a.BMP.jpg"),
    ],
)
def test_photos_keep_their_names_where_no_other_can_have_it(media: str, copy: str) -> None:
    assert photo_copy(media) == copy


@pytest.mark.parametrize(
    ("media", "copy"),
    [
        ("s/m.mp4", "s/m.mp4"),
        ("m.v2.mp4", "m.v2.mp4"),
        ("m.MP4", "m.MP4.mp4"),
        ("m.MP4.mp4", "m.MP4.mp4.mp4"),
        ("m.mkv", "m.mkv.mp4"),
        ("m.mkv.mp4", "m.mkv.mp4.mp4"),
        ("a.webp", "a.webp.mp4"),
        ("a.webp.mp4", "a.webp.mp4.mp4"),
    ],
)
def test_videos_keep_theirs_too(media: str, copy: str) -> None:
    assert video_copy(media) == copy


@given(photos=names_of(PHOTO_ENDINGS), videos=names_of(VIDEO_ENDINGS))
def test_no_two_copies_share_a_name(photos: set[str], videos: set[str]) -> None:
    copies = [*map(photo_copy, photos), *map(video_copy, videos)]
    assert len(set(copies)) == len(copies)


def test_the_sink_writes_under_these_names(tmp_path: Path) -> None:
    sink = CopySink(tmp_path)
    keys = [FrameKey("a.webp"), FrameKey("a.webp.jpg"), FrameKey("a.webp", 3)]
    for key in keys:
        sink.write(Frame(key, np.zeros((6, 8, 3), np.uint8)))
        assert sink.path(key).is_file()
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    assert written == {"a.webp.jpg", "a.webp.jpg.jpg", "a.webp/frame_000003.jpg"}


def test_a_copy_of_a_photo_with_the_longest_name_can_be_written(tmp_path: Path) -> None:
    media = "a/" + "w" * 250 + ".webp"
    sink = CopySink(tmp_path)
    key = FrameKey(media)
    assert not sink.has(key)
    sink.write(Frame(key, np.zeros((6, 8, 3), np.uint8)))
    assert sink.has(key)
    assert video_copy(media).endswith(".mp4")
    assert len(video_copy(media)) == 257
    assert not sink.has(FrameKey("a/" + "w" * 249 + "v.webp"))
