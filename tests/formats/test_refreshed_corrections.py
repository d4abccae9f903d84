"""Corrections of labels that a model has made anew since they were exported."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_cases import (
    assert_equal_people,
    bring_back,
    export,
    extent,
    labels,
    make_run,
    moved,
    record,
)

from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run

NEW_MODEL = "fedcba9876543210"


def tracked(count: int) -> FrameRecord:
    """Return labels of people with identities, all of whose keypoints are visible."""
    one = record("one.jpg", count=count)
    assert one.instances is not None
    visible = np.full((count, 17), 2, np.int8)
    people = replace(one.instances, visibility=visible, track_ids=np.arange(count) + 40)
    return replace(one, instances=people, exact=True)


def refresh(run: Path, change: Callable[[Instances], Instances]) -> None:
    """Let another model label what people have not; `change` makes its labels of the old ones."""
    manifest = replace(RunManifest.read(run / "manifest.json"), weights_hash=NEW_MODEL)
    with Run.open(run, manifest, refresh=True) as opened:
        for old in list(opened.records()):
            assert old.instances is not None
            new = change(replace(old.instances, signals={}))
            opened.append(replace(old, instances=new, model=NEW_MODEL, uids=()))
        opened.export()


def swapped(people: Instances) -> Instances:
    """Return the same people a pixel beside, in the other order: each has the other's name."""
    other = people.select(np.arange(len(people))[::-1])
    return replace(other, keypoints=other.keypoints + 1, track_ids=people.track_ids)


def fewer(people: Instances) -> Instances:
    return people.select(np.array([0]))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [tracked(2), record("two.jpg", count=3)])


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    document = json.loads(path.read_bytes())
    edit(document)
    path.write_text(json.dumps(document))
    return path


def without_version(document: dict[str, Any]) -> None:
    for each in (*document["images"], *document["annotations"]):
        each.pop("version", None)
        each.get("attributes", {}).pop("version", None)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("tool", ["coco", "cvat"])
@pytest.mark.parametrize("change", [swapped, fewer])
def test_an_untouched_export_stays_a_models(
    run: Path, tmp_path: Path, tool: str, change: Callable[[Instances], Instances], force: bool
) -> None:
    written = export(run, tool, tmp_path / "out").files
    refresh(run, change)
    now = labels(run)
    (path,) = [each for each in written if each.name in ("out", "photos.zip")]
    summary = bring_back(run, path, tool, force=force)
    assert (summary.count("unchanged"), len(summary.decisions)) == (2, 2)
    assert {name: each.version for name, each in labels(run).items()} == {
        name: each.version for name, each in now.items()
    }


def test_an_untouched_export_that_lost_its_versions(run: Path, tmp_path: Path) -> None:
    (path,) = export(run, "coco", tmp_path / "out.json").files
    refresh(run, swapped)
    summary = bring_back(run, edited(path, without_version), "coco")
    assert (summary.count("unchanged"), len(summary.decisions)) == (2, 2)


def test_what_somebody_looked_at_is_what_is_accepted(run: Path, tmp_path: Path) -> None:
    before = labels(run)["two.jpg"]
    (path,) = export(run, "coco", tmp_path / "out.json").files
    refresh(run, fewer)
    assert bring_back(run, path, "coco", accept_unchanged=True).count("accepted") == 2
    after = labels(run)["two.jpg"]
    assert after.review is not None
    assert (after.review.state, after.review.previous) == ("accepted", before.version)
    assert (after.model, after.uids) == (before.model, before.uids)
    assert before.instances is not None
    assert after.instances is not None
    assert_equal_people(after.instances, before.instances)


def with_extents(document: dict[str, Any]) -> None:
    """Move a keypoint of the first person, and write boxes as CVAT does."""
    document["annotations"][0]["keypoints"][0] += 5
    for each in document["annotations"]:
        each["bbox"] = extent(np.reshape(each["keypoints"], (-1, 3)))


def test_a_correction_is_of_the_labels_that_were_exported(run: Path, tmp_path: Path) -> None:
    before = labels(run)["one.jpg"]
    (path,) = export(run, "coco", tmp_path / "out.json").files
    refresh(run, swapped)
    summary = bring_back(run, edited(path, with_extents), "coco")
    assert (summary.count("changed"), summary.total("num_keypoints")) == (1, 1)
    after = labels(run)["one.jpg"]
    assert before.instances is not None
    assert after.instances is not None
    assert (after.uids, after.model) == (before.uids, before.model)
    assert after.review is not None
    assert after.review.previous == before.version
    expected = moved(before.instances, 0, 0, (5, 0)).keypoints
    np.testing.assert_allclose(after.instances.keypoints, expected, atol=1e-3)
    np.testing.assert_array_equal(after.instances.box_scores, before.instances.box_scores)
    np.testing.assert_array_equal(after.instances.boxes, before.instances.boxes)
    assert after.instances.track_ids is not None
    assert after.instances.track_ids.tolist() == [40, 41]
    assert bring_back(run, path, "coco").count("changed") == 0


def test_without_a_version_people_are_found_by_likeness(run: Path, tmp_path: Path) -> None:
    (path,) = export(run, "coco", tmp_path / "out.json").files
    refresh(run, swapped)
    now = labels(run)["one.jpg"].instances
    assert now is not None
    edited(path, with_extents)
    summary = bring_back(run, edited(path, without_version), "coco")
    assert summary.count("changed") == 1
    after = labels(run)["one.jpg"].instances
    assert after is not None
    np.testing.assert_array_equal(after.box_scores, now.box_scores)
    np.testing.assert_allclose(after.keypoints, now.keypoints, atol=6)


@pytest.mark.parametrize("edits", [0, 1])
def test_people_of_another_run_are_found_by_likeness(run: Path, tmp_path: Path, edits: int) -> None:
    (path,) = export(run, "coco", tmp_path / "out.json").files
    before = labels(run)["one.jpg"]
    assert before.instances is not None

    def of_another_run(document: dict[str, Any]) -> None:
        """Give a document names by place, in another order, and the versions of its records."""
        first, second = document["annotations"][:2]
        uids = [each["attributes"]["uid"] for each in (second, first)]
        for each, uid in zip((first, second), uids, strict=True):
            each["attributes"]["uid"] = uid
        for each in (*document["images"], *document["annotations"]):
            each.get("attributes", each)["version"] = "deadbeef"
        first["keypoints"][0] += 5 * edits

    summary = bring_back(run, edited(path, of_another_run), "coco")
    assert (summary.count("changed"), summary.total("num_keypoints")) == (edits, edits)
    after = labels(run)["one.jpg"]
    assert after.instances is not None
    assert after.uids == before.uids
    expected = moved(before.instances, 0, 0, (5 * edits, 0)).keypoints
    np.testing.assert_allclose(after.instances.keypoints, expected, atol=1e-3)
    np.testing.assert_array_equal(after.instances.box_scores, before.instances.box_scores)


def test_a_person_who_labelled_the_new_labels_meanwhile(run: Path, tmp_path: Path) -> None:
    (path,) = export(run, "coco", tmp_path / "out.json").files
    refresh(run, swapped)
    with Run.edit(run) as opened:
        new = labels(run)["one.jpg"]
        assert new.instances is not None
        people = moved(new.instances, 0, 3, (9, 9))
        review = Review("fixed", "anna", 1_800_000_000.0, new.version)
        opened.append(replace(new, instances=people, review=review))
    assert bring_back(run, path, "coco").count("unchanged") == 2
    edited(path, with_extents)
    summary = bring_back(run, path, "coco", dry_run=True)
    assert [each.outcome for each in summary.decisions] == ["conflict", "unchanged"]
    forced = bring_back(run, path, "coco", force=True)
    assert (forced.count("changed"), forced.total("num_keypoints")) == (1, 1)
