"""Exports into the folder that the photos themselves lie in."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from format_cases import NO_PICTURES, export, make_run, record
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.formats.written import Placing, WriteOptions
from vitpose_cli.media.finding import find_media


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


@pytest.mark.parametrize("name", ["yolo", "fiftyone"])
@pytest.mark.parametrize("out", ["set", "set/images"])
def test_pictures_are_not_written_where_they_would_be_labelled(
    tmp_path: Path, name: str, out: str
) -> None:
    photo = tmp_path / "set/images/a.jpg"
    make_photo(photo)
    run = make_run(tmp_path / "run", [record("images/a.jpg")], sources=(str(tmp_path / "set"),))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"what is to be labelled lies .*images/a\.jpg") as caught:
        export(run, name, tmp_path / out, WriteOptions(overwrite=True))
    assert "--pictures none" in caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before
    export(run, name, tmp_path / out, WriteOptions(pictures="none", overwrite=True))


@pytest.mark.parametrize("out", [".", "set/exported"])
def test_pictures_beside_or_below_the_photos_are_labelled_by_nobody(
    tmp_path: Path, out: str
) -> None:
    make_photo(tmp_path / "set/a.jpg")
    run = make_run(tmp_path / "run", [record("a.jpg")], sources=(str(tmp_path / "set"),))
    export(run, "yolo", tmp_path / out, WriteOptions())
    assert (tmp_path / out / "images/train/a.jpg").is_symlink()
    assert [*find_media([str(tmp_path / "set")]).files] == ["a.jpg"]


@pytest.mark.parametrize(
    ("name", "key"), [("yolo", ("../../../out.jpg", -1)), ("cvat", ("../../out.mp4", 0))]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str, key: tuple[str, int]) -> None:
    run = make_run(tmp_path / "run", [record(key[0], index=key[1])])
    with pytest.raises(InputError, match="leads out"):
        export(run, name, tmp_path / "a" / "b")
    assert not [*tmp_path.rglob("out.*")]


NOBODY = 65534
MEMORY = Path("/proc/self/mem")  # it can be opened; reading from its beginning is an I/O error


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the right of root to read everything, for a while."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="no permissions")
@pytest.mark.parametrize("locked", ["a.jpg", "shard.tar"])
def test_a_photo_that_nobody_may_read_is_named(locked: str) -> None:
    with TemporaryDirectory(dir="/tmp") as name:  # one that others may enter
        folder = Path(name)
        folder.chmod(0o777)
        data = make_photo(folder / "photos" / "a.jpg")
        with tarfile.open(folder / "photos" / "shard.tar", "w") as archive:
            archive.add(folder / "photos" / "a.jpg", "a.jpg")
        media = "a.jpg" if locked == "a.jpg" else "shard.tar/a.jpg"
        run = make_run(folder / "run", [record(media)], sources=(str(folder / "photos"),))
        options = WriteOptions(pictures="copy", overwrite=True)
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        export(run, "fiftyone", folder / "first", options)  # what is in the archive is known now
        assert (folder / "first" / "data" / media).read_bytes() == data
        (folder / "photos" / locked).chmod(0)
        with as_nobody(), pytest.raises(InputError) as caught:
            export(run, "fiftyone", folder / "out", options)
        place = folder / "photos" / media
        assert caught.value.message == f"Cannot read {place}: Permission denied."
        assert not [*folder.glob("out/data/**/*.jpg")]


@pytest.mark.skipif(not MEMORY.exists(), reason="no /proc")
def test_a_disk_that_fails_while_a_photo_is_copied_is_that_of_the_photo(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").symlink_to(MEMORY)
    make_run(tmp_path / "run", [record("a.jpg")], sources=(str(tmp_path / "photos"),))
    done = vitpose(
        "export", "run", "-f", "fiftyone", "--pictures", "copy", "-o", "out", cwd=tmp_path
    )
    assert done.returncode == 3, done.stderr
    assert "Cannot read /proc/" in done.stderr
    assert "Cannot write" not in done.stderr
    assert not [*(tmp_path / "out").iterdir()]
