"""An export that fails leaves the one before it as it was."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from format_cases import export, make_run, record
from video_cases import write_video

from vitpose_cli.errors import InputError
from vitpose_cli.files import TEMPORARY_SUFFIX, temporary_name
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.own_files import LIST_NAME, OwnFiles, listed_in

FOLDERS = ("cvat", "labelstudio", "fiftyone", "yolo", "openpose", "pose2sim", "controlnet")
ANEW = WriteOptions(overwrite=True)
NAMES = ["a/one.jpg", "a/two.png", "b/one.jpg"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write photos and a video."""
    folder = tmp_path / "photos"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, np.zeros((480, 640, 3), np.uint8))[1].tobytes())
    write_video(folder / "clip.mp4")
    return folder


def everything(folder: Path) -> dict[str, bytes | Path]:
    """Return what is in all files of a folder, and where its links lead."""
    return {
        path.relative_to(folder).as_posix(): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_what_fails_at_the_last_frame_changes_nothing(
    tmp_path: Path, photos: Path, name: str
) -> None:
    sources = (str(photos),)
    first = [record("clip.mp4", index=1), *map(record, NAMES[1:])]
    out = tmp_path / "out"
    export(make_run(tmp_path / "first", first, sources=sources), name, out, WriteOptions())
    before = everything(out)
    assert len(before) > 2
    second = [record("clip.mp4", index=0), *(record(each, count=3) for each in NAMES)]
    wrong = [*second, record("z/../../out.mp4", index=0)]
    failing = make_run(tmp_path / "wrong", wrong, sources=sources)
    for options in (ANEW, WriteOptions(pictures="copy", overwrite=True)):
        with pytest.raises(InputError, match="leads out"):
            export(failing, name, out, options)
        assert everything(out) == before
    whole = make_run(tmp_path / "second", second, sources=sources)
    export(whole, name, out, ANEW)
    after = everything(out)
    export(whole, name, tmp_path / "alone", ANEW)
    alone = everything(tmp_path / "alone")
    if name == "fiftyone":  # pictures that it has already stay
        del after["data/clip.mp4/frame_000001.jpg"]
    after.pop(LIST_NAME), alone.pop(LIST_NAME)
    assert after == alone


@pytest.mark.parametrize("name", ["cvat", "fiftyone", "yolo", "pose2sim"])
def test_what_fails_the_first_time_leaves_nothing(tmp_path: Path, photos: Path, name: str) -> None:
    wrong = [*map(record, NAMES), record("z/../../out.mp4", index=0)]
    run = make_run(tmp_path / "run", wrong, sources=(str(photos),))
    with pytest.raises(InputError, match="leads out"):
        export(run, name, tmp_path / "out", WriteOptions())
    assert not everything(tmp_path / "out")


@pytest.mark.parametrize("name", ["labelstudio", "pose2sim"])
def test_what_a_killed_export_wrote_is_no_obstacle(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "run")
    (tmp_path / "out" / f".export.1{TEMPORARY_SUFFIX}" / "a").mkdir(parents=True)
    (tmp_path / "out" / ".DS_Store").touch()  # nor is what a system leaves
    export(run, name, tmp_path / "out", WriteOptions())
    with pytest.raises(InputError, match="is not empty"):
        export(run, name, tmp_path / "out", WriteOptions())


def test_files_wait_until_they_are_put_in_place(tmp_path: Path) -> None:
    old, new = tmp_path / "a" / "old.txt", tmp_path / "b" / "new.txt"
    with OwnFiles(tmp_path) as own, new_files(own) as files:
        files.write(old, b"old")
        assert not old.exists()
        assert files.put_in_place({}) == []
    assert old.read_bytes() == b"old"
    (tmp_path / "a" / "mine.txt").touch()
    stale = tmp_path / temporary_name("export", TEMPORARY_SUFFIX) / "stale.txt"
    stale.parent.mkdir()
    stale.touch()
    with OwnFiles(tmp_path) as own, new_files(own) as files:
        files.write(new, b"new")
        assert old.exists()
        assert files.put_in_place({tmp_path: ".txt"}) == [tmp_path / "a" / "mine.txt"]
    assert everything(tmp_path).keys() == {LIST_NAME, "a/mine.txt", "b/new.txt"}
    assert listed_in(tmp_path) == {"b/new.txt"}


def test_what_another_process_exports_meanwhile_stays(tmp_path: Path) -> None:
    waiting = tmp_path / f".export.1{TEMPORARY_SUFFIX}" / "a" / "theirs.txt"
    waiting.parent.mkdir(parents=True)
    waiting.touch()
    with OwnFiles(tmp_path) as own, new_files(own) as files:
        files.write(tmp_path / "ours.txt", b"ours")
        assert files.put_in_place({tmp_path: ""}) == []
    assert waiting.exists()


def test_somebody_elses_file_is_found_before_anything_goes(tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    with OwnFiles(tmp_path) as own:
        with new_files(own) as files:
            files.write(old, b"old")
            files.put_in_place({})
        with new_files(own) as files:
            files.write(old, b"again")
            files.write(new, b"new")
            new.write_text("by hand, meanwhile")
            with pytest.raises(InputError, match="no earlier call wrote it"):
                files.put_in_place({tmp_path: ""})
        assert old.read_bytes() == b"old"
        new.unlink()
        (tmp_path / "folder").write_text("by hand")
        with new_files(own) as files:
            files.write(tmp_path / "folder" / "new.txt", b"new")
            with pytest.raises(InputError, match=r"Cannot write .*folder: "):
                files.put_in_place({tmp_path: ""})
        assert old.read_bytes() == b"old"


def test_two_frames_never_share_a_file(tmp_path: Path) -> None:
    with OwnFiles(tmp_path) as own, new_files(own) as files:
        files.write(tmp_path / "a.txt", b"a")
        with pytest.raises(InputError, match="Two frames would share") as caught:
            files.write(tmp_path / "a.txt", b"b")
    assert str(tmp_path / "a.txt") in caught.value.message


def test_errors_name_files_as_they_were_to_be_called(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError) as caught,
        OwnFiles(tmp_path) as own,
        new_files(own) as files,
    ):
        raise InputError(f"Cannot write {files.place(tmp_path / 'a' / 'b.txt')}: no.", "Hint.")
    assert caught.value.message == f"Cannot write {tmp_path / 'a' / 'b.txt'}: no."
    assert caught.value.hint == "Hint."
    assert not [*tmp_path.iterdir()]


ALIKE = ["a/x.jpg", "A/X.jpg", "a/x.png", "A/x.PNG", "caf\u00e9.jpg", "cafe\u0301.jpg", "CAFÉ.jpg"]


@pytest.mark.parametrize("name", ["yolo", "openpose", "pose2sim", "controlnet"])
def test_names_that_differ_in_case_alone_get_files_of_their_own(tmp_path: Path, name: str) -> None:
    """As disks of macOS and Windows do not tell them apart, to which the files may be copied."""
    for media in ALIKE:
        path = tmp_path / "photos" / media
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", np.zeros((480, 640, 3), np.uint8))[1].tobytes())
    write_video(tmp_path / "photos" / "clip.mp4")
    write_video(tmp_path / "photos" / "CLIP.mp4")
    records = [*map(record, ALIKE), record("clip.mp4", index=0), record("CLIP.mp4", index=0)]
    run = make_run(tmp_path / "run", records, sources=(str(tmp_path / "photos"),))
    out = tmp_path / "out"
    export(run, name, out, WriteOptions())
    files = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    for ending in (".txt", ".jpg") if name == "yolo" else ("_keypoints.json",):
        found = [each for each in files if each.casefold().endswith(ending)]
        assert len(found) == len(records) - 2 * (ending == ".jpg")
    same = {unicodedata.normalize("NFC", each).casefold() for each in files}
    assert len(same) == len(files)
    if name == "yolo":
        pictures = {path.with_suffix("") for path in (out / "images").rglob("*") if path.is_file()}
        texts = {path.with_suffix("") for path in (out / "labels").rglob("*.txt")}
        assert {each.relative_to(out / "images") for each in pictures} == {
            each.relative_to(out / "labels") for each in texts
        }
