"""Inputs of a merge that mean different pictures by one name."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import make_failure, make_record
from merge_cases import make_run, of_model
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.records.coco import read_coco

NAME = "IMG_0001.jpg"


def save_photo(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((480, 640, 3), grey, np.uint8))


def make_day(folder: Path, day: str, grey: int) -> Path:
    """Write a photo that a camera names alike every day, and the run that labelled it."""
    save_photo(folder / day / NAME, grey)
    return make_run(folder / f"{day}.vitpose", of_model(NAME, day), sources=(day,))


@pytest.mark.parametrize("output", ["week.vitpose", "week.json"])
def test_different_photos_of_one_name_and_size_are_refused(tmp_path: Path, output: str) -> None:
    make_day(tmp_path, "mon", 50)
    make_day(tmp_path, "tue", 200)
    done = vitpose("merge", "mon.vitpose", "tue.vitpose", "-o", output, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stderr.split())
    assert "mon/IMG_0001.jpg" in said
    assert "tue/IMG_0001.jpg" in said
    assert "different pictures" in said
    assert "common folder" in said
    assert not (tmp_path / output).exists()


def test_a_file_beside_other_photos_is_refused(tmp_path: Path) -> None:
    first, second = make_day(tmp_path, "mon", 50), make_day(tmp_path, "tue", 200)
    file = tmp_path / "tue" / "labels.json"
    shutil.copy(second / "annotations.json", file)
    first = make_run(tmp_path / "run", of_model(NAME, "aa"), sources=(str(tmp_path / "mon"),))
    with pytest.raises(InputError, match="different pictures"):
        merge_labels(MergeOptions((first, file), tmp_path / "out.json"))


def test_copies_and_photos_that_are_not_there_are_merged(tmp_path: Path) -> None:
    first, copy, gone = (make_day(tmp_path, day, 50) for day in ("mon", "tue", "wed"))
    (tmp_path / "wed" / NAME).unlink()
    save_photo(tmp_path / "wed" / "other.jpg", 200)
    merge_labels(MergeOptions((first, copy, gone), tmp_path / "out.json"))
    assert len(read_coco(tmp_path / "out.json").images) == 1


def test_a_photo_that_failed_is_not_compared(tmp_path: Path) -> None:
    make_day(tmp_path, "mon", 50)
    (tmp_path / "tue").mkdir()
    (tmp_path / "tue" / NAME).write_bytes(b"cut off")
    first = make_run(tmp_path / "a", make_failure(NAME), sources=(str(tmp_path / "tue"),))
    second = make_run(tmp_path / "b", of_model(NAME, "aa"), sources=(str(tmp_path / "mon"),))
    merge_labels(MergeOptions((first, second), tmp_path / "out.json"))
    assert len(read_coco(tmp_path / "out.json").annotations) == 2


def test_photos_of_one_folder_are_not_read(tmp_path: Path) -> None:
    save_photo(tmp_path / "mon" / NAME, 50)
    photos, link = str(tmp_path / "mon"), tmp_path / "link"
    link.symlink_to(tmp_path / "mon")
    runs = [
        make_run(tmp_path / name, of_model(NAME, name), sources=(source,))
        for name, source in (("a", photos), ("b", photos), ("c", str(link)))
    ]
    photo = tmp_path / "mon" / NAME
    os.utime(photo, (0, photo.stat().st_mtime))  # a read would set the first of these times
    merge_labels(MergeOptions(tuple(runs), tmp_path / "out.json"))
    assert photo.stat().st_atime == 0


def test_photos_in_archives_are_compared(tmp_path: Path) -> None:
    runs = []
    for day, grey in (("mon", 50), ("tue", 200), ("wed", 50)):
        save_photo(tmp_path / "photos" / day / NAME, grey)
        (tmp_path / day).mkdir()
        with tarfile.open(tmp_path / day / "shard.tar", "w") as archive:
            archive.add(tmp_path / "photos" / day / NAME, NAME)
        record = of_model(f"shard.tar/{NAME}", day)
        runs.append(make_run(tmp_path / f"{day}.run", record, sources=(str(tmp_path / day),)))
    merge_labels(MergeOptions((runs[0], runs[2]), tmp_path / "out.json"))
    with pytest.raises(InputError, match="different pictures"):
        merge_labels(MergeOptions((runs[0], runs[1]), tmp_path / "none.json"))


def test_videos_are_compared(tmp_path: Path) -> None:
    runs = []
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "clip.mp4").write_bytes(f"a video of {day}".encode())
        frames = [make_record("clip.mp4", index) for index in range(3)]
        runs.append(make_run(tmp_path / f"{day}.run", *frames, sources=(str(tmp_path / day),)))
    with pytest.raises(InputError, match=r"clip\.mp4 is .*different pictures"):
        merge_labels(MergeOptions((runs[0], runs[1]), tmp_path / "out.json"))
    shutil.copy(tmp_path / "mon" / "clip.mp4", tmp_path / "tue" / "clip.mp4")
    merge_labels(MergeOptions((runs[0], runs[1]), tmp_path / "out.json"))
    assert len(read_coco(tmp_path / "out.json").images) == 3
