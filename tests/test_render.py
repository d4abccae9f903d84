"""Rendering: labels on photos and videos, at the right frames, with times and sound."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from disks import Disk
from numpy.typing import NDArray
from runs import command, environment, save_weights, vitpose
from video_cases import audio_packets, number, picture, write_video

from vitpose_cli.annotate import AnnotateOptions, annotate
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.drawing import DrawStyle
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.merge import MergeOptions, merge_labels
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.render import RenderOptions, Summary, render
from vitpose_cli.smoothing import SmoothOptions

COCO = keypoint_set("coco")
SIZE_WH = (192, 128)
# A person 60 px tall, feet at y = 0, in the order of COCO.
PERSON = 30 * np.array(
    [
        *([0, -1.85], [0.04, -1.9], [-0.04, -1.9], [0.1, -1.85], [-0.1, -1.85]),
        *([0.22, -1.6], [-0.22, -1.6], [0.3, -1.25], [-0.3, -1.25], [0.32, -0.95], [-0.32, -0.95]),
        *([0.15, -0.95], [-0.15, -0.95], [0.16, -0.5], [-0.16, -0.5], [0.17, 0], [-0.17, 0]),
    ]
)


def person(x: float, y: float = 110.0) -> Instances:
    points = (PERSON + np.array([x, y]))[None].astype(np.float32)
    box = np.concatenate([points.min(axis=1) - 3, points.max(axis=1) + 3], axis=1)
    scores = np.full((1, 17), 0.9, np.float32)
    return Instances(box, scores[:, 0], points, scores, np.full((1, 17), 2, np.int8))


def place(index: int) -> float:
    return 40.0 + 2 * index


def save_run(
    folder: Path, keys: list[FrameKey], missing: tuple[int, ...] = (), **options: float
) -> Path:
    """Write a run with a person who walks to the right, and its document."""
    manifest = RunManifest(COCO.to_category(), options=options)
    with Run.open(folder, manifest) as run:
        for key in keys:
            people = Instances.empty(17) if key.index in missing else person(place(key.index))
            time_s = None if key.index < 0 else key.index / 25
            run.append(FrameRecord(key, SIZE_WH, time_s, instances=people))
        run.export()
    return folder


def frame_keys(count: int, every: int = 1, media: str = "clip.mp4") -> list[FrameKey]:
    return [FrameKey(media, index) for index in range(0, count, every)]


def draw(folder: Path, source: Path, **options: object) -> Summary:
    """Render with the run beside the source into `out`."""
    given = {"annotations": folder / "run", "output": folder / "out.mp4", **options}
    return render(
        RenderOptions(sources=(str(source),), **given),  # type: ignore[arg-type]
        report=lambda done, total: None,
        say=lambda text: None,
    )


def frames_of(path: Path) -> list[Frame]:
    return [item for item in VideoFile(path, "out").frames() if isinstance(item, Frame)]


def load(path: Path) -> NDArray[np.uint8]:
    return decode_image(path.read_bytes())


def changed(drawn: NDArray[np.uint8], index: int) -> NDArray[np.bool_]:
    """Return which pixels are not those of the source."""
    off = np.abs(drawn.astype(int) - picture(index, SIZE_WH)).max(axis=2)
    return np.asarray(off > 60)


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


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Write a folder of photos and videos, and its run."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.png", "sub/c.webp"):
        cv2.imwrite(str(folder / name), cv2.cvtColor(picture(3, SIZE_WH), cv2.COLOR_RGB2BGR))
    write_video(folder / "x.mp4", num=5, size_wh=SIZE_WH)
    write_video(folder / "sub" / "y.avi", num=5, size_wh=SIZE_WH, codec="mpeg4")
    photos = [FrameKey(name) for name in ("a.jpg", "sub/b.png", "sub/c.webp")]
    videos = frame_keys(5, media="x.mp4") + frame_keys(5, media="sub/y.avi")
    save_run(tmp_path / "run", photos + videos)
    return folder


def test_a_folder_gives_a_folder(tmp_path: Path, mixed: Path) -> None:
    summary = draw(tmp_path, mixed, output=tmp_path / "out")
    assert summary.num_frames == 13
    written = sorted(
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    )
    assert written == ["a.jpg", "sub/b.png", "sub/c.webp.jpg", "sub/y.avi.mp4", "x.mp4"]
    assert changed(load(tmp_path / "out" / "a.jpg"), 3)[20:90].any()
    assert len(frames_of(tmp_path / "out" / "sub" / "y.avi.mp4")) == 5


def test_identities_are_those_of_the_document(tmp_path: Path, mixed: Path) -> None:
    # Two videos do not share identities, so their colours differ.
    style = DrawStyle(boxes=False, scores=False, palette="instance")
    draw(tmp_path, mixed, output=tmp_path / "out", style=style, skeleton_only=True)
    colours = [
        frames_of(tmp_path / "out" / name)[0].image[60:100].reshape(-1, 3).max(axis=0)
        for name in ("x.mp4", "sub/y.avi.mp4")
    ]
    assert np.abs(colours[0].astype(int) - colours[1]).max() > 60


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_a_photo_gives_the_file_that_was_asked_for(tmp_path: Path, mixed: Path, name: str) -> None:
    save_run(tmp_path / "photo-run", [FrameKey("b.png")])
    draw(
        tmp_path, mixed / "sub" / "b.png", annotations=tmp_path / "photo-run",
        output=tmp_path / name,
    )  # fmt: skip
    assert changed(load(tmp_path / name), 3)[20:90].any()


def test_outputs_are_named_after_the_sources(
    tmp_path: Path, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert draw(tmp_path, mixed, output=None).output == Path("in-pose")
    save_run(tmp_path / "video-run", frame_keys(5, media="y.avi"))
    source = mixed / "sub" / "y.avi"
    summary = draw(tmp_path, source, annotations=tmp_path / "video-run", output=None)
    assert summary.output == Path("y-pose.mp4")
    assert (tmp_path / "y-pose.mp4").is_file()


def test_sources_are_never_overwritten(tmp_path: Path, mixed: Path) -> None:
    with pytest.raises(InputError, match="would overwrite"):
        draw(tmp_path, mixed, output=mixed)
    save_run(tmp_path / "photo-run", [FrameKey("a.jpg")])
    with pytest.raises(InputError, match="is the source"):
        draw(
            tmp_path, mixed / "a.jpg", annotations=tmp_path / "photo-run",
            output=mixed / "a.jpg",
        )  # fmt: skip


def test_sources_in_a_folder_of_the_sources_are_not_overwritten_either(
    tmp_path: Path, mixed: Path
) -> None:
    copied = mixed / "sub" / "a.jpg"
    copied.write_bytes((mixed / "a.jpg").read_bytes())
    before = copied.read_bytes()
    save_run(tmp_path / "photo-run", [FrameKey("a.jpg"), FrameKey("sub/a.jpg")])
    options = {"annotations": tmp_path / "photo-run", "output": mixed / "sub"}
    with pytest.raises(InputError, match=r"copy of a\.jpg would overwrite"):
        draw(tmp_path, mixed, **options)
    assert copied.read_bytes() == before
    options["output"] = mixed / "drawn"
    for _ in range(2):  # what was drawn is among the sources then, but has no labels
        assert draw(tmp_path, mixed, **options).num_frames == 2


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


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"no video at all" * 99, "is not a video")]
)
def test_a_file_that_nobody_could_label_says_why(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    source = tmp_path / "bad.mp4"
    source.write_bytes(content)
    save_run(tmp_path / "run", frame_keys(1))
    with pytest.raises(InputError, match=rf"^bad\.mp4: .*{reason}"):
        draw(tmp_path, source)


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


def test_a_photo_too_large_for_its_format_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.bmp"), np.zeros((8, 66_000, 3), np.uint8))  # no JPEG is so wide
    cv2.imwrite(str(folder / "b.bmp"), np.zeros((128, 192, 3), np.uint8))
    save_run(tmp_path / "run", [FrameKey("a.bmp"), FrameKey("b.bmp")])
    summary = draw(tmp_path, folder, output=tmp_path / "out")
    assert (summary.num_frames, summary.num_failed) == (1, 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.bmp.jpg"]


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


def test_it_says_where_drawn_copies_would_be_labelled(tmp_path: Path, clip: Path) -> None:
    folder = clip.parent
    for name, is_said in (("drawn", True), ("drawn.vitpose", False), (".drawn", False)):
        done = vitpose("render", folder, "-a", tmp_path / "run", "-o", folder / name)
        assert done.returncode == 0, done.stderr
        assert ("move it away" in done.stderr) == is_said, name


def test_without_annotations_it_labels_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", num=4, size_wh=SIZE_WH)
    weights = save_weights(tmp_path / "weights.safetensors")
    labeler = LabelerOptions(weights=str(weights), detector="whole-image", device="cpu")
    options = {"annotations": None, "output": None, "labeler": labeler}
    assert draw(tmp_path, Path("clip.mp4"), **options).num_frames == 4
    assert len(frames_of(tmp_path / "clip-pose.mp4")) == 4
    journal = tmp_path / "clip.mp4.vitpose" / "journal-1-of-1.jsonl"
    before = journal.read_bytes()
    assert before.count(b"\n") == 4 + 1  # the end of the clip
    draw(tmp_path, Path("clip.mp4"), **options, skeleton_only=True)
    assert journal.read_bytes() == before  # nothing is labelled twice
    run = journal.parent
    untracked = AnnotateOptions(("clip.mp4",), run, labeler, track=False)
    annotate(untracked, lambda *_: None, lambda _: None)
    document = (run / "annotations.json").read_bytes()
    draw(tmp_path, Path("clip.mp4"), **options, skeleton_only=True)
    assert (run / "annotations.json").read_bytes() == document
    other = replace(labeler, detect_every=2)
    with pytest.raises(ConfigError, match="detect-every: was not given, now 2") as caught:
        draw(tmp_path, Path("clip.mp4"), **options | {"labeler": other})
    assert caught.value.hint == "--annotations clip.mp4.vitpose draws the labels that are there."


def labelled_and_drawn(folder: Path, source: str, **options: object) -> tuple[Summary, list[int]]:
    """Render without labels; return also the counts that were reported."""
    weights = save_weights(folder / "weights.safetensors")
    labeler = LabelerOptions(
        str(weights), detector="whole-image", device="cpu", keypoint_threshold=0.0
    )
    counts: list[int] = []
    chosen = RenderOptions((source,), folder / "one-pass", labeler=labeler, **options)  # type: ignore[arg-type]
    return render(chosen, lambda done, _: counts.append(done), lambda _: None), counts


def drawn_again(folder: Path, source: str, **options: object) -> Summary:
    """Render the labels that are there."""
    run = folder / f"{source}.vitpose"
    chosen = RenderOptions((source,), folder / "two-passes", run, **options)  # type: ignore[arg-type]
    return render(chosen, lambda *_: None, lambda _: None)


@pytest.mark.parametrize("trail_s", [0.0, 0.5])
def test_one_pass_gives_what_two_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trail_s: float
) -> None:
    monkeypatch.chdir(tmp_path)
    lossless = EncodeOptions(crf=0)  # x264 does not make the same bytes of the same frames always
    Path("clips").mkdir()
    write_video(Path("clips/a.mp4"), num=40, size_wh=SIZE_WH, audio="aac", rate=Fraction(10))
    write_video(Path("clips/b.mp4"), num=9, size_wh=(96, 80), rate=Fraction(10))
    cut_off = write_video(Path("clips/c.mkv"), num=40, size_wh=SIZE_WH, gop=5)
    data = cut_off.read_bytes()
    cut_off.write_bytes(data[: len(data) * 3 // 4])
    one, counts = labelled_and_drawn(tmp_path, "clips", trail_s=trail_s, encode=lossless)
    two = drawn_again(tmp_path, "clips", trail_s=trail_s, encode=lossless)
    assert counts == [*range(len(counts))]  # every frame came by once
    assert replace(one, output=two.output, seconds=two.seconds) == two
    assert one.num_left_out == 1
    assert 49 < one.num_frames == len(counts) - 2
    for name in ("a.mp4", "b.mp4", "c.mkv.mp4"):
        mine, theirs = (frames_of(tmp_path / ways / name) for ways in ("one-pass", "two-passes"))
        assert [frame.time_s for frame in mine] == [frame.time_s for frame in theirs]
        for frame, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(frame.image, other.image)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_one_pass_that_was_interrupted_goes_on_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = save_weights(tmp_path / "weights.safetensors")
    write_video(tmp_path / "clip.mp4", num=400, size_wh=SIZE_WH)
    code = command("render", "clip.mp4", "--weights", weights, "--detector", "whole-image",
                   "--device", "cpu", "--json")  # fmt: skip
    with subprocess.Popen(code, stderr=subprocess.PIPE, env=environment()) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".*.part")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130, told
    assert not list(tmp_path.glob(".*.part"))
    assert not Path("clip-pose.mp4").exists()
    journal = Path("clip.mp4.vitpose") / "journal-1-of-1.jsonl"
    before = journal.read_bytes()
    assert 0 < before.count(b"\n") < 400
    again = subprocess.run(code, capture_output=True, env=environment(), check=True)
    assert json.loads(again.stdout)["num_frames"] == 400
    assert journal.read_bytes().startswith(before)
    assert journal.read_bytes().count(b"\n") == 400 + 1


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupted_while_encoding(tmp_path: Path) -> None:
    save_run(tmp_path / "run", frame_keys(600))
    source = write_video(tmp_path / "clip.mp4", num=600, size_wh=SIZE_WH)
    folder = tmp_path / "out"
    folder.mkdir()
    code = [sys.executable, "-m", "vitpose_cli", "render", str(source), "-a",
            str(tmp_path / "run"), "-o", str(folder / "out.mp4")]  # fmt: skip
    with subprocess.Popen(code, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
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
