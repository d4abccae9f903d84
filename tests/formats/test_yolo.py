"""Ultralytics is under the AGPL and no dependency, not even of tests: its rules are written down.

Source: https://docs.ultralytics.com/datasets/pose, and what its dataset loader checks of each file.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from format_cases import (
    COCO,
    NO_PICTURES,
    SIZE_WH,
    content,
    export,
    make_run,
    people,
    record,
)
from runs import vitpose

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats import yolo
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.formats.yolo import label_path
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord


def labels_where_ultralytics_looks(image: Path) -> Path:
    """Apply its rule: the last `/images/` becomes `/labels/`, the suffix `.txt`."""
    inside, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
    return Path(labels.join(str(image).rsplit(inside, 1)).rsplit(".", 1)[0] + ".txt")


def checked_rows(path: Path, num_keypoints: int, num_classes: int) -> np.ndarray[Any, Any]:
    """Return the rows of a label file, after all that Ultralytics asserts of them."""
    lines = [line.split() for line in path.read_text().strip().splitlines() if line]
    if not lines:
        return np.zeros((0, 5 + 3 * num_keypoints))
    rows = np.array(lines, np.float32)
    assert rows.shape[1] == 5 + 3 * num_keypoints, "labels require 5 + ndim * kpt columns"
    points = rows[:, 5:].reshape(len(rows), num_keypoints, 3)
    assert points[..., :2].max() <= 1, "non-normalised or out of bounds keypoints"
    assert rows[:, 1:5].max() <= 1, "non-normalised or out of bounds boxes"
    assert rows.min() >= 0, "negative label values"
    assert rows[:, 0].max() < num_classes, "label class beyond the classes"
    assert len(np.unique(rows, axis=0)) == len(rows), "duplicate labels are removed"
    assert {*points[..., 2].ravel()} <= {0, 1, 2}
    return rows


def checked_data(folder: Path) -> dict[str, Any]:
    """Return data.yaml, after all that Ultralytics asserts of it."""
    data: dict[str, Any] = yaml.safe_load((folder / "data.yaml").read_text())
    assert {"names", "kpt_shape"} <= data.keys()
    assert data["kpt_shape"][1] in (2, 3)
    assert len(data["flip_idx"]) == data["kpt_shape"][0]
    for split in ("train", "val", "test"):
        assert split not in data or (folder / data[split]).is_dir()
    return data


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a/one.jpg", "a/two.png", "b/one.jpg", "empty.jpg", "fixed ü.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = cv2.imencode(path.suffix, np.zeros((480, 640, 3), np.uint8))[1]
        path.write_bytes(data.tobytes())
    return tmp_path / "photos"


def test_every_file_keeps_the_rules(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = export(run, "yolo", tmp_path / "out")
    assert (written.num_images, written.num_instances) == (7, 11)
    assert "--split" in written.notes[-1]
    data = checked_data(tmp_path / "out")
    assert data == {
        "train": "images/train",
        "kpt_shape": [17, 3],
        "flip_idx": COCO.flip_order.tolist(),
        "names": {0: "person"},
        "kpt_names": {0: list(COCO.names)},
    }
    for record_ in (frame.record for frame in content(run).frames()):
        image = tmp_path / "out" / "images" / "train" / str(record_.key)
        rows = checked_rows(labels_where_ultralytics_looks(image), 17, 1)
        found = record_.instances
        assert found is not None
        assert len(rows) == len(found)
        if not len(found):
            continue
        size = np.array(SIZE_WH)
        low = (rows[:, 1:3] - rows[:, 3:5] / 2) * size
        high = (rows[:, 1:3] + rows[:, 3:5] / 2) * size
        np.testing.assert_allclose(np.hstack([low, high]), found.boxes, atol=0.01)
        points = rows[:, 5:].reshape(-1, 17, 3)
        np.testing.assert_array_equal(points[..., 2], found.visibility)
        shown = found.visibility > 0
        np.testing.assert_allclose(points[shown][:, :2] * size, found.keypoints[shown], atol=0.01)
        assert not points[~shown].any()


def test_what_lies_outside_is_cut_or_not_labelled(tmp_path: Path) -> None:
    person = people(1)
    points = person.keypoints.copy()
    points[0, :3] = [(-3, 50), (640.5, 50), (640, 480)]
    visibility = person.visibility.copy()
    visibility[0, :3] = 2
    outside = replace(
        person,
        boxes=np.array([[-50, -50, 900, 900]], np.float32),
        keypoints=points,
        visibility=visibility,
    )
    run = make_run(tmp_path / "run", [FrameRecord(FrameKey("a.jpg"), SIZE_WH, None, outside)])
    export(run, "yolo", tmp_path / "out")
    (row,) = checked_rows(tmp_path / "out/labels/train/a.txt", 17, 1)
    np.testing.assert_array_equal(row[1:5], [0.5, 0.5, 1, 1])
    np.testing.assert_array_equal(row[5:14].reshape(3, 3), [[0, 0, 0], [0, 0, 0], [1, 1, 2]])


def test_two_splits_make_one_dataset(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    options = replace(NO_PICTURES, split="train")
    yolo.write(content(run, names=frozenset({"a/one.jpg"})), tmp_path / "out", options)
    rest = frozenset({"b/one.jpg", "empty.jpg"})
    val = replace(NO_PICTURES, split="val")
    written = yolo.write(content(run, names=rest), tmp_path / "out", val)
    assert written.notes == ()
    data = checked_data(tmp_path / "out")
    assert (data["train"], data["val"]) == ("images/train", "images/val")
    assert (tmp_path / "out/labels/val/empty.txt").read_text() == ""

    with pytest.raises(InputError, match="there already") as caught:
        yolo.write(content(run), tmp_path / "out", val)
    assert "--overwrite" in caught.value.hint
    yolo.write(
        content(run, names=frozenset({"empty.jpg"})), tmp_path / "out", replace(val, overwrite=True)
    )
    assert [path.name for path in (tmp_path / "out/labels/val").iterdir()] == ["empty.txt"]
    assert (tmp_path / "out/labels/train/a/one.txt").is_file()
    with pytest.raises(ConfigError, match="no split 'valid'"):
        yolo.write(content(run), tmp_path / "out", replace(val, split="valid"))


def test_a_split_that_is_refused_at_last_is_still_described(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(make_run(tmp_path / "first", [record("one.jpg")]), "yolo", out)
    before = (out / "data.yaml").read_bytes()
    (out / "labels/train/a").write_text("by hand, where a folder is to be")
    second = make_run(tmp_path / "second", [record("a/one.jpg")])
    with pytest.raises(InputError, match=r"Cannot write .*/labels/train/a"):
        export(second, "yolo", out, replace(NO_PICTURES, overwrite=True))
    assert (out / "data.yaml").read_bytes() == before
    assert (out / "labels/train/one.txt").exists()


def test_splits_of_other_classes_make_no_dataset(tmp_path: Path) -> None:
    names = [{"id": number, "name": name} for number, name in enumerate(("cat", "dog"), start=1)]
    for split, categories in (("train", names), ("val", names[1:])):
        document = {
            "images": [{"id": 1, "file_name": f"{split}.jpg", "width": 64, "height": 48}],
            "annotations": [
                {"id": number, "image_id": 1, "category_id": category["id"], "iscrowd": 0}
                | {"bbox": [1, 2, 30, 40], "area": 1200, "keypoints": [5, 6, 2, 9, 9, 2]}
                for number, category in enumerate(categories, start=1)
            ],
            "categories": [
                category | {"keypoints": ["nose", "tail"], "skeleton": []}
                for category in categories
            ],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    train, val = (replace(NO_PICTURES, split=split) for split in ("train", "val"))
    yolo.write(content(tmp_path / "train.json"), out, train)
    before = (out / "data.yaml").read_bytes()
    with pytest.raises(InputError, match=r"The split 'train' .* has other classes") as caught:
        yolo.write(content(tmp_path / "val.json"), out, val)
    assert "same categories" in caught.value.hint
    assert (out / "data.yaml").read_bytes() == before
    assert not (out / "labels/val").exists()
    yolo.write(content(tmp_path / "train.json"), out, val)
    yolo.write(content(tmp_path / "val.json"), tmp_path / "alone", val)
    yolo.write(content(tmp_path / "train.json"), tmp_path / "alone", replace(val, overwrite=True))
    assert yaml.safe_load(before)["names"] == {0: "cat", 1: "dog"}


def test_a_split_is_not_written_beside_a_description_that_is_no_yaml(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    out = tmp_path / "out"
    yolo.write(content(run), out, NO_PICTURES)
    (out / "data.yaml").write_text("train: images/train\nnc: !!bool maybe\n")
    with pytest.raises(InputError, match="does not say which"):
        yolo.write(content(run), out, replace(NO_PICTURES, split="val"))


def test_old_labels_of_photos_in_an_own_folder_images_are_cleared(tmp_path: Path) -> None:
    out = tmp_path / "out"
    labels = out / "images/train/a/labels"  # where they are looked for
    run = make_run(tmp_path / "run", [record(f"a/images/{name}.jpg") for name in "pq"])
    yolo.write(content(run), out, NO_PICTURES)
    (labels / "mine.txt").touch()
    again = replace(NO_PICTURES, overwrite=True)
    yolo.write(content(run, names=frozenset({"a/images/p.jpg"})), out, again)
    assert {path.name for path in labels.iterdir()} == {"p.txt", "mine.txt"}


@pytest.mark.parametrize("pictures", ["link", "copy"])
def test_photos_come_along(tmp_path: Path, photos: Path, pictures: Any) -> None:
    run = make_run(tmp_path / "run", sources=(str(photos),))
    written = export(run, "yolo", tmp_path / "out", WriteOptions(pictures=pictures))
    found = tmp_path / "out/images/train/a/one.jpg"
    assert found.is_symlink() == (pictures == "link")
    assert found.read_bytes() == (photos / "a/one.jpg").read_bytes()
    assert "2 pictures were not found" in written.notes[0]  # the video


def test_photos_must_be_somewhere(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(InputError, match="are not in") as caught:
        export(run, "yolo", tmp_path / "out", WriteOptions())
    assert "--images" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_photos_that_differ_in_their_suffix_alone(tmp_path: Path, photos: Path) -> None:
    names = ["a.jpg", "a.png", "a_png.png"]
    for name in names:
        (photos / name).write_bytes((photos / "empty.jpg").read_bytes())
    run = make_run(tmp_path / "run", [record(name, count=1) for name in names])
    export(run, "yolo", tmp_path / "out", WriteOptions(images=photos))
    images = sorted((tmp_path / "out/images/train").iterdir())
    texts = {labels_where_ultralytics_looks(image) for image in images}
    assert len(images) == len(texts) == 3
    assert all(text.is_file() for text in texts)
    assert {image.resolve().name for image in images} == {*names}


@pytest.mark.parametrize(
    "name", ["a.jpg", "a b/c.d.jpeg", "images/a.jpg", "x/images/y/images/b.png", "labels/a.jpg"]
)
def test_labels_lie_where_they_are_looked_for(name: str) -> None:
    root = Path("/data/images/set")
    path = f"images/train/{name}"
    assert root / label_path(path) == labels_where_ultralytics_looks(root / path)


def test_a_body_without_sides_is_not_mirrored(tmp_path: Path) -> None:
    category = {"id": 1, "name": "worm", "keypoints": ["head", "middle"], "skeleton": [[1, 2]]}
    two = people(1)
    short = replace(
        two,
        keypoints=two.keypoints[:, :2],
        keypoint_scores=two.keypoint_scores[:, :2],
        visibility=two.visibility[:, :2],
    )
    worm = FrameRecord(FrameKey("a.jpg"), SIZE_WH, None, short)
    run = make_run(tmp_path / "run", [worm], keypoint_set=category)
    export(run, "yolo", tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert "flip_idx" not in data
    assert data["kpt_shape"] == [2, 3]
    checked_rows(tmp_path / "out/labels/train/a.txt", 2, 1)


def test_photos_of_one_name_with_and_without_a_suffix_get_texts_of_their_own(
    tmp_path: Path,
) -> None:
    make_run(tmp_path / "run")
    document = json.loads((tmp_path / "run" / "annotations.json").read_bytes())
    for image, suffix in zip(document["images"], ("", ".jpg", "_jpg"), strict=False):
        image["file_name"] = f"photo{suffix}"
    (tmp_path / "labels.json").write_text(json.dumps(document))
    done = vitpose(
        "export", "labels.json", "--format", "yolo", "--pictures", "none", "-o", "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    labels = tmp_path / "out" / "labels" / "train"
    assert {"photo.txt", "photo_jpg.txt", "photo_jpg_.txt"} <= {
        path.name for path in labels.iterdir()
    }


@pytest.mark.skipif(os.name == "nt", reason="paths are shorter there")
@pytest.mark.parametrize("how", ["link", "copy"])
@pytest.mark.parametrize("names", [("x" * 251 + ".jpg", "x" * 251 + ".png"), ("y" * 255,)])
def test_the_longest_names_get_pictures_and_texts(
    tmp_path: Path, how: str, names: tuple[str, ...]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in names:
        (photos / name).write_bytes(cv2.imencode(".png", np.zeros((48, 64), np.uint8))[1].tobytes())
    make_run(tmp_path / "run", [record(name) for name in names], sources=(str(photos),))
    done = vitpose("export", "run", "-f", "yolo", "--pictures", how, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pictures = sorted((tmp_path / "out/images/train").iterdir())
    assert len(pictures) == len(names)
    assert {path.resolve().name for path in pictures} == set(names) or how == "copy"
    texts = {path.name for path in (tmp_path / "out/labels/train").iterdir()}
    assert texts == {f"{path.name.removesuffix(path.suffix)}.txt" for path in pictures}


@pytest.mark.skipif(os.name == "nt", reason="paths are shorter there")
@pytest.mark.parametrize("how", ["link", "copy"])
def test_who_asked_for_copies_is_not_told_to_copy(tmp_path: Path, how: str) -> None:
    (tmp_path / "photos").mkdir()
    picture = cv2.imencode(".jpg", np.zeros((48, 64), np.uint8))[1].tobytes()
    (tmp_path / "photos" / "a.jpg").write_bytes(picture)
    make_run(tmp_path / "run", [record("a.jpg")], sources=(str(tmp_path / "photos"),))
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images" / "train").symlink_to("x" * 256)  # no file system takes such a name
    done = vitpose("export", "run", "-f", "yolo", "--pictures", how, "-o", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert "Copy the pictures" not in done.stderr


def test_many_frames_keep_their_people_apart(tmp_path: Path) -> None:
    """Frames are described many at a time; each has its own size and number of people."""
    sizes = [(640 + number, 480 + 2 * number) for number in range(450)]
    records = [
        replace(record(f"{number:03d}.jpg", count=number % 4), size_wh=size_wh, exact=True)
        for number, size_wh in enumerate(sizes)
    ]
    run = make_run(tmp_path / "run", records)
    export(run, "yolo", tmp_path / "out")
    document = json.loads((run / "annotations.json").read_bytes())
    people_of: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
    for person in document["annotations"]:
        people_of[person["image_id"]].append(person)
    for image in document["images"]:
        text = tmp_path / "out/labels/train" / image["file_name"].replace(".jpg", ".txt")
        rows = [[float(each) for each in line.split()] for line in text.read_text().splitlines()]
        size = np.array([image["width"], image["height"]])
        wanted = []
        for person in people_of[image["id"]]:
            low, size_px = np.reshape(person["bbox"], (2, 2))
            points = np.reshape(person["keypoints"], (-1, 3)) / [*size, 1]
            wanted.append([0, *(low + size_px / 2) / size, *size_px / size, *points.ravel()])
        np.testing.assert_allclose(
            np.reshape(rows, (-1, 56)), np.reshape(wanted, (-1, 56)), atol=1e-6
        )
