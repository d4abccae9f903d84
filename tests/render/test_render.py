"""Rendering: labels on videos, at the right frames, with times and sound."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from disks import Disk
from render_cases import (
    COCO,
    SIZE_WH,
    changed,
    draw,
    frame_keys,
    frames_of,
    person,
    place,
    save_run,
)
from runs import vitpose, wait_until
from video_cases import audio_packets, number, write_video

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.drawing import DrawStyle
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.tracking.smoothing import SmoothOptions


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Write a video and its run."""
    save_run(tmp_path / "run", frame_keys(30))
    return write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH, audio="aac")


def test_a_video_gives_a_video_with_times_and_sound(tmp_path: Path, clip: Path) -> None:
    summary = draw(tmp_path, clip)
    frames = frames_of(tmp_path / "out.mp4")
    assert (summary.num_frames, summary.num_failed, summary.num_left_out) == (30, 0, 0)
    assert [number(frame.image) for frame in frames] == list(range(30))
    assert [frame.time_s for frame in frames] == pytest.approx([n / 25 for n in range(30)])
    assert audio_packets(tmp_path / "out.mp4") == audio_packets(clip)
    for index in (0, 15, 29):
        columns = np.flatnonzero(changed(frames[index].image, index)[60:100].any(axis=0))
        assert columns.min() == pytest.approx(place(index) - 13, abs=3)  # the box
        assert columns.max() == pytest.approx(place(index) + 13, abs=3)


def test_a_document_draws_as_its_run_does(tmp_path: Path, clip: Path) -> None:
    draw(tmp_path, clip)
    document = tmp_path / "run" / "annotations.json"
    draw(tmp_path, clip, annotations=document, output=tmp_path / "too.mp4")
    for one, other in zip(
        frames_of(tmp_path / "out.mp4"), frames_of(tmp_path / "too.mp4"), strict=True
    ):
        assert np.abs(one.image.astype(int) - other.image).mean() < 0.2


@pytest.mark.parametrize("place", [(60.0, 40.0), (186.0, 110.0), (60.0, 160.0)])
def test_what_lies_outside_of_the_picture_is_drawn_as_the_document_has_it(
    tmp_path: Path, place: tuple[float, float]
) -> None:
    outside = person(*place)  # with a part above the picture, to the right or below
    with Run.open(tmp_path / "run", RunManifest(COCO.to_category())) as run:
        run.append(FrameRecord(FrameKey("clip.mp4", 0), SIZE_WH, 0.0, instances=outside))
        run.export()
    clip = write_video(tmp_path / "clip.mp4", num=1, size_wh=SIZE_WH)
    look = {"encode": EncodeOptions(crf=0), "style": DrawStyle(scores=False)}
    draw(tmp_path, clip, **look)
    document, drawn = tmp_path / "run" / "annotations.json", tmp_path / "too.mp4"
    draw(tmp_path, clip, annotations=document, output=drawn, **look)
    (one,), (other,) = frames_of(tmp_path / "out.mp4"), frames_of(drawn)
    np.testing.assert_array_equal(one.image, other.image)


def test_only_labelled_frames_are_shown(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(30, every=5), every=5)
    source = write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH, audio="aac")
    summary = draw(tmp_path, source)
    frames = frames_of(tmp_path / "out.mp4")
    assert [number(frame.image) for frame in frames] == [0, 5, 10, 15, 20, 25]
    assert [frame.time_s for frame in frames] == pytest.approx([n / 5 for n in range(6)])
    assert summary.num_left_out == 0  # known from the run's own options
    assert audio_packets(tmp_path / "out.mp4") == audio_packets(source)


def test_frames_that_were_not_labelled_are_counted(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(20))
    source = write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH)
    assert draw(tmp_path, source).num_left_out == 10


def test_merged_runs_show_the_frames_of_each(tmp_path: Path) -> None:
    runs = [
        save_run(tmp_path / f"{name}.run", frame_keys(30, every, f"{name}.mp4"), every=every)
        for name, every in (("a", 10), ("b", 1))
    ]
    merge_labels(MergeOptions(tuple(runs), tmp_path / "run"))
    for name, num_frames in (("a", 3), ("b", 30)):
        source = write_video(tmp_path / f"{name}.mp4", size_wh=SIZE_WH)
        assert draw(tmp_path, source).num_frames == num_frames


def test_a_part_of_the_video(tmp_path: Path, clip: Path) -> None:
    draw(tmp_path, clip, video=VideoOptions(start_s=0.4, end_s=0.8))
    frames = frames_of(tmp_path / "out.mp4")
    assert [number(frame.image) for frame in frames] == list(range(10, 20))
    assert frames[0].time_s == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("taken", "where"),
    [
        (VideoOptions(start_s=99), "at or after --start 99 s"),
        (VideoOptions(end_s=0.5), "before --end 0.5 s"),
        (VideoOptions(start_s=0.5, end_s=0.6), "between --start 0.5 s and --end 0.6 s"),
    ],
)
def test_a_part_without_frames_is_refused(tmp_path: Path, taken: VideoOptions, where: str) -> None:
    save_run(tmp_path / "run", [FrameKey("clip.mp4", index) for index in (20, 21)])
    source = write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH)
    with pytest.raises(InputError, match=f"No labelled frame of .*clip.mp4 lies {where}"):
        draw(tmp_path, source, video=taken)
    assert not (tmp_path / "out.mp4").exists()


def test_frames_that_nobody_labelled_are_not_a_video(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(30)[20:])
    source = write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH)
    done = vitpose(
        "render", source, "-a", tmp_path / "run", "-o", tmp_path / "out.mp4", "--max-frames", "5"
    )
    assert done.returncode == 3
    assert f"No frame of {source} that is taken is labelled in" in done.stderr
    assert "->" not in done.stderr


@pytest.mark.parametrize("rotation_deg", [90, 180])
def test_labels_fit_the_upright_picture(tmp_path: Path, rotation_deg: int) -> None:
    save_run(tmp_path / "run", frame_keys(3))
    size_wh = SIZE_WH if rotation_deg == 180 else SIZE_WH[::-1]
    source = write_video(tmp_path / "clip.mp4", num=3, size_wh=size_wh, rotation_deg=rotation_deg)
    draw(tmp_path, source, skeleton_only=True)
    image = frames_of(tmp_path / "out.mp4")[0].image
    assert image.shape == (SIZE_WH[1], SIZE_WH[0], 3)
    columns = np.flatnonzero((image[60:100] > 100).any(axis=(0, 2)))
    assert (columns.min() + columns.max()) / 2 == pytest.approx(place(0), abs=2)


def test_skeletons_on_black(tmp_path: Path, clip: Path) -> None:
    draw(tmp_path, clip, skeleton_only=True, style=DrawStyle(boxes=False, scores=False))
    image = frames_of(tmp_path / "out.mp4")[0].image
    assert (image.max(axis=2) > 60).mean() < 0.15
    assert image[:16, 120:].max() < 30
    assert image[60:100, 30:50].max() > 150


def test_side_by_side(tmp_path: Path, clip: Path) -> None:
    draw(tmp_path, clip, side_by_side=True)
    image = frames_of(tmp_path / "out.mp4")[7].image
    assert image.shape == (SIZE_WH[1], 2 * SIZE_WH[0], 3)
    assert not changed(image[:, : SIZE_WH[0]], 7)[20:90].any()
    assert changed(image[:, SIZE_WH[0] :], 7)[20:90].any()


@pytest.mark.parametrize("rotation_deg", [0, 90])
def test_pixels_that_are_not_square_stay_so_side_by_side(tmp_path: Path, rotation_deg: int) -> None:
    # Upright, 120 x 200 pixels that are wider than tall by a third.
    size_wh, shape = ((120, 200), "4/3") if rotation_deg == 0 else ((200, 120), "3/4")
    source = write_video(
        tmp_path / "clip.mp4", num=3, size_wh=size_wh, rotation_deg=rotation_deg,
        options={"aspect": shape},
    )  # fmt: skip
    save_run(tmp_path / "run", frame_keys(3), size_wh=(120, 200))
    for side_by_side in (False, True):
        draw(tmp_path, source, side_by_side=side_by_side)
        with av.open(str(tmp_path / "out.mp4")) as container:
            video = container.streams.video[0]
            assert (video.width, video.height) == (120 * (1 + side_by_side), 200)
            assert video.sample_aspect_ratio == Fraction(4, 3)


def test_frames_of_another_size_than_was_labelled_are_not_drawn(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(3), size_wh=(SIZE_WH[0] * 2, SIZE_WH[1] * 2))
    source = write_video(tmp_path / "clip.mp4", num=3, size_wh=SIZE_WH)
    done = vitpose("render", source, "-a", tmp_path / "run", "-o", tmp_path / "out.mp4")
    assert done.returncode == 5
    assert "Could not be drawn: 3 frames." in done.stderr
    assert done.stderr.count("Neither it nor others like it are drawn.") == 1
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_whose_size_changes_is_drawn_whole(tmp_path: Path) -> None:
    sizes_wh = {"large.webm": SIZE_WH, "small.webm": (96, 64)}
    parts = [
        write_video(tmp_path / name, num=3, size_wh=size_wh, codec="libvpx").read_bytes()
        for name, size_wh in sizes_wh.items()
    ]
    source = tmp_path / "clip.webm"
    source.write_bytes(b"".join(parts))
    with Run.open(tmp_path / "run", RunManifest(COCO.to_category())) as run:
        for key in frame_keys(6, media=source.name):
            size_wh = SIZE_WH if key.index < 3 else (96, 64)
            run.append(FrameRecord(key, size_wh, key.index / 25, instances=person(40.0, 60.0)))
        run.export()
    for labels in (tmp_path / "run", tmp_path / "run" / "annotations.json"):
        summary = draw(tmp_path, source, annotations=labels)
        assert (summary.num_frames, summary.num_failed) == (6, 0)
    assert {frame.size_wh for frame in frames_of(tmp_path / "out.mp4")} == {SIZE_WH}


def test_trails_show_where_somebody_came_from(tmp_path: Path, clip: Path) -> None:
    style = DrawStyle(boxes=False, scores=False, palette="instance")
    draw(tmp_path, clip, trail_s=0.5, style=style, skeleton_only=True)
    image = frames_of(tmp_path / "out.mp4")[29].image
    behind = image[70:95, : int(place(29)) - 14].max(axis=(0, 2)) > 100
    # Half a second is 12.5 frames of 2 px.
    assert np.flatnonzero(behind).min() == pytest.approx(place(29) - 24, abs=4)


def test_smoothing_fills_gaps_in_the_picture_alone(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(30), missing=(14, 15))
    before = (tmp_path / "run" / "annotations.json").read_bytes()
    source = write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH)
    for smooth, wanted in ((None, False), (SmoothOptions(), True)):
        draw(tmp_path, source, smooth=smooth)
        image = frames_of(tmp_path / "out.mp4")[14].image
        assert changed(image, 14)[50:100].any() == wanted
    assert (tmp_path / "run" / "annotations.json").read_bytes() == before


def test_too_few_frames_to_smooth_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_run(tmp_path / "run", frame_keys(30, every=5), every=5)
    source = write_video(tmp_path / "clip.mp4", size_wh=SIZE_WH)
    draw(tmp_path, source, smooth=SmoothOptions())
    assert "keypoints of clip.mp4 as they are: it has 5.0 labelled frames a second" in caplog.text


def test_what_does_not_fit_together(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be drawn into"):
        draw(tmp_path, clip, output=tmp_path / "out.jpg")
    with pytest.raises(ConfigError, match="trail is"):
        RenderOptions(sources=("a",), trail_s=-1)
    other = write_video(tmp_path / "other.mp4", num=3)
    with pytest.raises(InputError, match=r"no labels for other\.mp4"):
        draw(tmp_path, other)
    with pytest.raises(InputError, match="There is no folder"):
        draw(tmp_path, clip, output=tmp_path / "missing" / "out.mp4")
    with pytest.raises(InputError, match=r"annotations\.json"):
        draw(tmp_path, clip, annotations=tmp_path)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, clip: Path, disk: Disk) -> None:
    disk.leave(4096)
    done = vitpose("render", clip, "-a", tmp_path / "run", "-o", disk.path / "out.mp4")
    assert done.returncode == 3, done.stderr
    assert "cannot be written" in done.stderr
    assert list(disk.path.iterdir()) == []


def test_a_damaged_video_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    save_run(tmp_path / "run", [*frame_keys(60), *frame_keys(1, media="bad.mp4")])
    source = write_video(
        tmp_path / "in.mp4", num=60, size_wh=SIZE_WH, muxing={"movflags": "faststart"}
    )
    folder = tmp_path / "in"
    folder.mkdir()
    data = source.read_bytes()
    (folder / "clip.mp4").write_bytes(data[: len(data) * 3 // 4])
    (folder / "bad.mp4").write_bytes(b"no video at all")
    summary = draw(tmp_path, folder, output=tmp_path / "out")
    assert summary.num_failed == 2
    assert 20 < summary.num_frames < 60
    assert len(frames_of(tmp_path / "out" / "clip.mp4")) == summary.num_frames
    assert not (tmp_path / "out" / "bad.mp4").exists()
    done = vitpose("render", folder, "-a", tmp_path / "run", "-o", tmp_path / "again")
    assert done.returncode == 5
    assert "Could not be drawn: 2 frames." in done.stderr
    assert "bad.mp4/frame_000000.jpg: bad.mp4 is not a video" in done.stderr


def test_the_command(tmp_path: Path, clip: Path) -> None:
    done = vitpose(
        "render", clip, "-a", tmp_path / "run", "-o", tmp_path / "out.mp4", "--json",
        "--no-draw-boxes", "--draw-scores", "--draw-labels", "--palette", "track", "--smooth",
        "--trail", "1", "--line-width", "2", "--codec", "h265", "--crf", "30", "--max-frames", "4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_frames"] == 4
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
    assert vitpose("render", clip, "--crf", "60").returncode == 2
    assert vitpose("render", tmp_path / "none.mp4", "-a", tmp_path / "run").returncode == 3


def test_a_run_that_is_to_be_drawn_names_what_it_was_made_of(tmp_path: Path, clip: Path) -> None:
    done = vitpose("annotate", clip, "-o", tmp_path / "my run", "--max-frames", "1")
    assert done.returncode == 0, done.stderr
    refused = vitpose("render", tmp_path / "my run", "-o", tmp_path / "out.mp4")
    assert refused.returncode == 3
    hint = shlex.split(refused.stderr.split("`")[1])
    assert vitpose(*hint[1:], "-o", tmp_path / "out.mp4").returncode == 0


def test_it_says_where_drawn_copies_would_be_labelled(tmp_path: Path, clip: Path) -> None:
    folder = clip.parent
    for name, is_said in (("drawn", True), ("drawn.vitpose", False), (".drawn", False)):
        done = vitpose("render", folder, "-a", tmp_path / "run", "-o", folder / name)
        assert done.returncode == 0, done.stderr
        assert ("move it away" in done.stderr) == is_said, name
    done = vitpose("render", folder / "*", "-a", tmp_path / "run", "-o", folder / "more")
    assert "move it away" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupted_while_encoding(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(600))
    source = write_video(tmp_path / "clip.mp4", num=600, size_wh=SIZE_WH)
    folder = tmp_path / "out"
    folder.mkdir()
    code = [sys.executable, "-m", "vitpose_cli", "render", str(source), "-a",
            str(tmp_path / "run"), "-o", str(folder / "out.mp4")]  # fmt: skip
    with subprocess.Popen(code, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: any(folder.iterdir()), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert process.stderr is not None
        said = process.stderr.read()
    assert "interrupted; the same command draws anew, from the labels that are there." in said
    assert list(folder.iterdir()) == []


def test_warnings_reach_the_caller(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_run(tmp_path / "run", frame_keys(25, media="clip.mov"))
    source = write_video(tmp_path / "clip.mov", num=25, size_wh=SIZE_WH, audio="pcm_s16le")
    with caplog.at_level(logging.WARNING):
        draw(tmp_path, source)
    assert "encoded anew as AAC" in caplog.text


def test_variable_frame_rate_stays(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.5, 0.52, 1.7]
    save_run(tmp_path / "run", frame_keys(5))
    source = write_video(
        tmp_path / "clip.mp4", num=5, size_wh=SIZE_WH, times_s=times_s, rate=Fraction(25)
    )
    draw(tmp_path, source)
    assert [frame.time_s for frame in frames_of(tmp_path / "out.mp4")] == pytest.approx(
        times_s, abs=3e-5
    )
