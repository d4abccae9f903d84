import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.formats.corrections import CorrectedFrame
from vitpose_cli.formats.frame_names import FrameNames
from vitpose_cli.media.frames import FrameKey

PHOTOS = [
    FrameKey(name) for name in ("a/one.jpg", "b/one.jpg", "b/two.png", "b/two.jpg", "x.y.jpg")
]
CLIPS = [FrameKey(clip, index) for clip in ("clip.mp4", "d/other.mp4") for index in (0, 12)]


def find(name: str, *, video: str | None = None, uids: frozenset[str] = frozenset()) -> str:
    names = FrameNames([*PHOTOS, *CLIPS], video)
    return str(names.find(name, uids, lambda key: {f"uid of {key}"}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.y", "x.y.jpg"),
        ("d/x.y.png", "x.y.jpg"),
        ("a/one.jpg", "a/one.jpg"),
        ("photos/a/one.jpg", "a/one.jpg"),
        ("/data/photos/b/two.png", "b/two.png"),
        ("a/one", "a/one.jpg"),
        ("a/one.PNG", "a/one.jpg"),
        ("two.png", "b/two.png"),
        ("b\\two.png", "b/two.png"),
        ("x.y.jpg", "x.y.jpg"),
        ("clip.mp4/frame_000012.jpg", "clip.mp4/frame_000012.jpg"),
        ("clip.mp4/frame_000012.PNG", "clip.mp4/frame_000012.jpg"),
    ],
)
def test_names_as_programs_change_them(name: str, expected: str) -> None:
    assert find(name) == expected


@pytest.mark.parametrize("name", ["one.jpg", "b/two", "frame_000012.png"])
def test_what_may_be_several_frames_is_none(name: str) -> None:
    with pytest.raises(LookupError, match="any of 2 frames"):
        find(name)


@pytest.mark.parametrize(
    "name", ["c/one.jpg", "three.jpg", "..", "/", "one.jpg/", "frame_000001", " ", "a/one.v2"]
)
def test_what_is_not_there(name: str) -> None:
    with pytest.raises(LookupError, match="no frame"):
        find(name)


def test_people_tell_which_frame_is_meant() -> None:
    assert find("one.jpg", uids=frozenset({"uid of b/one.jpg"})) == "b/one.jpg"
    uids = frozenset({"uid of d/other.mp4/frame_000012.jpg", "unknown"})
    assert find("frame_000012.PNG", uids=uids) == "d/other.mp4/frame_000012.jpg"


def test_a_name_is_found_in_any_form_of_unicode() -> None:
    apart, together = "caf\u0065\u0301/un.jpg", "caf\u00e9/un.jpg"
    for kept, asked in ((apart, together), (together, apart)):
        names = FrameNames([FrameKey(kept), FrameKey("un.jpg"), FrameKey(f"x/{kept}")])
        for name in (kept, asked):
            assert names.find(name, frozenset(), lambda _: set()) == FrameKey(kept)
        assert names.find(f"x/{asked[:-4]}.png", frozenset(), lambda _: set()).media == f"x/{kept}"
    both = FrameNames([FrameKey(apart), FrameKey(together)])
    assert both.find(apart, frozenset(), lambda _: set()).media == apart
    assert both.find(together, frozenset(), lambda _: set()).media == together


def test_the_video_that_people_told_is_looked_at_first() -> None:
    videos, num_frames = [f"{number}.mp4" for number in range(50)], 200
    keys = [FrameKey(video, index) for video in videos for index in range(num_frames)]
    looked_at: list[FrameKey] = []

    def known(key: FrameKey) -> set[str]:
        looked_at.append(key)
        return {f"uid of {key}"}

    names = FrameNames(keys)
    for video in ("30.mp4", "7.mp4"):
        for index in range(num_frames):
            key = FrameKey(video, index)
            found = names.find(f"frame_{index:06d}.PNG", frozenset({f"uid of {key}"}), known)
            assert found == key
    # All of the videos twice, where the file turns to another; else one.
    assert len(looked_at) <= 2 * len(videos) + 2 * num_frames
    with pytest.raises(LookupError, match="any of 50 frames"):
        names.find("frame_000003.PNG", frozenset(), known)


def test_the_video_may_be_named() -> None:
    assert find("frame_000012.PNG", video="clip.mp4") == "clip.mp4/frame_000012.jpg"
    with pytest.raises(LookupError):
        find("a/one.jpg", video="clip.mp4")


PARTS = st.lists(st.sampled_from("ab-"), min_size=1, max_size=4)


@given(paths=st.lists(PARTS, min_size=1, max_size=8), wanted=PARTS)
def test_the_longest_common_end_wins(paths: list[list[str]], wanted: list[str]) -> None:
    names = {"/".join(path) for path in paths}
    frames = FrameNames([FrameKey(f"{name}.jpg") for name in names])
    name = "/".join(wanted)
    ends = {
        other: min(name.count("/"), other.count("/"))
        for other in names
        if f"/{other}".endswith(f"/{name}") or f"/{name}".endswith(f"/{other}")
    }
    best = {f"{other}.jpg" for other, depth in ends.items() if depth == max(ends.values())}
    if f"{name}.jpg" in best:
        best = {f"{name}.jpg"}  # which is just what it is called
    if len(best) == 1:
        assert {str(frames.find(f"{name}.jpg", frozenset(), lambda _: set()))} == best
    else:
        with pytest.raises(LookupError):
            frames.find(f"{name}.jpg", frozenset(), lambda _: set())


def test_many_frames_of_one_last_part_cost_no_more_than_others() -> None:
    names = [f"clip {number:05d}/img.jpg" for number in range(20_000)]
    frames = FrameNames(map(FrameKey, names))
    asked = [CorrectedFrame(f"images/{name}", None, "", ()) for name in names]
    began_s = time.process_time()
    assert frames.find_all(asked, lambda _: set()) == [FrameKey(name) for name in names]
    assert time.process_time() - began_s < 30  # 1 on one core; comparing each with all took an hour
