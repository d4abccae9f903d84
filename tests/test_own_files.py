"""What `--overwrite` may replace in a folder, and what it must leave alone."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import make_record, make_run

from vitpose_cli.errors import InputError
from vitpose_cli.formats.content import open_content
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.formats.table import format_named
from vitpose_cli.formats.written import WriteOptions, Written
from vitpose_cli.own_files import LIST_NAME, OwnFiles, listed_in
from vitpose_cli.split import SplitOptions, split_labels
from vitpose_cli.tracking.smoothed_labels import for_document

PHOTOS = [f"{folder}/{number}.jpg" for folder in "ab" for number in range(2)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in PHOTOS:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((480, 640, 3), np.uint8))
    sources = (str(tmp_path / "photos"),)
    return make_run(tmp_path / "run", map(make_record, PHOTOS), sources=sources)


def write(run: Path, kind: str, out: Path) -> Written | None:
    """Export or split anew."""
    if kind == "split":
        split_labels(SplitOptions(run, out, overwrite=True))
        return None
    content = open_content(run, LabelFilter(), for_document)
    return format_named(kind).write(content, out, WriteOptions(overwrite=True))


def test_an_export_leaves_the_dataset_of_somebody_else_alone(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    own = [mine / "images/train/own.jpg", mine / "labels/train/own.txt"]
    for path in own:
        path.parent.mkdir(parents=True)
        path.write_text("by hand")
    for _ in range(2):
        written = write(run, "yolo", mine)
        assert written is not None
        assert written.notes[0].startswith("Files that no export wrote stay: 2, such as")
        assert [path.read_text() for path in own] == ["by hand"] * 2
        assert len(list((mine / "images/train").rglob("*.jpg"))) == 5

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "data.yaml").write_text("path: /somewhere")
    with pytest.raises(InputError, match=r"data\.yaml is there already, and no earlier call"):
        write(run, "yolo", theirs)
    assert [path.name for path in theirs.iterdir()] == ["data.yaml"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("fiftyone", "labels.json"),
        ("fiftyone", "data/b/0.jpg"),
        ("cvat", "photos.zip"),
        ("labelstudio", "tasks.json"),
        ("yolo", "labels/train/b/0.txt"),
        ("split", "val.json"),
    ],
)
def test_a_file_of_somebody_else_is_named_and_refused(
    run: Path, tmp_path: Path, kind: str, name: str
) -> None:
    theirs = tmp_path / "out" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("by hand")
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            write(run, kind, tmp_path / "out")
        assert str(theirs) in caught.value.message
        assert theirs.read_text() == "by hand"
    theirs.unlink()
    for _ in range(2):
        write(run, kind, tmp_path / "out")


def test_what_is_left_of_a_killed_export_is_written_anew(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fork = multiprocessing.get_context("fork")
    for _ in range(5):
        shutil.rmtree(out, ignore_errors=True)
        export = fork.Process(target=write, args=(run, "yolo", out))
        export.start()
        while export.is_alive() and not (out / "images/train/a").exists():
            pass
        export.kill()
        export.join()
        written = write(run, "yolo", out)
        assert written is not None
        assert "stay" not in " ".join(written.notes)
        assert len(list((out / "labels").rglob("*.txt"))) == 4


def test_the_list_of_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / LIST_NAME).write_bytes(b'"a\\n.txt"\n"b/c')
    (tmp_path / "a\n.txt").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").touch()
    with OwnFiles(tmp_path) as own:
        own.claim(tmp_path / "a\n.txt")
        own.claim(tmp_path / "d")
        with pytest.raises(InputError, match="no earlier call wrote it"):
            own.claim(tmp_path / "b" / "c")
    assert listed_in(tmp_path) == {"a\n.txt", "d"}


def test_a_name_is_free_again_once_its_file_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "out" / "x" / "a"
    with OwnFiles(tmp_path) as own:
        own.claim(path)
        path.parent.mkdir(parents=True)
        path.touch()
        (path.parent / "theirs").touch()
        (path.parent / "link").symlink_to(tmp_path)
        assert own.delete([tmp_path / "out"]) == [path.parent / "link", path.parent / "theirs"]
        path.touch()
        with pytest.raises(InputError):
            own.claim(path)
    assert listed_in(tmp_path) == set()


def test_a_file_is_forgotten_between_others(tmp_path: Path) -> None:
    with OwnFiles(tmp_path) as own:
        for name in ("a", "b"):
            own.claim(tmp_path / name)
            (tmp_path / name).touch()
        assert own.owns(tmp_path / "a")
        (tmp_path / "a").unlink()
        own.forget([tmp_path / "a"])
        assert not own.owns(tmp_path / "a")
        own.claim(tmp_path / "c")
    assert listed_in(tmp_path) == {"b", "c"}


def test_a_damaged_list_is_said(tmp_path: Path) -> None:
    (tmp_path / LIST_NAME).write_bytes(b"{\n")
    with pytest.raises(InputError, match="is damaged"):
        OwnFiles(tmp_path)
