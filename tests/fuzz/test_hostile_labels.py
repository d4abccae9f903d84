"""Documents, runs and corrections made to hurt: only our own errors come out, and soon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest
from label_cases import make_fixed, make_record, make_run
from spoiling import meet_other_values, meet_spoiled

from vitpose_cli.difference import DiffOptions, compare
from vitpose_cli.errors import VitposeError
from vitpose_cli.evaluate.predictions import predicted_photos
from vitpose_cli.formats.content import open_content
from vitpose_cli.formats.import_options import ImportOptions
from vitpose_cli.formats.importing import import_corrections
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.formats.table import FORMATS, format_named, format_of
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.own_files import LIST_NAME, OwnFiles, listed_in
from vitpose_cli.record_set import open_records
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.history import frame_history
from vitpose_cli.records.results import given_boxes
from vitpose_cli.records.run import Run
from vitpose_cli.records.validate import validate
from vitpose_cli.review.queue import read_queue
from vitpose_cli.split import SplitOptions, split_labels
from vitpose_cli.stats import measure
from vitpose_cli.tracking.smoothed_labels import for_document

Use = Callable[[Path, Path], object]


def _export(name: str) -> Use:
    def use(path: Path, out: Path) -> None:
        content = open_content(path, LabelFilter(), for_document)
        wanted = WriteOptions(pictures="none", overwrite=True)
        format_named(name).write(content, out / name, wanted)

    return use


def _records(path: Path, out: Path) -> None:
    for record in open_records(path).records():
        str(record.key)


def _boxes(path: Path, out: Path) -> None:
    given_boxes(path)


def _measure(path: Path, out: Path) -> None:
    with closing(CocoFrames(path)) as truth:
        list(predicted_photos(path, truth))


def _compare(path: Path, out: Path) -> None:
    compare(DiffOptions(path, out / "run"))


def _merge(path: Path, out: Path) -> None:
    (out / "merged.json").unlink(missing_ok=True)
    merge_labels(MergeOptions((path, out / "run"), out / "merged.json"))


def _split(path: Path, out: Path) -> None:
    split_labels(SplitOptions(path, out / "parts", overwrite=True, by="video"))


USES: dict[str, Use] = {
    "boxes": _boxes,
    "diff": _compare,
    "evaluate": _measure,
    "merge": _merge,
    "queue": lambda path, out: read_queue(path),
    "records": _records,
    "split": _split,
    "stats": lambda path, out: measure(path),
    "validate": lambda path, out: validate(path),
    **{name: _export(name) for name in FORMATS if name != "fiftyone"},
}
"""What commands do with labels."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    people = [make_record(f"a/{number}.jpg") for number in range(3)]
    records = [*people, make_fixed("b.jpg"), make_record("clip.mp4", 4)]
    return make_run(tmp_path / "run", records, created="2026-11-30T12:00:00+00:00")


@pytest.fixture
def document(run: Path) -> bytes:
    return (run / "annotations.json").read_bytes()


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_documents(document: bytes, tmp_path: Path, use: Use) -> None:
    path = tmp_path / "labels.json"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        use(path, tmp_path)

    meet_spoiled([document], read, 30)
    meet_other_values([document], read, 100)


def test_results(document: bytes, tmp_path: Path) -> None:
    truth_path, path = tmp_path / "truth.json", tmp_path / "results.json"
    truth_path.write_bytes(document)
    fields = ("image_id", "category_id", "bbox", "keypoints", "score")
    people = [
        {**{name: one[name] for name in fields}} for one in orjson.loads(document)["annotations"]
    ]
    named = [{**one, "file_name": "a/0.jpg"} for one in people]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(VitposeError):
            given_boxes(path)
        with closing(CocoFrames(truth_path)) as truth:
            list(predicted_photos(path, truth))

    seeds = [orjson.dumps(people), orjson.dumps(named)]
    meet_spoiled(seeds, read)
    meet_other_values(seeds, read)


@pytest.mark.parametrize("name", ["coco", "cvat", "fiftyone", "labelstudio"])
def test_imports(run: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "corrections"
    seed = _corrections(run, tmp_path / "export", name)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(VitposeError):
            format_of(path)
        options = ImportOptions(name, "anna", accept_unchanged=True, dry_run=True)
        reader = format_named(name).read
        assert reader is not None
        import_corrections(run, path, reader, options, for_document, lambda *_: None)

    meet_spoiled([seed], read)
    if name != "cvat":
        meet_other_values([seed], read, 300)


def _corrections(run: Path, out: Path, name: str) -> bytes:
    """Return what another program gives back."""
    content = open_content(run, LabelFilter(), for_document)
    written = format_named(name).write(content, out, WriteOptions(pictures="none"))
    if name == "coco":
        return out.read_bytes()
    if name == "fiftyone":
        return next(out.rglob("*.json")).read_bytes()
    if name == "cvat":
        return next(out.glob("*.zip")).read_bytes()
    tasks = orjson.loads(written.files[1].read_bytes())
    return orjson.dumps([
        {
            "id": number,
            "data": task["data"],
            "annotations": [{"created_at": "2026", "result": task["predictions"][0]["result"]}],
        }
        for number, task in enumerate(tasks)
    ])  # fmt: skip


@pytest.mark.parametrize("name", ["journal-1-of-1.jsonl", "manifest.json", "annotations.made"])
def test_runs(run: Path, name: str) -> None:
    spoilt = run / name
    whole = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}

    def read(data: bytes) -> None:
        spoilt.write_bytes(data)
        opened = Run.read(run)
        for record in opened.records():
            str(record.key)
        frame_history(run, "a/1.jpg")
        with Run.edit(run) as edited:
            edited.export(for_document)
        for path, content in whole.items():
            path.write_bytes(content)

    meet_spoiled([whole[spoilt]], read, 60)


def test_lists_of_own_files(tmp_path: Path) -> None:
    def read(data: bytes) -> None:
        (tmp_path / LIST_NAME).write_bytes(data)
        listed_in(tmp_path)
        with OwnFiles(tmp_path) as own:
            own.owns(tmp_path / "a.jpg")

    with OwnFiles(tmp_path) as own:
        for name in ("a.jpg", "b/é.jpg"):
            own.claim(tmp_path / name)
    meet_spoiled([(tmp_path / LIST_NAME).read_bytes()], read)
