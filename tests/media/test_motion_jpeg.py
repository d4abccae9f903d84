"""Motion JPEG, in which each packet is a picture: a damaged one is told, all others are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from motion_jpeg_cases import (
    ODDITIES,
    RATE,
    SAMPLINGS,
    damaged,
    fields,
    jpeg,
    overwritten,
    textured,
    write_packets,
)
from video_cases import Video, frames_and_failures, frames_of, number, write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.video import VideoFile
from vitpose_cli.media.video_cursor import VideoCursor

NUM = 12


def expect_others(path: Path, bad: Sequence[int]) -> None:
    """Check that just some pictures are failures, and all others right and at their times."""
    frames, failures = frames_and_failures(path)
    assert [failure.key.index for failure in failures] == list(bad)
    assert [frame.key.index for frame in frames] == [at for at in range(NUM) if at not in bad]
    assert [number(frame.image) for frame in frames] == [frame.key.index for frame in frames]
    times_s = [frame.time_s or 0.0 for frame in frames]
    assert times_s == pytest.approx([frame.key.index / RATE for frame in frames], abs=1e-3)
    for index, failure in zip(bad, failures, strict=True):
        assert f"The picture at {index / RATE:g} s is damaged" in failure.error


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.mkv"])
@pytest.mark.parametrize("bad", [[0], [7], [NUM - 1], [0, 1, 5, 6, NUM - 1]])
def test_a_damaged_picture_costs_itself_alone(tmp_path: Path, name: str, bad: list[int]) -> None:
    pictures = [jpeg(textured(index)) for index in range(NUM)]
    for index in bad:
        pictures[index] = damaged(pictures[index])
    expect_others(write_packets(tmp_path / name, pictures), bad)


@pytest.mark.parametrize("name", ["a.avi", "a.mov"])
@pytest.mark.parametrize("field", [0, 1])
def test_of_interlaced_video_damage_in_one_field_costs_one_picture(
    tmp_path: Path, name: str, field: int
) -> None:
    pairs = [list(fields(index)) for index in range(NUM)]
    path = write_packets(tmp_path / name, list(map(b"".join, pairs)))
    whole = frames_of(path)
    for index in (4, 5, 9):
        pairs[index][field] = damaged(pairs[index][field])
    write_packets(path, list(map(b"".join, pairs)))
    expect_others(path, [4, 5, 9])
    for frame in frames_and_failures(path)[0]:
        np.testing.assert_array_equal(frame.image, whole[frame.key.index].image)


@pytest.mark.parametrize("name", ["a.avi", "a.mov"])
def test_single_frames_are_those_of_the_stream(tmp_path: Path, name: str) -> None:
    pictures = [jpeg(textured(index)) for index in range(NUM)]
    for index in (0, 5):
        pictures[index] = damaged(pictures[index])
    path = write_packets(tmp_path / name, pictures)
    for index in (1, 4, 6, NUM - 1):
        assert number(VideoFile(path, "clip").read(FrameKey("clip", index)).image) == index
    for index in (0, 5):
        with pytest.raises(InputError, match=f"The picture at {index / RATE:g} s is damaged"):
            VideoFile(path, "clip").read(FrameKey("clip", index))
    cursor = VideoCursor(path, "clip")
    assert [number(frame.image) for frame in cursor.lead_up(6)] == [1, 2, 3, 4, 6]
    with pytest.raises(InputError, match="is damaged"):
        list(cursor.lead_up(5))
    assert [frame.key.index for frame in cursor.lead_up(NUM - 1)][-3:] == [9, 10, 11]
    cursor.close()


@pytest.mark.parametrize("kind", ODDITIES)
def test_whole_pictures_of_every_kind_are_read(tmp_path: Path, kind: str) -> None:
    for name in ("a.avi", "a.mkv"):
        path = write_packets(tmp_path / name, list(map(ODDITIES[kind], range(4))))
        frames = frames_of(path)
        assert [number(frame.image) for frame in frames] == list(range(4))
        for index, frame in enumerate(frames):  # to its last row
            grey = [
                cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (frame.image, textured(index))
            ]
            assert np.abs(grey[0].astype(int) - grey[1]).mean() < 4


def test_sizes_that_are_no_multiple_of_a_block(tmp_path: Path) -> None:
    size_wh = (237, 179)
    pictures = [jpeg(textured(index, size_wh)) for index in range(4)]
    path = write_packets(tmp_path / "a.avi", pictures, size_wh)
    assert [frame.size_wh for frame in frames_of(path)] == [size_wh] * 4


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("others", [bytes(512), bytes(4096), bytes(range(256)) * 2])
def test_nearly_all_lost_sectors_are_noticed(tmp_path: Path, sampling: str, others: bytes) -> None:
    size_wh = (1280, 720)
    image = textured(3, size_wh)
    whole = jpeg(image, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling])
    spoiled = [overwritten(whole, at, others) for at in np.linspace(0, 1, 10).tolist()]
    path = write_packets(tmp_path / "a.avi", [whole, *spoiled, whole], size_wh)
    frames, failures = frames_and_failures(path)
    assert {0, 11} <= {frame.key.index for frame in frames}
    assert len(failures) >= 9  # zeros are codes, too, which may fit by chance


def test_a_picture_that_ends_early_is_damaged(tmp_path: Path) -> None:
    pictures = [jpeg(textured(index)) for index in range(NUM)]
    pictures[6] = pictures[6][: len(pictures[6]) * 2 // 3]
    expect_others(write_packets(tmp_path / "a.mkv", pictures), [6])


@pytest.mark.parametrize("spoiled", [b"no picture at all" * 40, b"\xff\xd8\xff\xd9"])
def test_a_packet_that_is_no_picture_keeps_its_number(tmp_path: Path, spoiled: bytes) -> None:
    pictures = [jpeg(textured(index)) for index in range(NUM)]
    pictures[0] = pictures[6] = spoiled
    expect_others(write_packets(tmp_path / "a.mkv", pictures), [0, 6])


def test_a_video_of_which_no_picture_is_whole_is_one_failure(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "a.avi", [damaged(jpeg(textured(at))) for at in range(NUM)])
    frames, failures = frames_and_failures(path)
    assert not frames
    assert [failure.key.index for failure in failures] == [0]
    assert "None of its pictures can be decoded" in failures[0].error


def test_a_file_that_is_cut_off_ends_where_it_is_cut(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "a.avi", [jpeg(textured(at)) for at in range(NUM)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    frames, failures = frames_and_failures(path)
    assert [number(frame.image) for frame in frames] == list(range(len(frames)))
    assert 4 <= len(frames) <= 6
    assert [failure.key.index for failure in failures] == [len(frames)]
    assert "cut off" in failures[0].error


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_what_ffmpeg_encodes_is_read(tmp_path: Path, pix_fmt: str) -> None:
    path = write_video(tmp_path / "a.mkv", Video(num=NUM, codec="mjpeg", pix_fmt=pix_fmt))
    expect_others(path, [])
