"""Runs over Motion JPEG with damaged pictures: each of them is a failure, as a photo would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from motion_jpeg_cases import RATE, damaged, jpeg, textured, write_packets
from runs import save_weights, vitpose
from video_cases import frames_of

NUM = 40
BAD = (0, 7, 33)


def write_clip(path: Path, bad: tuple[int, ...]) -> Path:
    pictures = [jpeg(textured(index)) for index in range(NUM)]
    for index in bad:
        pictures[index] = damaged(pictures[index])
    return write_packets(path, pictures)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_is_told_and_tried_again_and_labelled_once_it_is_mended(tmp_path: Path) -> None:
    clip, run = write_clip(tmp_path / "clip.avi", BAD), tmp_path / "run"
    weights = save_weights(tmp_path / "weights.safetensors")
    command = ("annotate", clip, "-o", run, "-w", weights, "--detector", "whole-image")

    done = vitpose(*command)
    assert done.returncode == 5, done.stderr
    assert "clip.avi/frame_000007.jpg: The picture at 0.28 s is damaged" in done.stderr
    failures = lines(run / "failures.jsonl")
    assert [(each["media"], each["index"]) for each in failures] == [
        ("clip.avi", index) for index in BAD
    ]
    first = (run / "annotations.json").read_bytes()
    images = json.loads(first)["images"]
    whole = [index for index in range(NUM) if index not in BAD]
    names = [image["file_name"] for image in images]
    assert names == [f"clip.avi/frame_{index:06d}.jpg" for index in whole]
    times_s = [image["timestamp"] for image in images]
    assert times_s == pytest.approx([index / RATE for index in whole], abs=1e-3)

    again = vitpose(*command)
    assert again.returncode == 5, again.stderr
    assert (run / "annotations.json").read_bytes() == first
    (journal,) = run.glob("journal*.jsonl")
    frames = [line["frame"] for line in lines(journal) if "frame" in line]
    tried = [frame["index"] for frame in frames if frame["error"]]
    assert sorted(tried) == sorted([*BAD, *BAD])
    assert sum(frame["error"] is None for frame in frames) == len(whole)

    write_clip(clip, ())
    mended = vitpose(*command)
    assert mended.returncode == 0, mended.stderr
    assert len(json.loads((run / "annotations.json").read_text())["images"]) == NUM
    assert not lines(run / "failures.jsonl")


def test_others_are_drawn_at_their_times_and_extracted(tmp_path: Path) -> None:
    clip, run = write_clip(tmp_path / "clip.avi", BAD), tmp_path / "run"
    weights = save_weights(tmp_path / "weights.safetensors")
    labelled = vitpose(
        "annotate", clip, "-o", run, "-w", weights, "--detector", "whole-image",
        "--extract-frames", tmp_path / "frames", "--detect-every", "4", "--smooth",
    )  # fmt: skip
    assert labelled.returncode == 5, labelled.stderr
    extracted = sorted(path.name for path in (tmp_path / "frames" / "clip.avi").iterdir())
    whole = [index for index in range(NUM) if index not in BAD]
    assert extracted == [f"frame_{index:06d}.jpg" for index in whole]
    drawn = tmp_path / "drawn.mp4"
    assert vitpose("render", clip, "-a", run, "-o", drawn).returncode == 0
    shown = frames_of(drawn)
    begin_s = whole[0] / RATE
    times_s = [(frame.time_s or 0.0) + begin_s for frame in shown]
    assert times_s == pytest.approx([index / RATE for index in whole], abs=2e-3)
