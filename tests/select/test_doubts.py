"""The table of doubts, read from records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from select_cases import COCO, make_people, make_record

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.bones import implausibility
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.select.table import read_doubts


def test_everybody_has_a_row_in_the_order_of_frames() -> None:
    records = [make_record("a.jpg", 0.9, 0.2), make_record("b.jpg"), make_record("c.jpg", 0.5)]
    table = read_doubts(records, COCO)
    assert [str(key) for key in table.keys] == ["a.jpg", "b.jpg", "c.jpg"]
    assert table.starts.tolist() == [0, 2, 2, 3]
    assert table.num_people.tolist() == [2, 0, 1]
    np.testing.assert_allclose(table.signals["mean_keypoint_score"], [0.9, 0.2, 0.5])
    assert np.isnan(table.signals["flip_disagreement"]).all()
    # What follows from the poses is there even if the record has it not.
    assert not np.isnan(table.signals["overlap"]).any()
    assert not np.isnan(table.signals["implausibility"]).any()


def test_measures_of_the_record_are_taken_as_they_are() -> None:
    people = replace(
        make_people(0.9),
        signals={name: np.array([0.7], np.float32) for name in ("overlap", "other")},
    )
    table = read_doubts([make_record("a.jpg", people=people)], COCO)
    assert table.signals["overlap"].tolist() == pytest.approx([0.7])


def test_bones_to_keypoints_that_nobody_has_placed_do_not_count() -> None:
    whole, cut = (replace(make_people(0.9, seed=1), signals={}) for _ in range(2))
    cut.visibility[:, 15:] = cut.keypoints[:, 15:] = 0
    records = [make_record("a.jpg", people=whole), make_record("b.jpg", people=cut)]
    table = read_doubts(records, COCO)
    odd = table.signals["implausibility"]
    far = implausibility(cut.keypoints, COCO)
    assert far is not None
    assert abs(odd[1] - odd[0]) < abs(far[0] - odd[0])


def test_runs_do_not_disagree_about_what_lies_outside_of_the_picture() -> None:
    one, other = make_people(0.9, seed=1), make_people(0.9, seed=1)
    one.visibility[:] = 2
    one.keypoints[:, 3], other.keypoints[:, 3] = (-5, 20), (-90, 400)
    records = [make_record("a.jpg", people=one)], [make_record("a.jpg", people=other)]
    table = read_doubts(records[0], COCO, others=records[1])
    assert table.signals["disagreement"].tolist() == pytest.approx([0], abs=1e-6)


def test_margins_count_from_the_lowest_score_kept() -> None:
    people = replace(make_people(0.9, 0.9), box_scores=np.array([0.5, 0.8]))
    table = read_doubts([make_record("a.jpg", people=people)], COCO)
    assert table.signals["box_margin"].tolist() == pytest.approx([0, 0.3])
    assert len(read_doubts([], COCO)) == 0


def test_reviewed_and_failed_frames_are_left_out() -> None:
    records = [
        make_record("a.jpg", 0.9, review=Review("accepted")),
        FrameRecord(FrameKey("b.jpg"), error="cut off"),
        make_record("c.jpg", 0.5),
    ]
    table = read_doubts(records, COCO)
    assert [key.media for key in table.keys] == ["c.jpg"]
    assert (table.num_reviewed, table.num_failed) == (1, 1)


def test_drafts_are_not_left_out() -> None:
    draft = Review("draft", "anna")
    records = [
        make_record("a.jpg", 0.9, review=draft),
        FrameRecord(FrameKey("b.jpg"), error="cut off", review=draft),
        make_record("c.jpg", 0.5),
    ]
    table = read_doubts(records, COCO)
    assert [key.media for key in table.keys] == ["a.jpg", "c.jpg"]
    assert table.is_draft.tolist() == [True, False]
    assert (table.num_reviewed, table.num_failed) == (0, 1)


def test_jumps_are_found_beside_reviewed_frames() -> None:
    frames = [make_people(0.9, at=0.0, seed=1) for _ in range(5)]
    points = frames[2].keypoints.copy()
    points[0, 9] += (0, 60)
    frames[2] = replace(frames[2], keypoints=points)
    reviews = [None, Review("accepted"), None, None, None]
    records = [
        make_record("v.mp4", index=index, people=people, review=review)
        for index, (people, review) in enumerate(zip(frames, reviews, strict=True))
    ]
    jumps = read_doubts(records, COCO).signals["jump"]
    assert np.isnan(jumps[[0, 3]]).all()  # frames 0 and 4
    assert jumps[1] == pytest.approx(60 / (40 * 80) ** 0.5, rel=1e-3)
    assert jumps[2] == pytest.approx(30 / (40 * 80) ** 0.5, rel=1e-3)


def test_people_of_another_run_get_rows_where_this_one_lacks_them() -> None:
    both = make_people(0.9, 0.8)
    ours = [make_record("a.jpg", people=both.select([0])), make_record("b.jpg", 0.9)]
    theirs = [make_record("a.jpg", people=both), make_record("c.jpg", 0.9)]
    table = read_doubts(ours, COCO, others=theirs)
    assert table.starts.tolist() == [0, 2, 3]
    assert table.num_people.tolist() == [1, 1]
    np.testing.assert_allclose(table.signals["disagreement"], [0, 1, np.nan], atol=1e-6)
    assert np.isnan(table.signals["mean_keypoint_score"][1])


def test_runs_of_pictures_of_other_sizes_are_not_compared() -> None:
    ours = make_record("a.jpg", 0.9)
    assert ours.size_wh is not None
    theirs = replace(ours, size_wh=(ours.size_wh[0] // 2, ours.size_wh[1] // 2))
    with pytest.raises(InputError, match=r"a\.jpg has .* px in the run, and .* to compare with"):
        read_doubts([ours], COCO, others=[theirs])
