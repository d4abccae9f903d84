"""What a browser sends as an edit: people as they can be, or an error."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_cases import SIZE_WH, edit, make_people

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.review.edits import parse_edit
from vitpose_cli.review.view import frame_view

PERSON = frame_view(FrameRecord(FrameKey("b.jpg"), SIZE_WH, instances=make_people(1)))["people"][0]

POINT = PERSON["keypoints"][0]


def test_what_the_page_gets_it_can_send_back_unchanged() -> None:
    tracked = replace(make_people(3), track_ids=np.array([4, 9, 2]))
    record = FrameRecord(FrameKey("a.jpg"), SIZE_WH, instances=tracked, model="0123")
    sent = orjson.loads(orjson.dumps(frame_view(record)))
    returned = edit(record.version, "fixed", sent["people"])
    result = returned.applied(record, "anna", 12.0)
    assert result.review is not None
    assert replace(result, review=None, exact=True).version == record.version


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    data=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=6)
)
def test_no_json_is_more_than_an_error(data: Any) -> None:
    for place in ("version", "state", "people"):
        body = {"version": "0" * 8, "state": "fixed", "people": []} | {place: data}
        try:
            parsed = parse_edit(orjson.dumps(body), 17)
        except InputError:
            continue
        assert parsed.state == "fixed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uid": ""}, "uid"),
        ({"uid": "x" * 201}, "uid"),
        ({"uid": 3}, "uid"),
        ({"box": [1, 2, 3]}, "box"),
        ({"box": [5, 0, 1, 9]}, "box"),
        ({"box": [0, 0, 1e7, 9]}, "box"),
        ({"box": [0, 0, True, 9]}, "box"),
        ({"box_score": None}, "box_score"),
        ({"box_score": 1e7}, "box_score"),
        ({"track_id": 7}, "track_id"),
        ({"track_id": 1.0}, "track_id"),
        ({"track_id": "-1"}, "track_id"),
        ({"track_id": "٣"}, "track_id"),
        ({"track_id": str(2**62 + 1)}, "track_id"),
        ({"keypoints": []}, "keypoints"),
        ({"keypoints": [[1, 2, 3]] * 17}, r"keypoints\[0\]"),
        ({"keypoints": [POINT] * 16 + [[1, 2, 3, 1]]}, r"keypoints\[16\]"),
        ({"keypoints": [POINT] * 16 + [[1, 2, True, 1]]}, r"keypoints\[16\]"),
        ({"keypoints": [POINT] * 16 + [["1", 2, 1, 1]]}, r"keypoints\[16\]"),
        ({"keypoints": [POINT] * 16 + [[1e7, 2, 1, 1]]}, r"keypoints\[16\]"),
    ],
)
def test_a_person_who_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        edit("0" * 8, "fixed", [PERSON | change])


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"version": "xyz", "state": "fixed"}', b'{"version": "00000000"}', b"{"],
)
def test_a_request_that_is_no_edit_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        parse_edit(body, 17)


def test_two_people_need_two_names() -> None:
    with pytest.raises(InputError, match="same uid"):
        edit("0" * 8, "fixed", [PERSON, PERSON])
    with pytest.raises(InputError, match="at most 1000"):
        edit("0" * 8, "fixed", [PERSON] * 1001)


def test_somebody_added_to_a_tracked_frame_gets_an_identity() -> None:
    people = [PERSON | {"uid": "a", "track_id": "7"}, PERSON | {"uid": "b", "track_id": None}]
    instances = edit("0" * 8, "fixed", people).instances
    (kept, new) = instances.track_ids.tolist()
    assert kept == 7
    assert new > 1 << 32, "the next number may be somebody's in another frame"
    other = [PERSON | {"uid": "a", "track_id": "7"}, PERSON | {"uid": "c", "track_id": None}]
    assert edit("0" * 8, "fixed", other).instances.track_ids[1] != new
