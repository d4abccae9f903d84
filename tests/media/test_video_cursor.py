from contextlib import suppress
from pathlib import Path
from time import process_time

import av
import cv2
import numpy as np
import pytest
from motion_jpeg_cases import damaged, jpeg, write_packets
from video_cases import picture

from vitpose_cli.errors import InputError
from vitpose_cli.media import video_cursor
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.picture import VideoReader
from vitpose_cli.media.video import VideoFile
from vitpose_cli.media.video_cursor import LEAD_UP, MAX_FORWARD, VideoCursor
from vitpose_cli.media.video_reader import open_reader

NUM_FRAMES = 40
ORDER = (20, 21, 25, 3, 0, 39, 38, 12)


def make_clip(path: Path, gop: int = 10, num_frames: int = NUM_FRAMES) -> Path:
    """Write a clip whose pictures grow brighter, with B-frames where the format has them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = 2 if path.suffix == ".mp4" else 0
        for index in range(num_frames):
            grey = np.full((48, 64, 3), 6 * index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_frames_are_those_of_the_file_in_any_order(tmp_path: Path, suffix: str) -> None:
    path = make_clip(tmp_path / f"clip{suffix}")
    cursor, file, reader = (
        VideoCursor(path, "clip"),
        VideoFile(path, "clip"),
        VideoCursor(path, "c"),
    )
    for index in ORDER:
        frames = list(cursor.lead_up(index))
        assert frames[-1].key == FrameKey("clip", index)
        assert len(frames) <= LEAD_UP + 1
        numbers = [frame.key.index for frame in frames]
        assert numbers == list(range(numbers[0], index + 1))
        for frame in frames:
            for alone in (file.read(frame.key), reader.read(frame.key.index)):
                assert np.array_equal(frame.image, alone.image)
                assert frame.time_s == alone.time_s


def test_going_on_does_not_go_back(tmp_path: Path) -> None:
    cursor = VideoCursor(make_clip(tmp_path / "clip.mp4"), "clip")
    assert [frame.key.index for frame in cursor.lead_up(20)] == list(range(12, 21))
    assert [frame.key.index for frame in cursor.lead_up(21)] == [21]
    assert [frame.key.index for frame in cursor.lead_up(24)] == [22, 23, 24]
    cursor.close()
    assert [frame.key.index for frame in cursor.lead_up(2)] == [0, 1, 2]


def test_a_file_without_times_is_read_on_however_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_frames = 3 * MAX_FORWARD
    path = make_clip(tmp_path / "clip.avi", num_frames=num_frames)
    cursor = VideoCursor(path, "clip")
    cursor.read(0)
    opened = []

    def watched(path: Path) -> VideoReader:
        opened.append(path)
        return open_reader(path)

    monkeypatch.setattr(video_cursor, "open_reader", watched)
    assert cursor.read(num_frames - 1).time_s == (num_frames - 1) / 25
    assert not opened
    assert cursor.read(1).time_s == 1 / 25
    assert len(opened) == 1


def test_what_is_not_there_is_an_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    cursor = VideoCursor(make_clip(tmp_path / "clip.mp4"), "clip")
    with pytest.raises(InputError, match="no frame 40"):
        list(cursor.lead_up(NUM_FRAMES))
    assert list(cursor.lead_up(5))[-1].key.index == 5
    (tmp_path / "text.mp4").write_bytes(b"no video")
    with pytest.raises(InputError):
        list(VideoCursor(tmp_path / "text.mp4", "text").lead_up(0))


def test_a_damaged_frame_does_not_slow_down_the_others(tmp_path: Path) -> None:
    pictures = [jpeg(picture(index, (160, 120))) for index in range(400)]
    pictures[300] = damaged(pictures[300])
    cursor = VideoCursor(write_packets(tmp_path / "clip.mkv", pictures, (160, 120)), "clip")

    def seconds(index: int) -> float:
        started = process_time()
        with suppress(InputError):
            assert cursor.read(index).key.index == index
        return process_time() - started

    seconds(0)
    counted = seconds(300)  # from the start, as nobody knows yet whether the jump is to blame
    assert min(seconds(390), seconds(20), seconds(395)) < counted / 4


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cursor = VideoCursor(path, "clip")
    assert list(cursor.lead_up(3))[-1].key.index == 3
    with pytest.raises(InputError):
        list(cursor.lead_up(NUM_FRAMES - 1))
    assert list(cursor.lead_up(4))[-1].key.index == 4


def test_frames_of_a_program_stream_are_those_of_the_file(tmp_path: Path) -> None:
    # After a jump into this one, FFmpeg gives pictures the times of those behind them.
    path = tmp_path / "clip.mpg"
    with av.open(str(path), "w", format="mpeg") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, 1
        for index in range(80):
            image = np.asarray(cv2.resize(picture(index), (64, 48)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    file = VideoFile(path, "clip")
    frames = [frame for frame in file.frames() if isinstance(frame, Frame)]
    assert len(frames) == 80
    for frame in frames[::3]:
        assert np.array_equal(file.read(frame.key).image, frame.image)
