"""Who people recognised in a frame, and what everybody is called from there on."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.sighting import Sighting
from vitpose_cli.tracking.identities import with_track_ids
from vitpose_cli.tracking.renumbering import Renumbering
from vitpose_cli.tracking.sightings import Sightings

SIGMAS = keypoint_set("coco").sigmas
SLOTS = 6
"""How many people may be in a frame; who is at a place of the frame tells the order alone."""


def people(*lefts: float) -> Instances:
    """Return people who stand at these places, 50 px wide and 100 px high."""
    body = np.random.default_rng(0).uniform((0, 0), (50, 100), (17, 2))
    points = body[None] + np.array([(left, 0.0) for left in lefts]).reshape(len(lefts), 1, 2)
    return Instances(
        boxes=np.array([(left, 0, left + 50, 100) for left in lefts]).reshape(len(lefts), 4),
        box_scores=np.ones(len(lefts), np.float32),
        keypoints=points,
        keypoint_scores=np.ones((len(lefts), 17), np.float32),
        visibility=np.full((len(lefts), 17), 2),
    )


def place(left: float, index: int) -> Sighting:
    return Sighting(index, (left, 0, left + 50, 100))


def record(index: int, *lefts: float, media: str = "a.mp4", **who: Sighting | None) -> FrameRecord:
    """Return a frame; people are called `p0`, `p1` and so on, and `who` is recognised in whom."""
    uids = tuple(f"p{number}" for number in range(len(lefts)))
    key = FrameKey(media, index)
    return FrameRecord(key, (640, 480), index / 30, people(*lefts), uids=uids, recognised=who)


def ids(*records: FrameRecord) -> list[list[int]]:
    given = with_track_ids(iter(records), SIGMAS)
    return [
        each.instances.track_ids.tolist()
        for each in given
        if each.instances is not None and each.instances.track_ids is not None
    ]


def test_one_correction_swaps_two_people_to_the_end_of_the_video() -> None:
    frames = [record(index, 100, 300) for index in range(4)]
    frames[2] = record(2, 100, 300, p0=place(300, 1))
    assert ids(*frames, record(0, 100, 300, media="b.mp4")) == [
        [1, 2], [1, 2], [2, 1], [2, 1], [3, 4],
    ]  # fmt: skip
    frames[3] = record(3, 100, 300, p1=place(300, 0))  # back again, from the other side
    assert ids(*frames) == [[1, 2], [1, 2], [2, 1], [1, 2]]


def test_whoever_comes_back_is_who_went() -> None:
    gone = [record(index, 300) for index in range(1, 60)]
    back = record(60, 300, 100)
    assert ids(record(0, 100, 300), *gone, back)[-1] == [2, 3]
    known = replace(back, recognised={"p1": place(100, 0)})
    assert ids(record(0, 100, 300), *gone, known, record(61, 300, 100, 500))[-2:] == [
        [2, 1], [2, 1, 4],
    ]  # fmt: skip


def test_somebody_new_has_a_number_that_nobody_has() -> None:
    frames = [record(0, 100), record(1, 100, p0=None), record(2, 100, 300)]
    assert ids(*frames, record(0, 100, media="b.mp4")) == [[1], [2], [2, 3], [4]]


def test_what_is_recognised_stands_when_numbers_before_change() -> None:
    """Numbers follow from all that lies before; a person corrects that in any order."""
    frames = [record(0, 100, 300), record(1, 100, 300, p0=place(300, 0)), record(2, 100, 300)]
    assert ids(*frames) == [[1, 2], [2, 1], [2, 1]]
    before = [record(0, 50, 200, 400, media="Z.mp4")]
    assert ids(*before, *frames)[1:] == [[4, 5], [5, 4], [5, 4]]
    frames[0] = record(0, 500, 300, 100)  # another order and one more, as after a refresh
    assert ids(*frames) == [[1, 2, 3], [2, 3], [2, 3]]


def test_whose_first_sight_is_gone_is_found_beside_somebody_known() -> None:
    """One who was there before is nearer to the place now, as people move."""
    seen = Sightings()
    lefts = [(110, 1), (400, 1), (110, 1), (110, 1)]
    for index, (left, who) in enumerate(lefts):
        boxes, numbers = [place(left, index).box], [who]
        if index > 1:
            boxes, numbers = [*boxes, place(85, index).box], [*numbers, 2]
        seen.add(index, np.array(boxes, np.float32), np.array(numbers))
    assert seen.who(place(100, 1), 4) == 2
    assert seen.who(place(100, 0), 4) == 1


def test_nobody_is_found_whom_a_frame_that_is_gone_has_not_shown_first() -> None:
    seen = Sightings()
    for index in (0, 5):
        seen.add(index, np.array([place(100, index).box], np.float32), np.array([1]))
    assert seen.who(place(110, 3), 6) is None
    seen.add(6, np.array([place(100, 6).box, place(120, 6).box], np.float32), np.array([1, 2]))
    assert seen.who(place(110, 3), 7) == 2


def test_nobody_at_the_place_changes_nothing() -> None:
    frames = [record(0, 100, 300), record(1, 100, 300, p0=place(500, 0)), record(2, 100, 300)]
    assert ids(*frames) == [[1, 2]] * 3
    frames[1] = record(1, 100, 300, p0=place(300, 7))  # in a frame that comes later
    assert ids(*frames) == [[1, 2]] * 3
    failed = FrameRecord(FrameKey("a.mp4", 0), error="damaged")
    assert ids(failed, record(1, 100, p0=place(100, 0))) == [[1]]


@given(st.data())
def test_numbers_are_a_permutation(data: st.DataObject) -> None:
    """Whatever is recognised in whom: no two of a frame are one, and the last word counts."""
    renumbering, seen, fresh = Renumbering(), Sightings(), count(100)
    frames: list[list[int]] = []
    for index in range(data.draw(st.integers(1, 8))):
        tracked = data.draw(st.lists(st.integers(1, 9), unique=True, max_size=SLOTS))
        uids = [f"p{number}" for number in range(len(tracked))]
        earlier = [
            Sighting(frame, (60.0 * slot, 0, 60.0 * slot + 50, 100))
            for frame, known in enumerate(frames)
            for slot in range(len(known))
        ]
        whom = st.sampled_from([None, *earlier])
        who = data.draw(st.dictionaries(st.sampled_from(uids), whom) if uids else st.just({}))
        frame = record(index, *(60.0 * slot for slot in range(len(tracked))))
        frame = replace(frame, recognised=who)
        assert frame.instances is not None
        new = renumbering.renumbered(frame, np.array(tracked, np.int64), seen, lambda: next(fresh))
        seen.add(index, frame.instances.boxes, new)
        numbers = new.tolist()
        assert len({*numbers}) == len(numbers)
        wanted = {uid: seen.who(each, index) for uid, each in who.items() if each is not None}
        alone = {uid: each for uid, each in wanted.items() if [*wanted.values()].count(each) == 1}
        assert all(numbers[uids.index(uid)] == each for uid, each in alone.items())
        frames.append(numbers)
    for index, numbers in enumerate(frames):
        assert seen.ids(index) == numbers
    met = seen.before(len(frames))
    assert {*met} == {each for numbers in frames for each in numbers}
    for number, (first, last_index) in met.items():
        inside = [index for index, numbers in enumerate(frames) if number in numbers]
        assert (first.index, last_index) == (inside[0], inside[-1])
        assert seen.who(first, len(frames)) == number
    latest_first = [each.last_index for each in met.values()]
    assert latest_first == sorted(latest_first, reverse=True)
    middle = len(frames) // 2
    seen.forget_from(middle)
    assert [seen.ids(index) for index in range(len(frames))] == [
        numbers if index < middle else [] for index, numbers in enumerate(frames)
    ]
