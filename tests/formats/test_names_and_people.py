"""Frames whose name in a file fits another one, which the people in them tell."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from format_cases import bring_back, export, labels, make_run, record

from vitpose_cli.formats.import_summary import ImportSummary

RECORDS = [
    record("a/img.jpg", count=3),
    record("b/img.jpg", count=1),
    record("img-2.jpg"),
    record("img.jpg"),
    record("z.jpg"),
]
ADDED = {"iscrowd": 0, "bbox": [5, 5, 20, 30], "category_id": 1, "keypoints": [9, 9, 2] * 17}

Document = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", RECORDS)


def back(
    run: Path, edit: Callable[[Document], None], tool: str = "coco", **options: Any
) -> ImportSummary:
    """Bring a run's own export back after an edit."""
    path = run.parent / "out.json"
    export(run, "coco", path)
    document = json.loads(path.read_bytes())
    edit(document)
    path.write_text(json.dumps(document))
    return bring_back(run, path, tool, **options)


def rename(names: dict[str, str]) -> Callable[[Document], None]:
    """Leave the frames that have a new name; the others are not in the file."""

    def edit(document: Document) -> None:
        images = [each for each in document["images"] if each["file_name"] in names]
        for image in images:
            image["file_name"] = names[image["file_name"]]
        kept = {image["id"] for image in images}
        document["images"] = images
        document["annotations"] = [e for e in document["annotations"] if e["image_id"] in kept]

    return edit


def forget(document: Document, *, uids: bool) -> None:
    for image in document["images"]:
        image.pop("version", None)
    for annotation in document["annotations"]:
        annotation["attributes"].pop("version", None)
        if uids:
            annotation["attributes"].pop("uid")


def problems(summary: ImportSummary) -> list[tuple[str, str]]:
    return [(each["frame"], each["reason"]) for each in summary.as_dict()["problems"]]


AS_FIFTYONE = {  # folders go, and what comes again is numbered, whoever has that name already
    "a/img.jpg": "img.jpg",
    "b/img.jpg": "img-2.jpg",
    "img-2.jpg": "img-2.jpg",
    "img.jpg": "img-3.jpg",
    "z.jpg": "z.jpg",
}


@pytest.mark.parametrize("tool", ["coco", "fiftyone"])
@pytest.mark.parametrize("versions", [True, False])
def test_people_tell_more_than_an_exact_name(run: Path, tool: str, versions: bool) -> None:
    before = labels(run)

    def edit(document: Document) -> None:
        rename(AS_FIFTYONE)(document)
        if not versions:
            forget(document, uids=False)
        document["annotations"][0]["keypoints"][:3] = [30, 40, 2]  # of a/img.jpg

    summary = back(run, edit, tool)
    assert problems(summary) == []
    assert (summary.count("changed"), summary.count("unchanged")) == (1, 4)
    assert summary.total("num_added") == summary.total("num_removed") == 0
    after = labels(run)
    assert [name for name, each in after.items() if each.review is not None] == ["a/img.jpg"]
    assert after["a/img.jpg"].uids == before["a/img.jpg"].uids


def test_a_version_tells_of_whom_an_empty_frame_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("a/img.jpg", count=0), *RECORDS[1:]])
    summary = back(run, rename({"a/img.jpg": "img.jpg", "z.jpg": "z.jpg"}), accept_unchanged=True)
    assert (summary.count("accepted"), summary.total("num_removed")) == (2, 0)
    accepted = {name for name, each in labels(run).items() if each.review is not None}
    assert accepted == {"a/img.jpg", "z.jpg"}


def test_equal_names_without_people_who_tell_are_nobodys(run: Path) -> None:
    def edit(document: Document) -> None:
        rename({"a/img.jpg": "img.jpg", "img.jpg": "img.jpg", "z.jpg": "z.jpg"})(document)
        forget(document, uids=True)

    summary = back(run, edit)
    twice = "it comes twice: 'img.jpg' may be img.jpg, too"
    assert problems(summary) == [("img.jpg", twice), ("img.jpg", twice)]
    assert summary.count("changed") == 0


def test_fiftyones_names_without_people_who_tell_are_nobodys(run: Path) -> None:
    def edit(document: Document) -> None:
        rename({"a/img.jpg": "img.jpg", "z.jpg": "z.jpg"})(document)
        forget(document, uids=True)

    summary = back(run, edit, "fiftyone")
    reason = "it may be any of 3 frames: img.jpg, a/img.jpg, b/img.jpg"
    assert problems(summary) == [("img.jpg", reason)]
    assert summary.count("unchanged") == 1


def test_people_of_a_frame_that_is_called_otherwise(run: Path) -> None:
    summary = back(run, rename({"a/img.jpg": "z.jpg", "img-2.jpg": "img-2.jpg"}))
    assert problems(summary) == [("z.jpg", "the people in it are of a/img.jpg")]


def test_people_of_several_frames(run: Path) -> None:
    def edit(document: Document) -> None:
        rename({"a/img.jpg": "other.jpg", "b/img.jpg": "b/img.jpg"})(document)
        for image in document["images"]:
            image["id"] = 1
        for annotation in document["annotations"]:
            annotation["image_id"] = 1
        del document["images"][1]

    reason = "no frame of the run is called so, and the people in it are of a/img.jpg, b/img.jpg"
    assert problems(back(run, edit)) == [("other.jpg", reason)]


def test_a_name_that_nothing_has_is_that_of_its_people(tmp_path: Path) -> None:
    frames = [record(f"{name}.mp4", index=index) for name in "ab" for index in (0, 7)]
    run = make_run(tmp_path / "run", frames)
    names = {str(each.key): f"frame_{each.key.index:06d}.jpg" for each in frames[:2]}
    names |= {str(each.key): f"frame_{each.key.index:06d}-2.jpg" for each in frames[2:]}

    def edit(document: Document) -> None:
        rename(names)(document)
        document["annotations"][-1]["keypoints"][:3] = [30, 40, 2]

    summary = back(run, edit, "fiftyone")
    assert problems(summary) == []
    assert (summary.count("changed"), summary.count("unchanged")) == (1, 3)
    assert labels(run)["b.mp4/frame_000007.jpg"].review is not None


def test_who_was_copied_into_another_frame_tells_nothing_against_its_name(run: Path) -> None:
    def edit(document: Document) -> None:
        rename({name: name for name in ("b/img.jpg", "z.jpg")})(document)
        first, *_ = document["annotations"]
        document["annotations"] = [
            first,
            {**first, "id": 99, "image_id": document["images"][1]["id"]},
        ]

    summary = back(run, edit)
    assert problems(summary) == []
    assert (summary.total("num_added"), summary.total("num_removed")) == (0, 1)


def test_new_people_alone_tell_nothing(run: Path) -> None:
    def edit(document: Document) -> None:
        rename({"img.jpg": "img.jpg"})(document)
        (image,) = document["images"]
        document["annotations"] = [{**ADDED, "id": 1, "image_id": image["id"]}]

    summary = back(run, edit)
    assert (summary.total("num_added"), summary.total("num_removed")) == (1, 2)
    assert labels(run)["img.jpg"].review is not None
