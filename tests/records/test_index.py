from pathlib import Path

import pytest
from record_cases import make_record

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.index import JournalIndex, JournalReader
from vitpose_cli.records.journal import Entry, JournalWriter


def entry(
    media: str, index: int = -1, *, offset: int = 0, human: bool = False, failed: bool = False
) -> Entry:
    return Entry(media, index, offset, 7, human, failed)


def test_places_come_in_the_order_of_the_keys() -> None:
    keys = [
        FrameKey("a"),
        FrameKey("a", 2),
        FrameKey("a", 10),
        FrameKey("a b.jpg"),
        FrameKey("a.jpg"),
        FrameKey("a/b.jpg"),
        FrameKey("ä.jpg"),
    ]
    assert keys == sorted(keys)
    index = JournalIndex()
    for position in (3, 0, 6, 2, 5, 1, 4):
        index.add(entry(keys[position].media, keys[position].index, offset=position), 0)
    assert [offset for _, offset, _ in index.places()] == list(range(7))
    assert set(index.keys()) == set(keys)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({}, {}, 2),
        ({"human": True}, {}, 1),
        ({}, {"human": True}, 2),
        ({"human": True}, {"human": True}, 2),
        ({}, {"failed": True}, 1),
        ({"failed": True}, {}, 2),
        ({"failed": True}, {"failed": True}, 2),
        ({"human": True}, {"failed": True}, 1),
        ({"human": True, "failed": True}, {}, 2),
        ({}, {"human": True, "failed": True}, 1),
        ({"human": True, "failed": True}, {"failed": True}, 1),
        ({"human": True, "failed": True}, {"human": True}, 2),
    ],
)
def test_which_record_counts(first: dict[str, bool], second: dict[str, bool], winner: int) -> None:
    index = JournalIndex()
    index.add(entry("a", offset=1, **first), 0)
    index.add(entry("a", offset=2, **second), 1)
    assert index.place(FrameKey("a")) == (winner - 1, winner, 7)
    assert len(index) == 1
    assert index.num_failed == ("failed" in first and "failed" in second)
    people = [number for number, each in enumerate((first, second)) if "human" in each]
    assert set(index.keys(human=True)) == ({FrameKey("a")} if people else set())
    beside = people and winner - 1 not in people
    assert index.decision(FrameKey("a")) == ((people[0], people[0] + 1, 7) if beside else None)


def test_what_was_set_aside_never_counts() -> None:
    index = JournalIndex()
    index.add(entry("a", human=True, offset=1), 0)
    index.add(entry("b", offset=2), 0)
    for media in ("a", "b", "c"):
        for failed in (False, True):
            set_aside = entry(media, human=True, failed=failed, offset=9)._replace(set_aside=True)
            assert index.add(set_aside, 1) is None
    assert list(index.places()) == [(0, 1, 7), (0, 2, 7)]
    assert set(index.keys(human=True)) == {FrameKey("a")}
    assert index.decision(FrameKey("b")) is None


def test_a_failure_that_is_taken_back_counts_no_more() -> None:
    index = JournalIndex()
    index.add(entry("a", failed=True), 0)
    index.add(entry("b"), 0)
    latest = index.latest_by_file()
    for media in ("a", "b", "c"):
        index.add(entry(media, failed=True)._replace(taken_back=True), 0)
    assert set(index.keys()) == {FrameKey("b")}
    assert index.num_failed == 0
    assert index.latest_by_file() == latest
    index.add(entry("a", failed=True), 0)
    assert index.num_failed == 1


def test_a_decision_about_a_failure_is_taken_back_with_it() -> None:
    index = JournalIndex()
    index.add(entry("a", failed=True, human=True), 0)
    index.add(entry("a", failed=True)._replace(taken_back=True), 1)
    index.add(entry("a", offset=2), 1)
    assert index.place(FrameKey("a")) == (1, 2, 7)
    assert index.decision(FrameKey("a")) is None


def test_videos_are_whole_when_all_frames_before_their_end_are_there() -> None:
    index = JournalIndex()
    end = entry("v.mp4", 9, failed=True)._replace(taken_back=True, ended_after=2, file_bytes=700)
    for place, each in enumerate((entry("a.jpg"), entry("v.mp4", 0), end)):
        index.add(each._replace(offset=place), 0)
    assert index.videos() == {"v.mp4": frozenset()}
    index.add(entry("v.mp4", 5, human=True), 1)
    assert index.videos() == {"v.mp4": frozenset()}  # a person's frame is not one of the model's
    index.add(entry("v.mp4", 5), 0)
    assert index.videos() == {"v.mp4": {700}}
    assert len(index) == 3
    before_a_refresh = JournalIndex()
    before_a_refresh.add(end, 0, current=False)
    assert before_a_refresh.videos() == {}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_video_is_whole_at_every_size_of_its_file_of_which_all_frames_are_there(
    order: tuple[int, ...],
) -> None:
    index = JournalIndex()
    ends = [
        entry("v.mp4", num, failed=True)._replace(
            taken_back=True, ended_after=num, file_bytes=file_bytes
        )
        for num, file_bytes in ((1, 300), (2, 700), (3, 900))
    ]
    for place in order:  # of the journals of several workers
        index.add(ends[place], place)
    index.add(entry("v.mp4", 0), 0)
    index.add(entry("v.mp4", 1), 0)
    assert index.videos() == {"v.mp4": {300, 700}}
    index.add(entry("v.mp4", 2), 0)
    assert index.videos() == {"v.mp4": {300, 700, 900}}
    assert index.ends("v.mp4") == {300: 1, 700: 2, 900: 3}


def test_large_places_fit() -> None:
    index = JournalIndex()
    index.add(Entry("a", 2**40, 2**50, 2**31, True, False), 9999)
    assert index.place(FrameKey("a", 2**40)) == (9999, 2**50, 2**31)


def test_the_frames_are_a_live_set() -> None:
    index = JournalIndex()
    done, seen = index.keys(failed=False), index.keys()
    assert not done
    index.add(entry("a"), 0)
    index.add(entry("v.mp4", 3), 0)
    index.add(entry("bad", failed=True), 0)
    assert FrameKey("a") in done
    assert FrameKey("v.mp4", 3) in done
    assert FrameKey("v.mp4") not in done
    assert FrameKey("bad") not in done
    assert "a" not in done  # type: ignore[comparison-overlap]
    assert len(done) == 2
    assert seen - done == {FrameKey("bad")}


def test_more_journals_than_open_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(100)]
    places = []
    for number, path in enumerate(paths):
        writer = JournalWriter(path)
        written = writer.append(make_record(f"{number}.jpg", count=0))
        places.append((number, written.offset, written.length))
        writer.close()
    reader = JournalReader(paths)
    for number, offset, length in places * 2:
        assert reader.read(number, offset, length).key == FrameKey(f"{number}.jpg")
    reader.close()


def test_a_journal_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"something else")
    reader = JournalReader([path])
    with pytest.raises(InputError, match=r"a\.jsonl, byte 3: .* no frame record"):
        reader.read(0, 3, 5)
    path.unlink()
    reader.close()
    with pytest.raises(InputError, match="Cannot read"):
        reader.read(0, 3, 5)


@pytest.mark.parametrize(
    ("old", "new", "winner", "fresh"),
    [
        ({}, {}, 2, True),
        ({"human": True}, {}, 1, True),  # the person has the last word, the model has been here
        ({}, {"failed": True}, 1, False),  # the older label stays, and the frame is tried again
        ({"failed": True}, {"failed": True}, 2, False),
        ({"failed": True}, {}, 2, True),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_labels_of_before_a_refresh(
    old: dict[str, bool], new: dict[str, bool], winner: int, fresh: bool, turned: bool
) -> None:
    index = JournalIndex()
    for number in (1, 0) if turned else (0, 1):
        values = (old, new)[number]
        index.add(entry("a", offset=number + 1, **values), number, current=number == 1)
    assert index.place(FrameKey("a")) == (winner - 1, winner, 7)
    assert (FrameKey("a") in index.keys(failed=False, current=True)) == fresh
    assert set(index.keys()) == {FrameKey("a")}
    assert index.latest_by_file() == {1: FrameKey("a")}
    assert index.num_failed == (old == new == {"failed": True})
