"""Exports into the folder that the photos themselves lie in."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from format_cases import NO_PICTURES, export, make_run, record

from vitpose_cli.errors import InputError
from vitpose_cli.formats.written import Placing, WriteOptions


def make_photo(path: Path) -> bytes:
    path.parent.mkdir(parents=True)
    data = cv2.imencode(".jpg", np.zeros((480, 640, 3), np.uint8))[1].tobytes()
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("pictures", ["link", "copy"])
def test_yolo_never_deletes_the_photos_themselves(tmp_path: Path, pictures: Placing) -> None:
    photo = tmp_path / "dataset/images/train/day/a.jpg"
    data = make_photo(photo)
    for root, name in ((photo.parent, "a.jpg"), (tmp_path / "dataset", "images/train/day/a.jpg")):
        run = make_run(tmp_path / f"run-{root.name}", [record(name)], sources=(str(root),))
        with pytest.raises(InputError, match="pictures themselves lie in"):
            export(
                run, "yolo", tmp_path / "dataset", WriteOptions(pictures=pictures, overwrite=True)
            )
    assert photo.read_bytes() == data


def test_yolo_writes_labels_beside_photos_that_it_is_to_leave_alone(tmp_path: Path) -> None:
    photo = tmp_path / "dataset/images/train/a.jpg"
    data = make_photo(photo)
    run = make_run(tmp_path / "run", [record("a.jpg")], sources=(str(photo.parent),))
    for options in (NO_PICTURES, WriteOptions(pictures="none", overwrite=True)):
        export(run, "yolo", tmp_path / "dataset", options)
        assert (tmp_path / "dataset/labels/train/a.txt").read_text().count("\n") == 2
    assert photo.read_bytes() == data


@pytest.mark.parametrize("pictures", ["link", "copy"])
def test_a_photo_that_is_where_it_is_wanted_stays(tmp_path: Path, pictures: Placing) -> None:
    photo = tmp_path / "set/data/a.jpg"
    data = make_photo(photo)
    run = make_run(tmp_path / "run", [record("a.jpg")], sources=(str(photo.parent),))
    options = WriteOptions(pictures=pictures, overwrite=True)
    export(run, "fiftyone", tmp_path / "set", options)
    assert not photo.is_symlink()
    assert photo.read_bytes() == data


@pytest.mark.parametrize(
    ("name", "key"), [("yolo", ("../../../out.jpg", -1)), ("cvat", ("../../out.mp4", 0))]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str, key: tuple[str, int]) -> None:
    run = make_run(tmp_path / "run", [record(key[0], index=key[1])])
    with pytest.raises(InputError, match="leads out"):
        export(run, name, tmp_path / "a" / "b")
    assert not [*tmp_path.rglob("out.*")]
