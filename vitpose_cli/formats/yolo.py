"""Ultralytics' pose datasets: `labels/*.txt` beside `images/`, and `data.yaml`.

Written from its documented format, https://docs.ultralytics.com/datasets/pose: a line for each
person with class, box centre and size, then x, y, v of every keypoint, all relative to the picture.
A file with a number below 0 or above 1 is refused there as a whole, so boxes are cut at the border
and keypoints beyond it are not labelled. Two runs of an export into one folder, with `--split
train` and `--split val`, make one dataset. There is no way back: nothing in it names a person.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from vitpose_cli.config import read_yaml
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.files import atomic_file, fitted_name, in_any_case, make_folder
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.pictures import PicturePlacer
from vitpose_cli.formats.written import WriteOptions, Written
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.coco_writer import annotations_of
from vitpose_cli.records.kept_categories import Categories

SPLITS = ("train", "val", "test")
_DECIMALS = 6
_AT_ONCE = 200  # frames
_NUMBER = "%g "
_PICTURES = "images"
_LABELS = "labels"
_MEANING = {
    "names": "classes",
    "kpt_shape": "keypoints",
    "kpt_names": "keypoints",
    "flip_idx": "mirror images of keypoints",
}


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write one split of an Ultralytics pose dataset.

    Raises:
        ConfigError: Ultralytics knows no such split.
        InputError: The split is there already, or others with other classes or keypoints; a photo
            is listed twice, photos are not found or lie where the split would be written anew, a
            file of somebody else is in the way, or it cannot be written.
    """
    split = options.split or SPLITS[0]
    if split not in SPLITS:
        raise ConfigError(f"Ultralytics knows no split {split!r}.", f"Use {', '.join(SPLITS)}.")
    content.check_listed_once()
    described = out / "data.yaml"
    num_images = num_instances = 0
    categories = Categories([content.categories])
    meaning = _meaning(content.keypoint_set, categories.names)
    others_there = [each for each in SPLITS if each != split and (out / _LABELS / each).is_dir()]
    if others_there:
        _check_alike(described, meaning, others_there[0])
    with OwnFiles(out) as own, new_files(own) as new:
        pictures = PicturePlacer.of(content, out / _PICTURES / split, new, options)
        own.check_free(described)
        present = _present(out, split, content, pictures, options)
        for frame, name, lines in _with_lines(content, categories):
            pictures.place(frame.record.key, name, frame.record.size_wh)
            text = safe_media_path(out, label_path(f"{_PICTURES}/{split}/{name}"))
            new.write(text, "".join(f"{line}\n" for line in lines).encode())
            num_images += 1
            num_instances += len(lines)
        pictures.finish()
        beside = [each for each in _splits_named(described) if each != split]

        def begin() -> None:
            own.claim(described)
            if described.exists():  # a part of the split is not to be taken for the whole
                _describe(described, beside, meaning)

        others = new.put_in_place(_outdated(out, split, present, options), begin)
        for folder in _folders_of(out, split, options)[0]:
            make_folder(folder)  # also where nobody was found
    splits = [each for each in SPLITS if each in (*beside, split)]
    _describe(described, splits, meaning)
    notes = pictures.notes()
    if others:
        notes += (f"Files that no export wrote stay: {len(others)}, such as {others[0]}.",)
    if not {"train", "val"} <= {*splits}:
        notes += ("Training needs train and val: export the other with --split.",)
    return Written((described,), num_images, num_instances, notes)


def label_path(image_path: str) -> str:
    """Return where Ultralytics looks for the labels of an image.

    The last folder `images` of its path becomes `labels`, and its suffix `.txt`.
    """
    *folders, name = PurePosixPath(image_path).with_suffix(".txt").parts
    folders[len(folders) - 1 - folders[::-1].index(_PICTURES)] = _LABELS
    return "/".join([*folders, name])


def _splits_named(described: Path) -> list[str]:
    """Return the splits that `data.yaml` says are there, whole, and that are."""
    named = _read(described)
    return [
        each for each in SPLITS if each in named and (described.parent / _PICTURES / each).is_dir()
    ]


def _describe(described: Path, splits: Sequence[str], meaning: dict[str, Any]) -> None:
    """Write `data.yaml`, by which training finds some splits.

    Raises:
        InputError: It cannot be written.
    """
    content = {each: f"{_PICTURES}/{each}" for each in splits} | meaning
    with atomic_file(described) as stream:
        stream.write(yaml.safe_dump(content, sort_keys=False, default_flow_style=None).encode())


def _folders_of(out: Path, split: str, options: WriteOptions) -> tuple[list[Path], list[Path]]:
    """Return the folders of a split, and those of them that are written anew.

    Where pictures are left alone, so is the folder that they may lie in already.
    """
    folders = [out / kind / split for kind in (_PICTURES, _LABELS)]
    return folders, folders if options.pictures != "none" else folders[1:]


def _present(
    out: Path, split: str, content: Content, pictures: PicturePlacer, options: WriteOptions
) -> list[Path]:
    """Return which folders of a split an earlier export wrote; refuse to mix its labels with them.

    Raises:
        InputError: There are some, and that was not said; or the photos lie there.
    """
    present = [folder for folder in _folders_of(out, split, options)[1] if folder.exists()]
    if present and not options.overwrite:
        raise InputError(
            f"{present[0]} is there already.",
            "Choose another output folder with -o, or --overwrite to write it anew.",
        )
    for folder in present:
        pictures.check_apart(folder, (frame.key for frame in content.chosen()))
    return present


def _outdated(
    out: Path, split: str, present: Sequence[Path], options: WriteOptions
) -> dict[Path, str]:
    """Return the folders of a split that are written anew, with the ending of what goes of them."""
    outdated = dict.fromkeys(present, "")
    pictures = out / _PICTURES / split
    if options.pictures == "none" and options.overwrite:
        outdated[pictures] = ".txt"  # texts of what lies in `a/images` there
    return outdated


def _named(content: Content) -> Iterator[tuple[LabelledFrame, str]]:
    """Yield frames with names whose stems differ: `a.jpg` and `a.png` would share one text.

    `A.jpg` and `a.jpg` would, too, where a disk does not look at upper and lower case.

    Pictures and texts of these names can be written: what is too long with its suffix is cut.
    """
    taken: set[str] = set()
    for frame in content.frames():
        name = PurePosixPath(str(frame.record.key))
        last = name.stem
        ending = "_" * max(len(os.fsencode(name.suffix)), len(".txt"))
        while in_any_case(stem := str(name.with_name(_cut(last, ending)))) in taken:
            last += name.suffix.replace(".", "_") or "_"
        taken.add(in_any_case(stem))
        yield frame, stem + name.suffix


def _cut(stem: str, ending: str) -> str:
    """Return a stem that leaves room for as many bytes as an ending has."""
    return fitted_name(stem, ending).removesuffix(ending)


def _with_lines(
    content: Content, categories: Categories
) -> Iterator[tuple[LabelledFrame, str, list[str]]]:
    """Yield what `_named` does, with a line for each person; classes count from 0.

    The numbers of many frames are computed together: several times faster.
    """
    named = _named(content)
    while batch := list(islice(named, _AT_ONCE)):
        people = list(annotations_of([frame.record for frame, _ in batch], 1, 1))
        numbers = iter(_numbers(people, [frame.record.size_wh for frame, _ in batch]))
        for (frame, name), own in zip(batch, people, strict=True):
            ids = frame.category_ids(content.category["id"])
            classes = [categories.number(0, category_id) - 1 for category_id in ids]
            rows = zip(classes, islice(numbers, len(own)), strict=True)
            yield frame, name, [f"{each} {_NUMBER * len(row)}"[:-1] % (*row,) for each, row in rows]


def _numbers(
    people: Sequence[Sequence[Mapping[str, Any]]], sizes_wh: Sequence[tuple[int, int] | None]
) -> list[list[float]]:
    """Return box and keypoints of everybody in some frames, relative to the picture.

    Args:
        people: The annotations of each frame.
        sizes_wh: Width and height of each frame, px.
    """
    everybody = list(chain.from_iterable(people))
    if not everybody:
        return []
    sizes = np.repeat(np.array(sizes_wh, np.float64), [len(own) for own in people], axis=0)
    bboxes = np.array([person["bbox"] for person in everybody], np.float64)
    centres = bboxes[:, :2] + bboxes[:, 2:] / 2
    boxes = np.concatenate([centres / sizes, bboxes[:, 2:] / sizes], axis=1)
    points = np.array([person["keypoints"] for person in everybody], np.float64)
    points = points.reshape(len(everybody), -1, 3)
    points[..., :2] /= sizes[:, None]
    points[((points[..., :2] < 0) | (points[..., :2] > 1)).any(axis=-1)] = 0
    flat = points.reshape(len(everybody), -1)
    rows: list[list[float]] = np.hstack([np.clip(boxes, 0, 1), flat]).round(_DECIMALS).tolist()
    return rows


def _meaning(keypoint_set: KeypointSet, classes: Sequence[str]) -> dict[str, Any]:
    """Return what `data.yaml` says of the numbers in the texts of all splits.

    Without `flip_idx` Ultralytics does not mirror pictures.
    """
    meaning: dict[str, Any] = {"kpt_shape": [keypoint_set.num_keypoints, 3]}
    if keypoint_set.mirrorable:
        meaning["flip_idx"] = keypoint_set.flip_order.tolist()
    return meaning | {
        "names": dict(enumerate(classes)),
        "kpt_names": {number: list(keypoint_set.names) for number in range(len(classes))},
    }


def _check_alike(described: Path, meaning: Mapping[str, Any], split: str) -> None:
    """Refuse to describe the texts of another split by classes or keypoints that are not theirs.

    Raises:
        InputError: They differ, or nothing there says which they are.
    """
    data = _read(described)
    wrong = [name for name in _MEANING if data.get(name) != meaning.get(name)]
    if wrong:
        raise InputError(
            f"The split {split!r} in {described.parent} has other {_MEANING[wrong[0]]} than what "
            f"is to be written beside it, or {described.name} does not say which.",
            "All splits need the same categories in the same order. Give both files those, or "
            "choose another output folder with -o.",
        )


def _read(described: Path) -> Mapping[str, Any]:
    """Return what `data.yaml` says; nothing where it is not there, or something else."""
    try:
        return read_yaml(described)
    except ConfigError:
        return {}
