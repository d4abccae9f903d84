import time
from collections.abc import Iterable

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


def named(keys: Iterable[FrameKey]) -> Iterable[tuple[FrameKey, Iterable[str]]]:
    return ((key, uid_of(key)) for key in keys)


def uid_of(key: FrameKey) -> Iterable[str]:
    return (f"uid of {key}",)


def nobody(_: FrameKey) -> Iterable[str]:
    return ()


def find(name: str, *, video: str | None = None, uids: frozenset[str] = frozenset()) -> str:
    keys = [*PHOTOS, *CLIPS]
    return str(FrameNames(keys, lambda: named(keys), uid_of, video).find(name, uids))


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
        names = FrameNames(
            [FrameKey(kept), FrameKey("un.jpg"), FrameKey(f"x/{kept}")], tuple, nobody
        )
        for name in (kept, asked):
            assert names.find(name, frozenset()) == FrameKey(kept)
        assert names.find(f"x/{asked[:-4]}.png", frozenset()).media == f"x/{kept}"
    both = FrameNames([FrameKey(apart), FrameKey(together)], tuple, nobody)
    assert both.find(apart, frozenset()).media == apart
    assert both.find(together, frozenset()).media == together


def test_people_are_looked_through_once() -> None:
    keys = [FrameKey(f"{number}.mp4", index) for number in range(50) for index in range(200)]
    passes = []

    def people() -> Iterable[tuple[FrameKey, Iterable[str]]]:
        passes.append(1)
        return named(keys)

    names = FrameNames(keys, people, uid_of)
    own = frozenset({"uid of 30.mp4/frame_000003.jpg", "unknown"})
    assert names.find("30.mp4/frame_000003.jpg", own) == FrameKey("30.mp4", 3)
    assert not passes  # the name tells
    for key in keys[::-1]:
        name = f"frame_{key.index:06d}.PNG"
        assert names.find(name, frozenset({f"uid of {key}"})) == key
    with pytest.raises(LookupError, match="any of 50 frames"):
        names.find("frame_000003.PNG", frozenset({"unknown"}))
    assert len(passes) == 1


def test_people_tell_apart_many_frames_of_one_name() -> None:
    keys = [FrameKey(f"clip {number:05d}/img.jpg") for number in range(5_000)]
    names = FrameNames(keys, lambda: named(keys), uid_of)
    began_s = time.process_time()
    for key in keys:
        assert names.find("img.jpg", frozenset({f"uid of {key}"})) == key
    assert time.process_time() - began_s < 30  # 3 on one core


def test_the_video_may_be_named() -> None:
    assert find("frame_000012.PNG", video="clip.mp4") == "clip.mp4/frame_000012.jpg"
    with pytest.raises(LookupError):
        find("a/one.jpg", video="clip.mp4")


PARTS = st.lists(st.sampled_from("ab-"), min_size=1, max_size=4)


@given(paths=st.lists(PARTS, min_size=1, max_size=8), wanted=PARTS)
def test_the_longest_common_end_wins(paths: list[list[str]], wanted: list[str]) -> None:
    names = {"/".join(path) for path in paths}
    frames = FrameNames([FrameKey(f"{name}.jpg") for name in names], tuple, nobody)
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
        assert {str(frames.find(f"{name}.jpg", frozenset()))} == best
    else:
        with pytest.raises(LookupError):
            frames.find(f"{name}.jpg", frozenset())


def test_many_frames_of_one_last_part_cost_no_more_than_others() -> None:
    names = [f"clip {number:05d}/img.jpg" for number in range(20_000)]
    frames = FrameNames(map(FrameKey, names), tuple, nobody)
    asked = [CorrectedFrame(f"images/{name}", None, "", ()) for name in names]
    began_s = time.process_time()
    assert frames.find_all(asked) == [FrameKey(name) for name in names]
    assert time.process_time() - began_s < 30  # 1 on one core; comparing each with all took an hour
