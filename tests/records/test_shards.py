"""Documents in several files: each valid by itself, all of them together the same document."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from record_cases import (
    CATEGORY,
    make_failure,
    make_manifest,
    make_record,
    small_document,
    write_json,
)

from vitpose_cli.errors import InputError
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_items import CocoHead, coco_items
from vitpose_cli.records.coco_writer import write_document
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import document_files, document_name, shard_paths
from vitpose_cli.records.validate import validate

RECORDS = [
    make_failure("bad.jpg"),
    *(make_record("clip.mp4", index) for index in range(5)),
    *(make_record(f"photo {number}.jpg", count=number % 3) for number in range(6)),
]


def write(path: Path, num_shards: int | None, records: list[FrameRecord] = RECORDS) -> None:
    write_document(records, path, CATEGORY, {"description": "a test"}, num_shards=num_shards)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".lock" not in path.name)


@pytest.mark.parametrize("count", [1, 2, 3, 11, 14])
def test_shards_are_documents_and_together_the_document(tmp_path: Path, count: int) -> None:
    write(tmp_path / "whole.json", None)
    write(tmp_path / "x.json", count)
    whole = json.loads((tmp_path / "whole.json").read_bytes())
    paths = shard_paths(tmp_path / "x.json", count)
    shards: list[dict[str, Any]] = [json.loads(path.read_bytes()) for path in paths]
    for path, shard in zip(paths, shards, strict=True):
        assert not validate(path).counts
        assert all(shard[name] == whole[name] for name in ("info", "categories", "videos"))
        ids = {image["id"] for image in shard["images"]}
        assert {person["image_id"] for person in shard["annotations"]} <= ids
        assert 0 <= len(ids) - 11 // count <= 1
    for section in ("images", "annotations"):
        assert [item for shard in shards for item in shard[section]] == whole[section]


def test_a_set_is_read_as_the_document(tmp_path: Path) -> None:
    write(tmp_path / "whole.json", 1)
    write(tmp_path / "annotations.json", 3)
    whole = read_coco(tmp_path / "whole.json")
    for path in (tmp_path, tmp_path / "annotations-*.json", tmp_path / "annotations-*-of-*.json"):
        read = read_coco(path)
        assert (read.images, read.annotations) == (whole.images, whole.annotations)
        assert read.videos == whole.videos
        assert read.keys() == whole.keys()
        with closing(CocoFrames(path)) as frames:
            assert frames.image_ids.tolist() == [image["id"] for image in whole.images]
            assert frames.annotations(7) == whole.by_image()[8]
        report = validate(path)
        assert not report.counts
        assert (report.num_images, report.num_annotations) == (11, len(whole.annotations))


def test_a_set_that_lacks_a_shard_or_is_of_two_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", 3)
    shutil.copytree(tmp_path, tmp_path.with_name("lacking"))
    lacking = tmp_path.with_name("lacking")
    (lacking / "annotations-00001-of-00003.json").unlink()
    with pytest.raises(InputError, match="has 2 of 3 shards"):
        read_coco(lacking)
    shutil.copy(tmp_path / "annotations-00000-of-00003.json", tmp_path / "x-00000-of-00003.json")
    with pytest.raises(InputError, match="has 4 of 3 shards"):
        document_files(tmp_path / "*.json")
    assert len(document_files(tmp_path)) == 3
    with pytest.raises(InputError, match="No file matches"):
        document_files(tmp_path / "y-*.json")
    with pytest.raises(InputError, match="holds no labels"):
        document_files(tmp_path.with_name("lacking") / "..")


def test_shards_of_different_documents_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", 2)
    second = tmp_path / "annotations-00001-of-00002.json"
    content = json.loads(second.read_bytes())
    other = json.loads(json.dumps(content))
    other["categories"][0]["name"] = "dog"
    second.write_text(json.dumps(other))
    with pytest.raises(InputError, match="categories are not those of"):
        read_coco(tmp_path)
    content["images"][0]["id"] = 1
    second.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"00001-of-00002.json: images\[0\]\.id"):
        read_coco(tmp_path)
    with pytest.raises(InputError, match=r"00001-of-00002.json: images\[0\]\.id"):
        CocoFrames(tmp_path)
    places = [violation.place for violation in validate(tmp_path).violations]
    assert "annotations-00001-of-00002.json: images[0].id" in places


def test_a_run_keeps_its_shards_until_it_is_told_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rest = ["failures.jsonl", "journal-1-of-1.jsonl", "journal-review.exported", "manifest.json"]
    rest = ["annotations.made", *rest]
    shards = [path.name for path in shard_paths(folder / "annotations.json", 3)]
    with Run.open(folder, make_manifest()) as run:
        for record in RECORDS:
            run.append(record)
        assert run.export().annotations == folder / "annotations.json"
        whole = read_coco(folder)
        for num_shards, wanted in (
            (3, shards),
            (None, shards),
            (2, [path.name for path in shard_paths(folder / "annotations.json", 2)]),
            (1, ["annotations.json"]),
            (None, ["annotations.json"]),
        ):
            summary = run.export(num_shards=num_shards)
            assert summary.annotations == document_name(folder / "annotations.json", len(wanted))
            assert names(folder) == [*wanted, *rest]
            assert read_coco(summary.annotations).annotations == whole.annotations
    (folder / "annotations-00001-of-00002.json").touch()
    with Run.open(folder, make_manifest(), overwrite=True):
        assert not [name for name in names(folder) if name.startswith("annotations")]


def test_one_file_leaves_those_beside_it_alone(tmp_path: Path) -> None:
    write(tmp_path / "x.json", 2)
    write(tmp_path / "x.json", None)
    assert len(names(tmp_path)) == 3


def test_a_name_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    write(tmp_path / "day [12].json", 3)
    assert len(CocoFrames(document_name(tmp_path / "day [12].json", 3))) == 11
    write(tmp_path / "day [12].json", 2)
    assert names(tmp_path) == ["day [12]-00000-of-00002.json", "day [12]-00001-of-00002.json"]


def test_licences_of_several_files_come_once(tmp_path: Path) -> None:
    tables = ([{"id": 1, "name": "CC0"}], [{"id": 1, "name": "CC0"}, {"id": 2, "name": "own"}])
    files = [
        write_json(tmp_path / f"{number}.json", small_document() | {"licenses": table})
        for number, table in enumerate(tables)
    ]
    head = CocoHead()
    assert len(list(coco_items(files, head))) == 8
    assert head.licences == tables[1]
