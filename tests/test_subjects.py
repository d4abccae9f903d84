from __future__ import annotations

import warnings

import pytest

from vitpose_cli.errors import ConfigError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.subjects import Subjects


@pytest.mark.parametrize(
    ("media", "pattern", "subject"),
    [
        ("P07/before/1.jpg", "^[^/]+", "p07"),
        ("walk.MP4", "P[0-9]+", None),
        ("extracted/walk.MP4/0001.jpg", "P[0-9]+", None),
        ("frames/P3.MP4/frame_000001.jpg", "P[0-9]+", "p3"),
        ("gait.P7", "P[0-9]+", "p7"),
        ("P.01/scan.2/a.tiff", r"P\.[0-9]+/scan\.[0-9]", "p.01/scan.2"),
        (".", ".+", "."),
        ("..", ".+", ".."),
        (".jpg", ".+", None),
        ("https://host//P4.a.jpg", "//P[0-9].*", "//p4.a"),
        ("Ju\u0308rgen/1.jpg", "J\u00fcrgen|Anna", "j\u00fcrgen"),
        ("a/1.jpg", "([0-9]*)a", None),
        ("a/1.jpg", "", None),
        ("Bern/x/P3.jpg", "^([^/]+).*(P[0-9]+)|(Basel)", "bern p3"),
    ],
)
def test_names_say_whose_a_frame_is(media: str, pattern: str, subject: str | None) -> None:
    assert Subjects(pattern).of(FrameKey(media)) == subject


@pytest.mark.parametrize("video", ["P4_gait", "P4_gait.MP4", "gait/P4.mov"])
def test_the_name_of_a_video_says_whose_its_frames_are(video: str) -> None:
    assert Subjects("P[0-9]+").of(FrameKey("000001.jpg"), video, {video}) == "p4"


def test_the_suffix_of_a_video_is_nobody() -> None:
    assert Subjects("P[0-9]+").of(FrameKey("000001.jpg"), "gait.MP4", {"gait.MP4"}) is None


def test_what_a_video_without_a_name_is_called_is_nobody() -> None:
    key = FrameKey("P07/000001.jpg")
    assert Subjects("^[^/]+").of(key, "video 3", {"video 4"}) == "p07"
    assert Subjects("[0-9]+").of(FrameKey("gait/a.jpg"), "video 3") is None


@pytest.mark.parametrize("pattern", ["P[0-9", "a{99999999999}", "(" * 9999 + ")" * 9999])
def test_what_is_no_regular_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is no regular expression"):
        Subjects(pattern)


def test_python_warns_nobody_of_a_pattern() -> None:
    with warnings.catch_warnings(action="error"):
        assert Subjects("[[P][0-9]+").of(FrameKey("P1.jpg")) == "p1"
