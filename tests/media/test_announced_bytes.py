"""Files that say how many bytes they have, whole, with more behind them, and cut off anywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from video_cases import Video, frames_and_failures, frames_of, write_video

from vitpose_cli.media.announced_bytes import announced_bytes
from vitpose_cli.media.video import VideoFile

_VP8 = {"deadline": "realtime", "cpu-used": "8"}
VIDEOS = {
    "a.mkv": Video(),
    "a.webm": Video(codec="libvpx", options=_VP8),
    "a.flv": Video(codec="flv1"),
    "a.wmv": Video(codec="wmv2"),
}


def make(path: Path, **changes: Any) -> bytes:
    """Write a video as programs do that do not note how long the pictures of a track go on."""
    write_video(path, replace(VIDEOS[path.name], **changes))
    whole = path.read_bytes().replace(b"DURATION", b"DURATIOX")
    path.write_bytes(whole)
    return whole


def format_name(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.format.name


def cuts(path: Path) -> list[int]:
    """Return places between packets, and inside of some."""
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux() if packet.pos]
    size = path.stat().st_size
    assert places
    return [*places[3:], *range(places[0] + 50, size - 600, size // 15)]


@pytest.mark.parametrize("name", VIDEOS)
def test_a_file_that_is_cut_off_anywhere_is_a_failure(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = make(path)
    assert len(frames_of(path)) == 30
    for cut in cuts(path):
        path.write_bytes(whole[:cut])
        frames, failures = frames_and_failures(path)
        assert failures, cut
        assert failures[-1].key.index == len(frames) + len(failures) - 1  # behind all that is there


def test_the_failure_says_how_much_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    whole = make(path)
    cut = cuts(path)[9]
    path.write_bytes(whole[:cut])
    (failure,) = frames_and_failures(path)[1]
    assert failure.error == f"The file is cut off: {cut} of its {len(whole)} bytes are there."


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("rest", [b"junk", bytes(5000), b"\xec", b"\x1a\x45\xdf\xa3"])
def test_what_stands_behind_a_whole_file_does_not_count(
    tmp_path: Path, name: str, rest: bytes
) -> None:
    path = tmp_path / name
    whole = make(path)
    path.write_bytes(whole + rest)
    assert len(frames_of(path)) == 30
    announced = announced_bytes(path, format_name(path))
    assert announced is not None
    assert len(whole) - 200 < announced <= len(whole)  # the index of a WMV stands behind


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize(
    "changes",
    [
        {"num": 1},
        {"num": 4, "times_s": [0.0, 0.1, 1.5, 6.0]},
        {"start_s": 5.0},
        {"audio": "aac", "audio_s": 0.4},
        {"audio": "aac", "audio_s": 4.0},
    ],
    ids=["one", "uneven", "late", "short-sound", "long-sound"],
)
def test_whole_files_of_every_kind_are_whole(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    path = tmp_path / name
    if "audio" in changes and name == "a.webm":
        changes = changes | {"audio": "libopus"}
    make(path, **changes)
    assert len(frames_of(path)) in {changes.get("num", 30), 31}  # a WMV shows one for the wait


def test_of_joined_segments_each_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    whole = make(path)
    cut = cuts(path)[9]
    path.write_bytes(2 * whole)
    assert len(frames_of(path)) == 60
    path.write_bytes(whole + whole[:cut])
    frames, failures = frames_and_failures(path)
    assert 30 < len(frames) < 60
    assert len(failures) == 1


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_what_was_recorded_live_does_not_say(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = make(path, muxing={"live": "1"})
    assert announced_bytes(path, format_name(path)) is None
    assert len(frames_of(path)) == 30
    path.write_bytes(whole[:-500])
    assert not frames_and_failures(path)[1]


@pytest.mark.parametrize("name", VIDEOS)
def test_a_head_that_is_cut_off_or_spoiled_says_nothing_wrong(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = make(path)
    kind = format_name(path)
    announced = announced_bytes(path, kind)
    for size in range(0, 600, 7):
        path.write_bytes(whole[:size])
        assert size < (announced_bytes(path, kind) or announced or 0)
        path.write_bytes(whole[:size] + 8 * b"\xff" + whole[size + 8 :])
        announced_bytes(path, kind)


@pytest.mark.parametrize("said", [b"00:00:1e99999999", b"00:00:nan       ", b"9e9", b"1" * 16])
def test_a_duration_that_is_none_is_not_believed(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "a.mkv"
    write_video(path, VIDEOS[path.name])
    spoilt, count = re.subn(rb"00:00:0\d\.\d{7}", said.ljust(16)[:16], path.read_bytes())
    assert count
    path.write_bytes(spoilt)
    video = VideoFile(path, path.name)
    expected = video.expected
    assert expected is not None
    assert 0 <= expected <= 1000
