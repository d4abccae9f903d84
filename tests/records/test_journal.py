import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from record_cases import make_failure, make_fixed, make_record

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.journal import Entry, JournalWriter, Scan, encode_line
from vitpose_cli.records.record import FrameRecord, instance_uid

RECORDS = [make_record("a.jpg"), make_failure('b "q" \\ ü.jpg'), make_fixed("v.mp4", index=12)]
LINES = [encode_line(record) for record in RECORDS]
WHOLE = b"".join(LINES)
STARTS = [sum(map(len, LINES[:number])) for number in range(len(LINES) + 1)]

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def entries_of(path: Path) -> list[Entry]:
    return list(Scan(path).entries())


def frames_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[entry.offset : entry.offset + entry.length] for entry in entries_of(path)]


def expected(numbers: list[int]) -> list[bytes]:
    return [RECORDS[number].to_json() for number in numbers]


def untouched(position: int, length: int = 1) -> list[int]:
    """Return the lines that have no byte in a changed range, their line break left out."""
    return [
        number
        for number in range(len(LINES))
        if position >= STARTS[number + 1] - 1 or position + length <= STARTS[number]
    ]


def append_after(path: Path) -> list[bytes]:
    """Append one record as a resumed run does, and return all that is read then."""
    writer = JournalWriter(path)
    writer.append(make_record("next.jpg"))
    writer.close()
    assert path.read_bytes().endswith(b"\n")
    return frames_of(path)


def test_the_end_of_a_video_is_no_frame(tmp_path: Path) -> None:
    end = FrameRecord(FrameKey("v.mp4", 41), error="", ended_after=21, file_bytes=1 << 40)
    assert FrameRecord.from_json(end.to_json()).to_json() == end.to_json()
    path = tmp_path / "journal-1-of-1.jsonl"
    writer = JournalWriter(path)
    written = [writer.append(record) for record in (*RECORDS, end)]
    writer.close()
    assert entries_of(path) == written
    assert [entry.ended_after for entry in written] == [None, None, None, 21]
    assert [entry.file_bytes for entry in written] == [None, None, None, 1 << 40]
    assert written[-1].taken_back


def test_lines_are_json_that_names_frame_and_checksum() -> None:
    for line, record in zip(LINES, RECORDS, strict=True):
        parsed = json.loads(line)
        assert parsed["frame"] == json.loads(record.to_json())
        assert parsed["crc"] == record.version


def test_the_line_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    line = text.split("```json\n")[1].split("```")[0]
    path = tmp_path / "journal.jsonl"
    path.write_text(line, encoding="utf-8")
    (frame,) = frames_of(path)
    record = FrameRecord.from_json(frame)
    assert record.to_json() == frame
    assert record.uids == (instance_uid(record.key, 0),)


def test_a_scan_finds_every_record_and_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(WHOLE)
    scan = Scan(path)
    found = list(scan.entries())
    assert [(each.media, each.frame_index, each.human, each.failed) for each in found] == [
        ("a.jpg", -1, False, False),
        ('b "q" \\ ü.jpg', -1, False, True),
        ("v.mp4", 12, True, False),
    ]
    assert frames_of(path) == expected([0, 1, 2])
    assert (scan.end, scan.num_damaged, scan.torn_bytes) == (len(WHOLE), 0, 0)
    again = Scan(path, start=scan.end)
    assert list(again.entries()) == []


def test_a_scan_tells_what_was_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    record = replace(RECORDS[2], set_aside=True, exact=True)
    writer = JournalWriter(path)
    written = [writer.append(record), writer.append(RECORDS[2])]
    writer.close()
    assert written == entries_of(path)
    assert [entry.set_aside for entry in written] == [True, False]
    assert FrameRecord.from_json(frames_of(path)[0]).to_json() == record.to_json()


def test_a_writer_says_where_its_records_lie(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    written = [writer.append(record) for record in RECORDS]
    writer.close()
    assert path.read_bytes() == WHOLE
    assert written == entries_of(path)


@same_folder
@given(size=st.integers(0, len(WHOLE)))
@example(STARTS[1] - 1)
def test_a_journal_cut_at_any_byte_keeps_every_whole_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(WHOLE[:size])
    # A record is whole when only its line break is missing.
    whole = [number for number in range(len(LINES)) if STARTS[number + 1] - 1 <= size]
    scan = Scan(path)
    found = [path.read_bytes()[e.offset : e.offset + e.length] for e in scan.entries()]
    assert found == expected(whole)
    assert scan.num_damaged == 0
    assert scan.torn_bytes == size - max(start for start in STARTS if start <= size)
    assert append_after(path) == [*expected(whole), make_record("next.jpg").to_json()]


@same_folder
@given(position=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
@example(STARTS[1] - 1, ord("x"))
def test_a_changed_byte_costs_its_line_alone(tmp_path: Path, position: int, value: int) -> None:
    path = tmp_path / "journal.jsonl"
    changed = bytearray(WHOLE)
    changed[position] = value
    path.write_bytes(changed)
    found = append_after(path)
    assert set(expected(untouched(position))) <= set(found)
    # Nothing is made up either.
    assert set(found) <= {*expected([0, 1, 2]), make_record("next.jpg").to_json()}


@same_folder
@given(position=st.integers(0, len(WHOLE)), garbage=st.binary(min_size=1, max_size=40))
@example(STARTS[1], b'{"crc":"')
@example(STARTS[1], b"\n\n")
@example(len(WHOLE), b"\0" * 40)
def test_inserted_bytes_cost_the_line_they_hit(
    tmp_path: Path, position: int, garbage: bytes
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(WHOLE[:position] + garbage + WHOLE[position:])
    hit = [n for n in range(len(LINES)) if STARTS[n] < position < STARTS[n + 1] - 1]
    kept = [number for number in range(len(LINES)) if number not in hit]
    found = append_after(path)
    assert set(expected(kept)) <= set(found)
    assert found[-1] == make_record("next.jpg").to_json()


@given(data=st.binary(max_size=300))
@same_folder
def test_garbage_is_no_record(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(data)
    assert entries_of(path) == []


def test_damage_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINES[0] + b"garbage\n" + LINES[1][:-9] + b"\n" + LINES[2] + b'{"crc')
    scan = Scan(path)
    assert len(list(scan.entries())) == 2
    assert (scan.num_damaged, scan.torn_bytes) == (2, 5)
    assert scan.end == path.stat().st_size - 5
    writer = JournalWriter(path)
    assert writer.cut_bytes == 5
    writer.close()


def test_a_line_whose_last_brace_is_damaged_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINES[0][:-2] + b"x\n" + LINES[1])
    scan = Scan(path)
    assert [each.media for each in scan.entries()] == [RECORDS[1].key.media]
    assert scan.num_damaged == 1


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    with pytest.raises(InputError, match=f"written by process {os.getpid()} on "):
        JournalWriter(path)
    writer.close()
    JournalWriter(path).close()


APPEND_UNTIL_KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from record_cases import make_record
from vitpose_cli.records.journal import JournalWriter
writer = JournalWriter(Path(sys.argv[1]))
number = 0
while True:
    writer.append(make_record(f"{number}.jpg"))
    print(number, flush=True)
    number += 1
"""


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Run code that may import the cases of this folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_writer_loses_nothing_and_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    process = start(APPEND_UNTIL_KILLED, str(path))
    assert process.stdout is not None
    for _ in range(40):
        process.stdout.readline()
    process.kill()
    reported = 39 + sum(1 for _ in process.stdout)
    process.wait()
    writer = JournalWriter(path)
    names = [entry.media for entry in entries_of(path)]
    writer.close()
    assert names == [f"{number}.jpg" for number in range(len(names))]
    assert len(names) >= reported


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """A file-size limit stands for the full disk: the last write is cut short, then refused."""
    path = tmp_path / "journal.jsonl"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    record = make_record("a.jpg")
    size = len(encode_line(record))
    writer = JournalWriter(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * size + size // 2, limit[1]))
    try:
        for _ in range(3):
            writer.append(record)
        with pytest.raises(InputError, match="Cannot write") as caught:
            writer.append(record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.stat().st_size == 3 * size
    writer.append(record)  # there is space again
    writer.close()
    assert frames_of(path) == [record.to_json()] * 4


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        JournalWriter(tmp_path / "journal.jsonl")
    with pytest.raises(InputError, match="Cannot write"):
        JournalWriter(tmp_path / "missing" / "journal.jsonl")


def test_records_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(WHOLE)
    assert [FrameRecord.from_json(data).key for data in frames_of(path)] == [
        record.key for record in RECORDS
    ]
