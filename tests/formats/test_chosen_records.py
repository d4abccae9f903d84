"""What is taken out of a run: the same frames, ids and versions, however few are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from label_cases import make_failure, make_fixed, make_record, make_run

from vitpose_cli.formats.chosen_records import ChosenRecords
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.smoothed_labels import for_document


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Write a run of photos and a video; some failed, some were rejected, some were fixed."""
    rejected = make_fixed("c.jpg")
    assert rejected.review is not None
    rejected = replace(rejected, review=replace(rejected.review, state="rejected"), exact=True)
    records = [
        make_record("a.jpg"),
        make_failure("b.jpg"),
        rejected,
        make_record("d.jpg"),
        make_fixed("e.jpg"),
        *(make_record("f.mp4", index, 1) for index in range(3)),
        make_record("g.jpg"),
    ]
    return Run.read(make_run(tmp_path / "run", records))


NAMES = (
    None,
    ["d.jpg"],
    ["g.jpg", "e.jpg"],
    ["c.jpg", "b.jpg"],
    ["f.mp4/frame_000001.jpg", "g.jpg"],
)


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("reviewed", [False, True])
def test_ids_and_versions_are_those_of_the_document(
    run: Run, names: list[str] | None, reviewed: bool
) -> None:
    wanted = LabelFilter(None if names is None else frozenset(names), reviewed)
    ids = {
        image["file_name"]: image["id"] for image in read_coco(run.path / "annotations.json").images
    }
    chosen = ChosenRecords(run, wanted, for_document)
    found = list(chosen.records())
    expected = [
        name
        for name in ids
        if (names is None or name in names) and (not reviewed or name == "e.jpg")
    ]
    assert [str(each.record.key) for each in found] == expected
    assert list(chosen.keys()) == [each.record.key for each in found]
    assert [each.image_id for each in found] == [ids[name] for name in expected]
    for each in found:
        stored = run.record(each.record.key)
        assert stored is not None
        assert each.version == stored.version


def test_photos_of_which_nothing_is_needed_are_not_read(run: Run) -> None:
    read: list[str] = []

    def finish(_: RunManifest, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
        for record in records:
            read.append(str(record.key))
            yield record

    found = list(ChosenRecords(run, LabelFilter(frozenset({"d.jpg"})), finish).records())
    assert [each.record.key for each in found] == [FrameKey("d.jpg")]
    decided = ["c.jpg", "e.jpg"]
    of_video = [f"f.mp4/frame_{index:06d}.jpg" for index in range(3)]
    assert read == sorted(["d.jpg", *decided, *of_video])


def test_they_are_read_at_the_keypoint_threshold_of_now(tmp_path: Path) -> None:
    records = [make_record("a.jpg"), make_fixed("b.jpg"), make_record("c.mp4", 0, 1)]
    for threshold, visibility in ((0.0, 2), (1.0, 0)):
        options = {"keypoint-threshold": threshold}
        run = Run.read(make_run(tmp_path / str(threshold), records, options=options))
        found = list(ChosenRecords(run, LabelFilter(), for_document).records())
        assert [each.version for each in found] == [each.version for each in run.records()]
        for each in found:
            assert each.record.instances is not None
            seen = each.record.instances.visibility
            assert seen.any() if each.record.key.media == "b.jpg" else (seen == visibility).all()
