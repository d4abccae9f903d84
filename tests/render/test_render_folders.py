"""Rendering of photos and folders: what is written where, and what is never overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import make_record, make_run
from render_cases import (
    SIZE_WH,
    changed,
    draw,
    frame_keys,
    frames_of,
    load,
    save_run,
)
from runs import vitpose
from video_cases import picture, write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.drawing import DrawStyle
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.tracking.smoothing import SmoothOptions


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


@pytest.mark.parametrize("labels", ["run", "run/annotations.json"])
def test_frames_that_were_extracted_have_the_labels_of_the_video(
    tmp_path: Path, labels: str
) -> None:
    folder = tmp_path / "extracted"
    for key in frame_keys(4):
        (folder / key.media).mkdir(parents=True, exist_ok=True)
        frame = cv2.cvtColor(picture(key.index, SIZE_WH), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / str(key)), frame)
    save_run(tmp_path / "run", [*frame_keys(3), *frame_keys(1, media="sub/clip.mp4")])
    given = {"annotations": tmp_path / labels, "output": tmp_path / "out"}
    summary = draw(tmp_path, folder, **given)
    assert (summary.num_frames, summary.num_left_out, summary.num_failed) == (3, 1, 0)
    for key in frame_keys(3):
        assert changed(load(tmp_path / "out" / str(key)), key.index)[20:90].any()
    shutil.copytree(folder / "clip.mp4", folder / "sub" / "clip.mp4")
    with pytest.raises(InputError, match="would overwrite one of the sources"):
        draw(tmp_path, folder, **given | {"output": folder / "sub"})


@pytest.mark.parametrize("labels", ["run", "run/annotations.json"])
@pytest.mark.parametrize("smooth", [None, SmoothOptions()])
def test_a_video_has_the_labels_of_frames_that_were_extracted(
    tmp_path: Path, labels: str, smooth: SmoothOptions | None
) -> None:
    write_video(tmp_path / "clip.mp4", num=5, size_wh=SIZE_WH)
    photos = [FrameKey(str(key)) for key in frame_keys(5, every=2)]
    save_run(tmp_path / "run", photos)
    given = {"annotations": tmp_path / labels, "smooth": smooth}
    summary = draw(tmp_path, tmp_path / "clip.mp4", **given)
    assert (summary.num_frames, summary.num_left_out, summary.num_failed) == (3, 2, 0)
    first, *_ = frames_of(tmp_path / "out.mp4")
    assert changed(first.image, 0)[20:90].any()


def test_a_photo_too_large_for_its_copy_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    wide = np.zeros((8, 66_000, 3), np.uint8)  # wider than a JPEG may be
    cv2.imwrite(str(folder / "panorama.bmp"), wide)
    save_run(tmp_path / "run", [FrameKey("panorama.bmp")], size_wh=(66_000, 8))
    arguments = ("render", folder, "-a", tmp_path / "run", "-o", tmp_path / "out")
    done = vitpose(*arguments)
    assert done.returncode == 5, done.stderr
    assert "panorama.bmp.jpg: 66000 x 8 px do not fit into this format." in done.stderr
    assert "Could not be drawn: 1 frame." in done.stderr
    assert "There are no others." in done.stderr
    cv2.imwrite(str(folder / "a.jpg"), picture(3, SIZE_WH))
    shutil.rmtree(tmp_path / "run")
    keys = [FrameKey("a.jpg"), FrameKey("panorama.bmp")]
    save_run(tmp_path / "run", keys[:1])
    wide_run = save_run(tmp_path / "wide", keys[1:], size_wh=(66_000, 8))
    merge_labels(MergeOptions((tmp_path / "run", wide_run), tmp_path / "both"))
    done = vitpose("render", folder, "-a", tmp_path / "both", "-o", tmp_path / "out")
    assert done.returncode == 5, done.stderr
    assert "1 frame in " in done.stderr
    assert (tmp_path / "out" / "a.jpg").is_file()


def test_identities_are_those_of_the_document(tmp_path: Path, mixed: Path) -> None:
    # Two videos do not share identities, so their colours differ.
    style = DrawStyle(boxes=False, scores=False, palette="instance")
    draw(tmp_path, mixed, output=tmp_path / "out", style=style, skeleton_only=True)
    colours = [
        frames_of(tmp_path / "out" / name)[0].image[60:100].reshape(-1, 3).max(axis=0)
        for name in ("x.mp4", "sub/y.avi.mp4")
    ]
    assert np.abs(colours[0].astype(int) - colours[1]).max() > 60


def test_copies_of_names_that_begin_alike_do_not_meet(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    photos, videos = ("a.webp", "a.webp.jpg"), ("m.MP4", "m.MP4.mp4", "m.mkv", "m.mkv.mp4")
    for name in photos:
        cv2.imwrite(str(folder / name), cv2.cvtColor(picture(3, SIZE_WH), cv2.COLOR_RGB2BGR))
    keys = [FrameKey(name) for name in photos]
    for count, name in enumerate(videos, 1):
        write_video(folder / name, num=count, size_wh=SIZE_WH)
        keys += frame_keys(count, media=name)
    save_run(tmp_path / "run", keys)
    for _ in range(2):
        assert draw(tmp_path, folder, output=tmp_path / "out").num_frames == 12
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.webp.jpg", "a.webp.jpg.jpg",
        "m.MP4.mp4", "m.MP4.mp4.mp4", "m.mkv.mp4", "m.mkv.mp4.mp4",
    }  # fmt: skip
    for count, name in enumerate(videos, 1):
        assert len(frames_of(tmp_path / "out" / f"{name}.mp4")) == count


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp.jpg"])
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


def test_a_photo_too_large_for_its_format_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.bmp"), np.zeros((8, 66_000, 3), np.uint8))  # no JPEG is so wide
    cv2.imwrite(str(folder / "b.bmp"), np.zeros((128, 192, 3), np.uint8))
    save_run(tmp_path / "run", [FrameKey("a.bmp"), FrameKey("b.bmp")])
    summary = draw(tmp_path, folder, output=tmp_path / "out")
    assert (summary.num_frames, summary.num_failed) == (1, 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.bmp.jpg"]


@pytest.mark.parametrize("labels", ["run", "run/annotations.json"])
def test_a_photo_whose_labels_name_frames_of_it_has_none(tmp_path: Path, labels: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):  # what was an animation where it was labelled
        cv2.imwrite(str(folder / name), picture(0, SIZE_WH))
    save_run(tmp_path / "run", [FrameKey("a.png", 0), FrameKey("a.png", 1), FrameKey("b.png")])
    command: list[str | Path] = ["render", "-a", tmp_path / labels, "-o", tmp_path / "out"]
    done = vitpose(*command, folder)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]
    alone = vitpose(*command, folder / "a.png")
    assert alone.returncode == 3
    assert "has no labels for a.png" in alone.stderr


def test_a_run_is_told_what_to_draw_on_in_few_words(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def said(sources: list[str]) -> str:
        shutil.rmtree(run, ignore_errors=True)
        make_run(run, [make_record(name) for name in sources], sources=tuple(sources), base="..")
        done = vitpose("render", "run", cwd=tmp_path)
        assert done.returncode == 3
        return " ".join(done.stderr.split())

    names = [f"my day/{number}.jpg" for number in range(6)]
    for name in (*names, "else.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    few = " ".join(f"'{tmp_path / name}'" for name in names[:2])
    assert f"vitpose render {few} -a run" in said(names[:2])
    assert f"vitpose render '{tmp_path / 'my day'}' -a run" in said(names)
    assert "vitpose render SOURCE… -a run" in said([*names, "else.jpg"])
