import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitpose_cli.errors import InputError
from vitpose_cli.records import json_stream
from vitpose_cli.records.json_stream import Item, stream_items, stream_places

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def rebuilt(path: Path) -> Any:
    """Put the items of a stream together again."""
    whole: dict[str, Any] = {}
    for section, position, value in stream_items(path):
        if position is None:
            whole[section] = value
        else:
            assert position == len(whole[section])
            whole[section].append(value)
    return whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.dictionaries(st.text(), VALUES, max_size=5) | st.lists(VALUES, max_size=5),
    indent=st.none() | st.integers(0, 3),
    step=st.integers(1, 40),
)
def test_any_json_comes_through_in_any_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, indent: int | None, step: int
) -> None:
    monkeypatch.setattr(json_stream, "_READ_BYTES", step)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=step % 2 == 0), encoding="utf-8")
    assert rebuilt(path) == (value if isinstance(value, dict) else {"": value})


def test_lists_are_announced_and_come_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"images": [1, {"id": 2}], "info": {}, "none": []}')
    assert list(stream_items(path)) == [
        Item("images", None, []),
        Item("images", 0, 1),
        Item("images", 1, {"id": 2}),
        Item("info", None, {}),
        Item("none", None, []),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(VALUES, max_size=5),
    front=st.sampled_from(["", "\ufeff"]),
    between=st.sampled_from([",", ",\n", "\n , \r\n"]),
    step=st.integers(1, 40),
)
def test_what_lies_at_a_place_is_the_value(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: list[Any],
    front: str,
    between: str,
    step: int,
) -> None:
    monkeypatch.setattr(json_stream, "_READ_BYTES", step)
    path = tmp_path / "x.json"
    elements = between.join(json.dumps(value, ensure_ascii=step % 2 == 0) for value in values)
    path.write_text(f'{front}{{"ä": [{elements}\n], "b": 1}}', encoding="utf-8")
    data = path.read_bytes()
    for item, (offset, length) in stream_places(path):
        if item.position is not None:
            assert json.loads(data[offset : offset + length]) == item.value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"hello",
        b"3",
        b"{",
        b"[",
        b'{"a": [1, 2',
        b'{"a": [1, 2]',
        b'{"a": [1 2]}',
        b'{"a" 1}',
        b"{1: 2}",
        b'{"a": 1 "b": 2}',
        b"[1] x",
        b"[1],",
        b'["\xff"]',
        b'["\xc3',
        b"[tru]",
        b'[{"a": ]',
        b"[" + b"9" * 5000 + b"]",
        b"[" * 200_000,
        b'[{"a":' * 200_000,
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not a whole JSON file"):
        list(stream_items(path))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(b"[1]", mtime=0), "it is packed, and has to be unpacked first"),
        (b'<?xml version="1.0"?><annotations/>', "it is XML"),
        ("[1]".encode("utf-16"), "it is not UTF-8"),
    ],
)
def test_files_of_other_kinds_are_told(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"is not a whole JSON file: {reason} "):
        list(stream_items(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*x\.json"):
        list(stream_items(tmp_path / "x.json"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_any_bytes_end_well(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with suppress(InputError):
        list(stream_items(path))
