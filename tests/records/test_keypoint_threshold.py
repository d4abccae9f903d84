import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_cases import make_fixed, make_manifest, make_record

from vitpose_cli.errors import InputError
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.history import histories
from vitpose_cli.records.keypoint_threshold import (
    at_threshold,
    readings,
    versions_apart,
    visibility_of,
)
from vitpose_cli.records.manifest import HOLDS_FILES, MERGED, RunManifest
from vitpose_cli.records.record import FrameRecord, Review, rounded, scores_of_network
from vitpose_cli.records.run import Run


def options(threshold: float) -> dict[str, object]:
    return {"keypoint-threshold": threshold, "flip-test": True}


def people_of(record: FrameRecord | None) -> Instances:
    assert record is not None
    assert record.instances is not None
    return record.instances


@given(
    st.lists(st.floats(-0.5, 1.5, width=32), min_size=1, max_size=40),
    st.one_of(st.floats(0, 1), st.integers(0, 10_000).map(lambda each: each / 10_000)),
)
def test_what_is_stored_is_compared(scores: list[float], threshold: float) -> None:
    said = scores_of_network(np.array([scores], np.float32))
    count = len(scores)
    people = Instances(
        boxes=np.zeros((1, 4), np.float32),
        box_scores=np.ones(1, np.float32),
        keypoints=np.zeros((1, count, 2), np.float32),
        keypoint_scores=said,
        visibility=np.zeros((1, count), np.int8),
    )
    stored = json.loads(json.dumps(rounded(people, "a").keypoint_scores.astype(float).tolist()))
    again = visibility_of(np.array(stored, np.float32), threshold)
    np.testing.assert_array_equal(visibility_of(said, threshold), again)


def test_a_score_at_the_threshold_is_labelled() -> None:
    scores = np.array([[0.29994, 0.29996, 0.3, 0.30004, 1.0]], np.float32)
    assert visibility_of(scores, 0.3).tolist() == [[0, 2, 2, 2, 2]]


def test_a_person_s_labels_have_no_threshold() -> None:
    fixed = make_fixed("a.jpg")
    truth = replace(make_record("a.jpg"), by_hand=True)
    for record in (fixed, truth):
        assert at_threshold(record, 0.9) is record
        assert len(readings(record, make_manifest(options=options(0.9)))) == 1
    made = make_record("a.jpg")
    assert at_threshold(made, None) is made
    assert people_of(at_threshold(made, 1.0)).visibility.sum() == 0
    assert (people_of(at_threshold(made, 0.0)).visibility == 2).all()


def test_a_manifest_remembers_other_thresholds_once() -> None:
    manifest = make_manifest(options=options(0.3))
    assert manifest.at_threshold(0.3) is manifest
    assert manifest.at_threshold(None) is manifest
    for wanted, past in ((0.2, (0.3,)), (0.5, (0.3, 0.2)), (0.3, (0.2, 0.5)), (0.3, (0.2, 0.5))):
        manifest = manifest.at_threshold(wanted)
        assert (manifest.keypoint_threshold, manifest.past_thresholds) == (wanted, past)
    assert manifest.options == options(0.3)


def test_who_does_not_say_where_hidden_keypoints_are_has_no_threshold() -> None:
    for notes in ({MERGED: ["a.json"]}, {MERGED: ["a"], HOLDS_FILES: True}):
        manifest = make_manifest(options=options(0.3), notes=notes)
        assert manifest.keypoint_threshold is None
        assert manifest.at_threshold(0.5) is manifest
    runs = make_manifest(options=options(0.3), notes={MERGED: ["a"], HOLDS_FILES: False})
    assert runs.at_threshold(0.5).keypoint_threshold == 0.5
    assert make_manifest().keypoint_threshold is None


@pytest.mark.parametrize(
    "changed",
    [
        {"options": {"keypoint-threshold": "0.3"}},
        {"options": {"keypoint-threshold": None}},
        {"options": {"keypoint-threshold": 1e300}},
        {"past_thresholds": [True]},
        {"past_thresholds": [-1]},
    ],
)
def test_a_threshold_that_is_none_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    path = tmp_path / "manifest.json"
    make_manifest().write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(InputError, match="a keypoint threshold of it is no number from 0 to 1"):
        RunManifest.read(path)


def test_all_readers_of_a_run_see_the_threshold_of_now(tmp_path: Path) -> None:
    made = make_record("a.jpg")
    with Run.open(tmp_path, make_manifest(options=options(0.5))) as run:
        run.append(made)
        assert people_of(run.record(made.key)).visibility.tolist() == (
            people_of(at_threshold(made, 0.5)).visibility.tolist()
        )
    with Run.edit(tmp_path) as editor:  # knows the old one until it writes the document
        with Run.open(tmp_path, make_manifest(options=options(0.8))) as run:
            assert run.new_threshold == (0.5, 0.8, False)
            expected = at_threshold(made, 0.8).version
            assert [record.version for record in run.records()] == [expected]
            assert [record.version for record in run.records_of([made.key])] == [expected]
        seen = editor.record(made.key)
        assert seen is not None
        assert seen.version == at_threshold(made, 0.5).version
        editor.append(replace(seen, review=Review("draft", previous=seen.version), exact=True))
        editor.export()
        assert editor.manifest.keypoint_threshold == 0.8
    ((_, past),) = histories(tmp_path, [made.key])
    assert {each.version for each in past} >= {
        at_threshold(made, threshold).version for threshold in (None, 0.5, 0.8)
    }
    assert past[-1].review is not None
    assert past[-1].review.previous in {each.version for each in past}
    assert len(versions_apart(past)) == 2  # the model's, and the person's
