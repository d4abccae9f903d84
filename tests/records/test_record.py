from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_cases import SIZE_WH, make_failure, make_fixed, make_instances, make_record

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import (
    BY_HAND_SCORE,
    FrameRecord,
    Review,
    instance_uid,
    scores_of_network,
)


@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 4),
    scale=st.floats(1e-3, 1e5),
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    index=st.integers(-1, 10**9),
)
def test_what_is_in_memory_is_what_is_on_disk(
    seed: int, count: int, scale: float, name: str, index: int
) -> None:
    people = make_instances(count, seed, signals={"spread": np.linspace(0, scale, count)})
    moved = Instances(
        people.boxes * scale,
        people.box_scores,
        -people.keypoints * scale,
        people.keypoint_scores,
        people.visibility,
        np.arange(count),
        people.signals,
    )
    record = FrameRecord(FrameKey(name, index), SIZE_WH, 1 / 3, moved)

    data = record.to_json()
    back = FrameRecord.from_json(data)

    assert back.to_json() == data
    assert (back.key, back.size_wh, back.time_s) == (record.key, record.size_wh, record.time_s)
    assert back.uids == record.uids
    assert back.version == record.version
    assert record.instances is not None
    assert back.instances is not None
    for field in ("boxes", "box_scores", "keypoints", "keypoint_scores", "visibility"):
        kept, read = getattr(record.instances, field), getattr(back.instances, field)
        np.testing.assert_array_equal(kept, read)
        assert kept.dtype == read.dtype


def test_numbers_are_rounded_when_a_record_is_made() -> None:
    people = Instances(
        boxes=[[1.234, -0.001, 3.456, 4.567]],  # type: ignore[arg-type]
        box_scores=[0.123456],  # type: ignore[arg-type]
        keypoints=[[[10.126, 20.124]]],  # type: ignore[arg-type]
        keypoint_scores=[[0.99999]],  # type: ignore[arg-type]
        visibility=[[2]],  # type: ignore[arg-type]
    )
    record = FrameRecord(FrameKey("a.jpg"), (10, 10), None, people)
    frame = orjson.loads(record.to_json())
    assert frame["boxes"] == [[1.23, 0.0, 3.46, 4.57]]
    assert b"-0.0" not in record.to_json()
    assert frame["box_scores"] == [0.1235]
    assert frame["keypoints"] == [[10.13, 20.12]]
    assert frame["keypoint_scores"] == [[1.0]]


def test_an_empty_frame_keeps_its_number_of_keypoints() -> None:
    record = FrameRecord.from_json(make_record(count=0).to_json())
    assert record.instances is not None
    assert record.instances.keypoints.shape == (0, 17, 2)


def test_hidden_keypoints_keep_their_place_and_score() -> None:
    record = make_record(count=3)
    assert record.instances is not None
    hidden = record.instances.visibility == 0
    assert hidden.any()
    assert (record.instances.keypoints[hidden] > 0).all()


def test_uids_follow_from_key_and_position() -> None:
    first, second = make_record("a.jpg"), make_record("b.jpg")
    assert first.uids == (instance_uid(first.key, 0), instance_uid(first.key, 1))
    assert len({*first.uids, *second.uids}) == 4
    assert all(len(uid) == 16 for uid in first.uids)
    # Files out there hold these names: they must never change.
    assert instance_uid(FrameKey("a.jpg"), 0) == "e4a5884721a1bd47"


def test_a_review_makes_a_record_human() -> None:
    record = FrameRecord.from_json(make_fixed("a.jpg").to_json())
    assert record.origin == "human"
    assert record.review == Review("fixed", "anna", 1_700_000_000.5, "00000000")
    assert make_record().origin == "model"


def test_a_failure_has_no_instances() -> None:
    record = FrameRecord.from_json(make_failure("a.jpg").to_json())
    assert record.instances is None
    assert record.error == "the file is empty"


@pytest.mark.parametrize(
    "fields",
    [
        {"instances": None},
        {"error": "also failed"},
        {"size_wh": None},
        {"uids": ("one",)},
        {"uids": ("same", "same")},
        {"key": FrameKey("")},
        {"key": FrameKey("a\0b")},
        {"key": FrameKey("a\udcff.jpg")},
        {"key": FrameKey("a.jpg", -2)},
    ],
)
def test_what_cannot_be_a_record_is_refused(fields: dict[str, object]) -> None:
    values = {"key": FrameKey("a.jpg"), "size_wh": SIZE_WH, "instances": make_instances(2)}
    with pytest.raises(InputError):
        FrameRecord(**(values | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_must_be_finite(bad: float) -> None:
    people = make_instances(1)
    people.keypoints[0, 3, 0] = bad
    with pytest.raises(InputError, match=r"a\.jpg has keypoints that are not finite"):
        make_record("a.jpg", instances=people)


def test_an_unknown_review_state_is_refused() -> None:
    with pytest.raises(InputError, match="'perfect' is no review state") as caught:
        Review("perfect")  # type: ignore[arg-type]
    assert "draft, accepted, fixed, rejected" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"null", b"{}", b'{"media": 3}'])
def test_other_json_is_no_record(data: bytes) -> None:
    with pytest.raises(InputError, match="no frame record"):
        FrameRecord.from_json(data)


def test_the_program_of_a_correction_is_kept_where_there_is_one() -> None:
    ours = make_fixed("a.jpg")
    assert b'"tool"' not in ours.to_json()
    assert ours.review is not None
    theirs = replace(ours, review=replace(ours.review, tool="cvat"), exact=True)
    again = FrameRecord.from_json(theirs.to_json())
    assert again.review == theirs.review
    assert again.version == theirs.version


def test_no_score_of_a_network_is_that_of_a_keypoint_placed_by_hand() -> None:
    raw = np.array([0.5, 0.9998, 0.99996, 1.0, 1.00004, 1.2], np.float32)
    kept = scores_of_network(raw).round(4)
    np.testing.assert_allclose(kept, [0.5, 0.9998, 0.9999, 0.9999, 0.9999, 1.2], atol=1e-6)
    assert (kept != BY_HAND_SCORE).all()
