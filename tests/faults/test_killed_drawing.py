"""Killed in the middle of drawing, no half video is left, and the same call draws all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from runs import command, environment, save_weights, vitpose
from video_cases import Video, frames_of, write_video

NAMES = ("a.mp4", "b.mp4", "c.mp4")


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("is_labelled", [False, True])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_only_whole_videos_are_left(tmp_path: Path, name: str, *, is_labelled: bool) -> None:
    number = getattr(signal, name)
    clips, drawn, whole = (tmp_path / each for each in ("clips", "drawn", "whole"))
    clips.mkdir()
    for each in NAMES:
        write_video(clips / each, Video(num=150, size_wh=(320, 240)))
    weights = save_weights(tmp_path / "weights.safetensors")
    labels: tuple[str | Path, ...] = ("-w", weights, "--detector", "whole-image")
    first, second = tmp_path / "first", tmp_path / "second"  # each with a run of its own
    for folder in (first, second):
        folder.mkdir()
    if is_labelled:
        run = tmp_path / "run"
        assert vitpose("annotate", clips, "-o", run, *labels).returncode == 0
        labels = ("-a", run)
    undisturbed = vitpose("render", clips, *labels, "-o", whole, cwd=first)
    assert undisturbed.returncode == 0, undisturbed.stderr

    code = command("render", clips, *labels, "-o", drawn)
    with subprocess.Popen(
        code, stderr=subprocess.PIPE, env=environment(), cwd=second, text=True
    ) as process:
        while process.poll() is None and not any(drawn.glob(".b.mp4.*")):
            time.sleep(0.002)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == (130 if name == "SIGTERM" else -9), told
    left = sorted(path.name for path in drawn.glob("*.mp4"))
    assert left == ["a.mp4"]
    expect_alike(left, drawn, whole)
    assert name == "SIGKILL" or not any(drawn.glob(".*"))

    again = vitpose("render", clips, *labels, "-o", drawn, cwd=second)
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in drawn.iterdir()) == list(NAMES)
    expect_alike(NAMES, drawn, whole)


def expect_alike(names: Sequence[str], drawn: Path, whole: Path) -> None:
    """Expect the same frames, nearly: x264 makes a few of them a little different each time."""
    for name in names:
        ours, others = frames_of(drawn / name), frames_of(whole / name)
        assert [each.time_s for each in ours] == [each.time_s for each in others]
        for one, other in zip(ours, others, strict=True):
            assert np.abs(one.image.astype(int) - other.image).mean() < 2
