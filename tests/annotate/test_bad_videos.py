"""Videos that cannot be used, as a user meets them: what is said, what is kept, the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from runs import save_weights, vitpose
from video_cases import write_video

ENCRYPTION = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", 48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
        frame.rate = 48000
        container.mux([*stream.encode(frame), *stream.encode(None)])


def no_picture(path: Path) -> None:
    with av.open(str(path), "w") as container:
        container.add_stream("mpeg4", rate=25)
        container.start_encoding()


def unknown_codec(path: Path) -> None:
    path.write_bytes(write_video(path, num=3).read_bytes().replace(b"avc1", b"zzzz"))


def cut_off(path: Path) -> None:
    data = write_video(path, num=60, muxing={"movflags": "faststart"}).read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def damaged(path: Path) -> None:
    write_video(path, num=60)
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size and each.pos is not None]
    data = bytearray(path.read_bytes())
    start = (packets[20].pos or 0) + max(16, packets[20].size - 60)
    data[start : start + 60] = bytes(range(130, 190))
    path.write_bytes(data)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "text.mp4": (lambda path: path.write_bytes(b"no video at all" * 99), "is not a video"),
    "empty.mp4": (Path.touch, "is empty"),
    "sound.mp4": (sound_alone, "no picture track, only: audio"),
    "none.avi": (no_picture, "holds no picture"),
    "codec.mp4": (unknown_codec, "codec that is not supported"),
    "drm.mp4": (lambda path: write_video(path, muxing=ENCRYPTION), "encrypted"),
    "cut.mp4": (cut_off, "cut off"),
    "damaged.mkv": (damaged, "damaged here"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write all bad videos and a good one."""
    made = tmp_path_factory.mktemp("videos")
    for name, (write, _) in BAD.items():
        write(made / name)
    write_video(made / "good.mp4", num=5)
    return made


def test_they_are_told_and_cost_nothing_else(folder: Path, tmp_path: Path) -> None:
    weights = save_weights(tmp_path / "weights.safetensors")
    labelled = vitpose(
        "annotate", folder, "-o", tmp_path / "run", "-w", weights, "--detector", "whole-image",
        "--device", "cpu", "--keypoint-threshold", "0", "--detect-every", "4", "--smooth",
    )  # fmt: skip
    assert labelled.returncode == 5, labelled.stderr
    assert f"{len(BAD)} of " in labelled.stderr
    lines = (tmp_path / "run" / "failures.jsonl").read_text().splitlines()
    failures = {each["media"]: each for each in map(json.loads, lines)}
    assert {name for name, (_, words) in BAD.items() if words in failures[name]["error"]} == {*BAD}
    assert str(folder) not in "".join(lines), "as of photos, names are relative"
    first = json.loads(lines[0])
    assert f"{first['file_name']}: {first['error']}" in labelled.stderr
    document = json.loads((tmp_path / "run" / "annotations.json").read_text())
    counts = {video["name"]: 0 for video in document["videos"]}
    for image in document["images"]:
        counts[image["file_name"].rpartition("/")[0]] += 1
    assert counts == {
        "cut.mp4": failures["cut.mp4"]["index"],
        "damaged.mkv": failures["damaged.mkv"]["index"],
        "good.mp4": 5,
    }
    assert min(counts.values()) >= 5
    assert vitpose("validate", tmp_path / "run" / "annotations.json").returncode == 0

    drawn = vitpose("render", folder, "-a", tmp_path / "run", "-o", tmp_path / "out")
    assert drawn.returncode == 0, drawn.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["cut.mp4", "damaged.mkv.mp4", "good.mp4"]


def test_each_is_tried_once_a_call(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    weights = save_weights(tmp_path / "weights.safetensors")
    sources = [folder / "text.mp4", folder / "good.mp4"]
    for calls in (1, 2):
        vitpose("annotate", *sources, "-o", run, "-w", weights, "--detector", "whole-image")
        (journal,) = run.glob("journal*.jsonl")
        frames = [json.loads(line)["frame"] for line in journal.read_text().splitlines()]
        told = [frame["media"] for frame in frames if frame["error"]]
        assert told == ["text.mp4"] * calls


@pytest.mark.parametrize("name", ["text.mp4", "drm.mp4"])
def test_to_draw_one_alone_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    weights = save_weights(tmp_path / "weights.safetensors")
    done = vitpose(
        "render", folder / name, "-w", weights, "--detector", "whole-image", cwd=tmp_path
    )
    assert done.returncode == 3
    assert BAD[name][1] in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.mp4"))


def test_a_gif_that_came_in_half_is_read_again_once_it_is_whole(tmp_path: Path) -> None:
    clip, run = tmp_path / "a.gif", tmp_path / "run"
    weights = save_weights(tmp_path / "weights.safetensors")
    whole = write_video(clip, num=10, codec="gif", pix_fmt="rgb8").read_bytes()
    command = ("annotate", clip, "-o", run, "-w", weights, "--detector", "whole-image")
    clip.write_bytes(whole[: len(whole) // 2])
    assert vitpose(*command).returncode == 5
    (failure,) = map(json.loads, (run / "failures.jsonl").read_text().splitlines())
    assert "cut off" in failure["error"]
    clip.write_bytes(whole)
    done = vitpose(*command)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((run / "annotations.json").read_text())["images"]) == 10
    assert (run / "failures.jsonl").read_text() == ""
