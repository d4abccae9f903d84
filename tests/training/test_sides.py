"""What is learnt from and what is measured on: a side that is empty, and photos on both."""

import json
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import yaml
from runs import vitpose
from training_cases import annotation, boxes, small_run, write_coco, write_document
from video_cases import write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.split import SplitOptions, split_labels
from vitpose_cli.subjects import Subjects
from vitpose_cli.training.data import OpenedData, open_data
from vitpose_cli.training.data_options import DataOptions


def of_a_video(image: dict[str, Any], number: int) -> None:
    image["video_id"] = 1


def in_folders(image: dict[str, Any], number: int) -> None:
    image["file_name"] = f"{number % 2}/{image['file_name']}"


def as_it_is(image: dict[str, Any], number: int) -> None:
    pass


def half_of_a_video(image: dict[str, Any], number: int) -> None:
    if number > 1:
        image["video_id"] = 1


def of_patients(image: dict[str, Any], number: int) -> None:
    """Name four photos after each patient, in several folders and spellings."""
    image["file_name"] = f"day {number % 3}/{'Pp'[number % 2]}{number // 4:02}_{number}.png"


def labels(folder: Path, change: Callable[[dict[str, Any], int], None], count: int = 4) -> Path:
    """Write photos with a person each, whose images are changed."""
    path = write_coco(folder, count)
    document = json.loads(path.read_text())
    document["videos"] = [{"id": 1, "name": "clip.mp4"}]
    for number, image in enumerate(document["images"]):
        old = folder / "images" / image["file_name"]
        change(image, number)
        new = folder / "images" / image["file_name"]
        new.parent.mkdir(exist_ok=True)
        old.rename(new)
    path.write_text(json.dumps(document))
    return path


def opened(*train: dict[str, Any], validation: list[dict[str, Any]] | None = None) -> OpenedData:
    values = {"train": list(train), "validation": validation or []}
    return open_data(DataOptions.model_validate(values))


def source(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "kind": "coco",
        "annotations": str(folder / "people.json"),
        "images": str(folder / "images"),
    } | options


@pytest.mark.parametrize(
    ("change", "options", "words", "hint"),
    [
        (
            of_a_video,
            {},
            "1 video with labels (4 frames): a video is taken as a whole.",
            "leave out `split`, and `data.validation` with it",
        ),
        (in_folders, {"split_by": "folder"}, "2 folders with labels (4 frames): a folder is", ""),
        (in_folders, {"subject": "^[^/]+"}, "2 subjects with labels (4 frames): a subject is", ""),
        (as_it_is, {}, "4 photos with labels.", "`vitpose split`"),
        (half_of_a_video, {}, "3 photos and videos with labels (4 frames): a video is", "split`"),
    ],
)
def test_a_split_without_any_labels_is_named(
    tmp_path: Path,
    change: Callable[[dict[str, Any], int], None],
    options: dict[str, Any],
    words: str,
    hint: str,
) -> None:
    labels(tmp_path, change)
    nothing = source(tmp_path, split=[0, 1e-6], **options)
    with pytest.raises(InputError) as caught:
        opened(nothing)
    start = f"{tmp_path / 'people.json'}: `split` [0, 1e-06] takes none of the {words}"
    assert caught.value.message.startswith(start)
    assert hint in caught.value.hint
    whole = opened(source(tmp_path, split=[1e-6, 1], **options))
    assert len(whole.train[0].frames.people) == 4


def test_nobody_is_learnt_from_and_measured_on(tmp_path: Path) -> None:
    """A patient stays on one side, also in another video, folder or spelling."""
    labels(tmp_path, of_patients, 40)
    sides = [[0.5, 1], [0, 0.5]]
    parts = [source(tmp_path, split=side, subject="[Pp][0-9]+") for side in sides]
    data = opened(parts[0], validation=[parts[1]])
    found = [
        {Subjects("[Pp][0-9]+").of(key) for key in each.frames.keys}
        for each in (*data.train, *data.validation)
    ]
    assert found[0].isdisjoint(found[1])
    assert found[0] | found[1] == {f"p{number:02}" for number in range(10)}
    assert min(map(len, found)) > 1
    with pytest.raises(InputError) as caught:
        opened(source(tmp_path, split=[0, 0.5], subject="P[0-9]+"))
    assert caught.value.message.startswith(
        f"{tmp_path / 'people.json'}: `subject` 'P[0-9]+' finds nothing in the names of 20 frames"
    )
    # Without a part to be of, nobody asks whose a frame is.
    assert len(opened(source(tmp_path, subject="P[0-9]+")).train[0].frames.people) == 40


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subject": "P[0-9"}, "subject: subject 'P[0-9' is no regular expression: "),
        ({"subject": "P", "split_by": "folder"}, "split_by and subject exclude each other"),
    ],
)
def test_a_subject_that_makes_no_sense_is_refused(
    tmp_path: Path, options: dict[str, str], said: str
) -> None:
    config = small_run(tmp_path)
    config["data"]["train"] = [source(tmp_path, split=[0.1, 1], **options)]
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))
    done = vitpose("train", "-c", tmp_path / "train.yaml", "-o", tmp_path / "out", "--dry-run")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_the_command_ends_with_the_sentence(tmp_path: Path) -> None:
    labels(tmp_path, of_a_video)
    config = small_run(tmp_path)
    config["data"]["train"] = [source(tmp_path, split=[0.1, 1])]
    config["data"]["validation"] = [source(tmp_path, split=[0, 0.1])]
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))
    done = vitpose("train", "-c", tmp_path / "train.yaml", "-o", tmp_path / "out", "--dry-run")
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert "`split` [0, 0.1] takes none of the 1 video with labels (4 frames): a video is" in said


def test_photos_without_labels_do_not_hide_an_empty_side(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 20)
    document = json.loads(path.read_text())
    (inside,) = opened(source(tmp_path, split=[0, 0.5])).train
    names = {str(key) for key in inside.frames.keys}
    ids = {each["id"] for each in document["images"] if each["file_name"] in names}
    document["annotations"] = [e for e in document["annotations"] if e["image_id"] not in ids]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"none of the {20 - len(ids)} photos with labels"):
        opened(source(tmp_path, split=[0, 0.5]))


def test_few_photos_are_dealt_out_by_the_command_that_is_named(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 2)
    parts = split_labels(SplitOptions(path, tmp_path / "parts", val=0.1))
    sides = [source(tmp_path, annotations=str(parts[name].path)) for name in ("train", "val")]
    data = opened(sides[0], validation=[sides[1]])
    assert [len(each.frames.people) for each in (*data.train, *data.validation)] == [1, 1]
    assert not data.notes


def overlap(data: OpenedData) -> list[str]:
    return [note for note in data.notes if "also learnt from" in note]


def test_photos_on_both_sides_are_counted(tmp_path: Path) -> None:
    write_coco(tmp_path, 20)
    (tmp_path / "link").symlink_to(tmp_path / "images")
    whole = source(tmp_path)
    halves = [source(tmp_path, split=part) for part in ([0, 0.5], [0.5, 1])]
    linked = source(tmp_path, images=str(tmp_path / "link"), limit=5)
    assert not overlap(opened(halves[0], validation=[halves[1]]))
    assert not overlap(opened(halves[0], source(tmp_path, repeat=0), validation=[halves[1]]))
    assert overlap(opened(whole, halves[0], validation=[whole, linked])) == [
        "20 of 20 photos measured on are also learnt from: AP says how well they are remembered."
    ]
    (upper,) = opened(halves[1]).train
    count = len(upper.frames.keys)
    (note,) = overlap(opened(halves[1], validation=[whole]))
    assert note.startswith(f"{count} of 20 photos measured on are also")
    assert overlap(opened(linked, validation=[whole]))[0].startswith("5 of 20 photos")


def test_photos_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    for name in "ab":
        write_coco(tmp_path / name, 2)
    assert not overlap(opened(source(tmp_path / "a"), validation=[source(tmp_path / "b")]))


def test_a_video_and_its_extracted_frames_are_one(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "clip.mp4")
    box = boxes(1)[0]
    names = [str(FrameKey("clip.mp4", index)) for index in range(3)]
    images = [
        {"id": number, "file_name": name, "width": 160, "height": 120}
        for number, name in enumerate(names, 1)
    ]
    path = write_document(tmp_path, images, [annotation(number, box) for number in (1, 2, 3)])
    extracted = tmp_path / "frames"
    done = vitpose(
        "annotate", tmp_path / "videos", "-o", tmp_path / "run", "--weights", "tiny",
        "--extract-frames", extracted, "--detector", "whole-image",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sides = [
        source(tmp_path, annotations=str(path), images=str(images_))
        for images_ in (tmp_path / "videos", extracted)
    ]
    for learnt, measured in (sides, sides[::-1]):
        (note,) = overlap(opened(learnt, validation=[measured]))
        assert note.startswith("3 of 3 photos measured on are also learnt from")


def in_a_folder_with_an_accent(image: dict[str, Any], number: int) -> None:
    image["file_name"] = f"caf\u00e9/{image['file_name']}"


def renamed(folder: Path, name: str, change: Callable[[str], str]) -> str:
    """Write the labels again, with other forms of the names; return the file."""
    document = json.loads((folder / "people.json").read_text())
    for image in document["images"]:
        image["file_name"] = change(image["file_name"])
    (folder / name).write_text(json.dumps(document))
    return str(folder / name)


@pytest.mark.parametrize(
    "change", [partial(unicodedata.normalize, "NFD"), lambda name: name.replace("/", "\\")]
)
@pytest.mark.parametrize("split_by", ["video", "folder"])
def test_a_photo_is_one_in_every_form_of_its_name(
    tmp_path: Path, change: Callable[[str], str], split_by: str
) -> None:
    labels(tmp_path, in_a_folder_with_an_accent)
    other = source(tmp_path, annotations=renamed(tmp_path, "other.json", change))
    (note,) = overlap(opened(other, validation=[source(tmp_path)]))
    assert note.startswith("4 of 4 photos measured on are also learnt from")
    share = crc32("caf\u00e9".encode() if split_by == "folder" else "caf\u00e9/001.png".encode())
    part = {"split": [share / 2**32, share / 2**32 + 1e-9], "split_by": split_by}
    taken = [opened(each | part).train[0].frames.keys for each in (source(tmp_path), other)]
    assert len(taken[0]) == (4 if split_by == "folder" else 1)
    assert taken[1] == tuple(FrameKey(change(key.media)) for key in taken[0])
