"""Whatever a file holds, `validate` reports on it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_cases import small_document, write_json

from vitpose_cli.records.validate import validate

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(data=st.data())
def test_no_value_anywhere_makes_it_fail(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Put any JSON into any field: the file is reported on, whatever it holds."""
    content = small_document()
    content["videos"] = [{"id": 1, "name": "clip.mp4", "width": 640, "height": 480}]
    content["annotations"][0] |= {"attributes": {"uid": "x"}, "keypoint_scores": [1.0] * 17}
    content["images"][0] |= {"video_id": 1, "frame_id": 3, "timestamp": 0.5}
    section = data.draw(st.sampled_from(["images", "annotations", "categories", "videos"]))
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(content[section][0])))
        content[section][0][name] = data.draw(VALUES)
    else:
        content[section] = data.draw(VALUES)
    report = validate(write_json(tmp_path_factory.getbasetemp() / "fuzz.json", content))
    report.as_dict()
    assert all(each.hint and each.message for each in report.violations)
