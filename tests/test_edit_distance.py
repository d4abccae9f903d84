"""How far people moved a model's labels, by weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_cases import COCO, make_people, make_record, make_run
from runs import vitpose

from vitpose_cli.edit_distance import EditDistance, edit_distances
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.stats import measure, write_page

FIRST, SECOND = "0123456789abcdef", "fedcba9876543210"
SIGMAS = np.array(COCO.oks_sigmas)


def decided(
    seen: FrameRecord, people: Instances, at_s: float, state: str = "fixed", **fields: object
) -> FrameRecord:
    """Return what a person makes of a record."""
    review = Review(state, "anna", at_s, previous=seen.version)  # type: ignore[arg-type]
    values = {"instances": people, "review": review} | fields
    return replace(seen, **values)  # type: ignore[arg-type]


def moved(people: Instances, rows: slice, step_px: float) -> Instances:
    points = people.keypoints.copy()
    points[rows, :, 0] += step_px
    return replace(people, keypoints=points)


def test_it_is_the_oks_of_what_was_seen_with_what_counts(tmp_path: Path) -> None:
    """Two of four people moved by twice the spread of each keypoint; golden: exp(-2) = 0.1353."""
    people = make_people(4, 1)
    people.boxes[:, 2:] = people.boxes[:, :2] + 100
    far = people.keypoints.copy()
    far[:2, :, 0] += 2 * 100 * 2 * SIGMAS  # OKS' spread is the body's size x 2 sigma
    seen = make_record("a.jpg", people=people)
    draft = decided(seen, moved(people, slice(None), 9), 10, "draft")
    fixed = decided(draft, replace(people, keypoints=far), 11)
    run = make_run(tmp_path / "run", [seen, draft, fixed])
    (found,) = edit_distances(run, [FrameKey("a.jpg")], SIGMAS)
    assert found.mean_oks == pytest.approx((2 * np.exp(-2) + 2) / 4, abs=1e-3)  # 2 decimals of px
    assert found == EditDistance(FIRST, 1, 4, 0, 0, found.mean_oks)


def test_whom_a_person_added_and_deleted_is_counted_and_not_measured(tmp_path: Path) -> None:
    seen = make_record("a.jpg", count=3)
    people = seen.instances
    assert people is not None
    now = people.select([0, 2, 1])
    now.keypoints[2] += 9  # a new one
    uids = (seen.uids[0], seen.uids[2], "00000000000000ff")
    fixed = decided(seen, now, 5, uids=uids)
    run = make_run(tmp_path / "run", [seen, fixed])
    assert edit_distances(run, [FrameKey("a.jpg")], SIGMAS) == (
        EditDistance(FIRST, 1, 2, 1, 1, 1.0),
    )


def test_each_network_has_its_own_and_the_first_reviewed_is_first(tmp_path: Path) -> None:
    records: list[FrameRecord] = []
    for name, model, at_s, step_px in (
        ("a", SECOND, 30, 1),
        ("b", FIRST, 20, 9),
        ("c", FIRST, 9, 9),
    ):
        seen = make_record(f"{name}.jpg", model=model)
        assert seen.instances is not None
        records += [seen, decided(seen, moved(seen.instances, slice(None), step_px), at_s)]
    by_hand = make_record("d.jpg", by_hand=True, model="")
    accepted = decided(by_hand, make_people(2), 1, "accepted")
    run = make_run(tmp_path / "run", [*records, by_hand, accepted])
    first, second = measure(run).corrections
    assert (first.model, first.num_frames, second.model, second.num_frames) == (FIRST, 2, SECOND, 1)
    assert first.mean_oks is not None
    assert second.mean_oks is not None
    assert first.mean_oks < second.mean_oks < 1


def test_what_nobody_decided_or_a_person_rejected_does_not_count(tmp_path: Path) -> None:
    records: list[FrameRecord] = []
    for name, state in (("a", "draft"), ("b", "rejected")):
        seen = make_record(f"{name}.jpg")
        assert seen.instances is not None
        records += [seen, decided(seen, moved(seen.instances, slice(None), 5), 3, state)]
    run = make_run(tmp_path / "run", [*records, make_record("c.jpg")])
    assert measure(run).corrections == ()
    assert "What people made" not in vitpose("stats", run).stdout
    assert measure(run / "annotations.json").corrections == ()


def test_labels_made_anew_later_are_not_what_was_corrected(tmp_path: Path) -> None:
    seen = make_record("a.jpg", count=2)
    assert seen.instances is not None
    fixed = decided(seen, moved(seen.instances, slice(None), 2), 8)
    run = make_run(tmp_path / "run", [seen, fixed, make_record("a.jpg", people=make_people(2, 77))])
    with Run.read(run) as opened:
        sure = opened.record(FrameKey("a.jpg"))
    assert sure is not None
    assert sure.review is not None
    (found,) = edit_distances(run, [FrameKey("a.jpg")], SIGMAS)
    assert found.mean_oks is not None
    assert found.mean_oks > 0.8  # 0.1 or so with the others


def test_what_is_said_without_labels_does_not_hide_what_counts(tmp_path: Path) -> None:
    seen = make_record("a.jpg", count=2)
    assert seen.instances is not None
    fixed = decided(seen, seen.instances, 8)
    unread = decided(seen, seen.instances, 9, "rejected", instances=None, uids=(), error="torn")
    run = make_run(tmp_path / "run", [seen, fixed, unread])
    assert measure(run).corrections == (EditDistance(FIRST, 1, 2, 0, 0, 1.0),)


def test_stats_shows_it(tmp_path: Path) -> None:
    seen = make_record("a.jpg", count=2)
    assert seen.instances is not None
    run = make_run(tmp_path / "run", [seen, decided(seen, seen.instances, 8, "accepted")])
    done = vitpose("stats", run)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [FIRST, "1", "2", "0", "0", "1.000"] in lines
    (found,) = json.loads(vitpose("stats", run, "--json").stdout)["corrections"]
    assert found == {
        "model": FIRST,
        "num_frames": 1,
        "num_people": 2,
        "num_added": 0,
        "num_removed": 0,
        "mean_oks": 1.0,
    }
    write_page(measure(run), "a", tmp_path / "page.html")
    assert f"<td>{FIRST}</td><td>1</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")
