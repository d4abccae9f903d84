"""A video file as a sink is whole or not there at all, whatever happens while it is written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from runs import wait_until
from video_cases import (
    frame,
    write_video,
)

from vitpose_cli.errors import InputError
from vitpose_cli.files import TEMPORARY_SUFFIX
from vitpose_cli.media.video_sink import VideoSink


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix == TEMPORARY_SUFFIX]


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", num=3)
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    for target in (source, link, tmp_path / "x" / ".." / "in.mp4"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="is the video to read from"):
            VideoSink(target, source_video=source)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        VideoSink(tmp_path / "missing" / "out.mp4")
    with pytest.raises(InputError, match="is a folder"):
        VideoSink(tmp_path)


def test_places_that_are_taken_meanwhile(tmp_path: Path) -> None:
    path, folder = tmp_path / "out.mp4", tmp_path / "folder"
    sink = VideoSink(path)
    sink.write(frame(0))
    (path / "of others").mkdir(parents=True)
    with pytest.raises(InputError, match=r"Cannot write .*out\.mp4: "):
        sink.close()
    assert not leftovers(tmp_path)
    folder.mkdir()
    sink = VideoSink(folder / "out.mp4")
    sink.write(frame(0))
    shutil.rmtree(folder)
    folder.touch()
    with pytest.raises(InputError, match="cannot be written into"):
        sink.close()


def test_no_frame_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frame"), VideoSink(tmp_path / "out.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing_behind_nothing_open_and_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    source = write_video(tmp_path / "in.mp4", num=20)
    target = tmp_path / "out.mp4"
    with VideoSink(target) as sink:
        sink.write(frame(0))
    yesterday = target.read_bytes()
    failing = VideoSink(target, source_video=source)
    with pytest.raises(ZeroDivisionError), failing as sink:  # noqa: PT012
        for index in range(20):
            sink.write(frame(index))
        _ = 1 / 0
    assert target.read_bytes() == yesterday
    assert leftovers(tmp_path) == []
    assert threading.active_count() == before
    if sys.platform == "linux":
        opened = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
        assert str(source.resolve()) not in opened


def test_nothing_has_the_final_name_before_the_end(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    for index in range(20):
        sink.write(frame(index))
    assert not (tmp_path / "out.mp4").exists()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


ENDLESS = """
import sys, itertools
from pathlib import Path
import numpy as np
from vitpose_cli.errors import VitposeError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.video_sink import VideoSink
if sys.argv[2:]:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
try:
    with VideoSink(Path(sys.argv[1])) as sink:
        for index in itertools.count() if not sys.argv[2:] else range(60):
            sink.write(Frame(FrameKey("a", index), np.roll(noise, index), index / 25))
            if index == 10:
                print("under way", flush=True)
except VitposeError as error:
    print(error.message, flush=True)
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_what_a_killed_process_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "[out].mp4"
    command = [sys.executable, "-c", ENDLESS, str(target)]
    others = [f".[out].mp4.{os.getppid()}{TEMPORARY_SUFFIX}", f".o.mp4.1{TEMPORARY_SUFFIX}"]
    for name in others:  # of a process that runs, and of another file
        (tmp_path / name).touch()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        wait_until(lambda: len(leftovers(tmp_path)) >= 3, process)
        process.kill()
    assert len(leftovers(tmp_path)) == 3
    with VideoSink(target) as sink:
        sink.write(frame(0))
    assert {path.name for path in tmp_path.iterdir()} == {target.name, *others}


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files the POSIX way")
@pytest.mark.parametrize("limit", [2_000, 300_000, 1_000_000])
def test_full_disk(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "out.mp4"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stderr) == (3, "")
    assert "cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []
