"""Identities over the videos of a run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from time import process_time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.tracking.identities import Identities, with_track_ids

SIGMAS = keypoint_set("coco").sigmas


def people(*lefts: float) -> Instances:
    """Return people who stand at these places, 50 px wide and 100 px high."""
    count = len(lefts)
    body = np.random.default_rng(0).uniform((0, 0), (50, 100), (17, 2))
    points = body[None] + np.array([(left, 0.0) for left in lefts]).reshape(count, 1, 2)
    return Instances(
        boxes=np.array([(left, 0, left + 50, 100) for left in lefts]).reshape(count, 4),
        box_scores=np.ones(count, np.float32),
        keypoints=points,
        keypoint_scores=np.ones((count, 17), np.float32),
        visibility=np.full((count, 17), 2, np.int8),
    )


def record(media: str, index: int, *lefts: float) -> FrameRecord:
    return FrameRecord(FrameKey(media, index), (640, 480), index / 30, people(*lefts))


def test_ids_follow_people_and_no_two_videos_share_any(tmp_path: Path) -> None:
    records = [
        record("a.mp4", 0, 100, 300),
        FrameRecord(FrameKey("a.mp4", 1), error="damaged"),
        record("a.mp4", 2, 303, 102),
        record("b.mp4", 0, 100),
        record("photo.jpg", -1, 100, 300),
    ]
    done = list(with_track_ids(iter(records), SIGMAS))
    ids = [None if each.instances is None else each.instances.track_ids for each in done]
    assert [None if each is None else each.tolist() for each in ids] == [
        [1, 2], None, [2, 1], [3], None,
    ]  # fmt: skip
    assert [each.key for each in done] == [each.key for each in records]
    assert done[0].uids == records[0].uids


def named(frame: FrameRecord, *names: int) -> FrameRecord:
    """Return a frame whose people have ids already."""
    assert frame.instances is not None
    people = replace(frame.instances, track_ids=np.array(names, np.int64))
    return replace(frame, instances=people, exact=True)


def ids_of(*records: FrameRecord) -> list[list[int]]:
    done = with_track_ids(records, SIGMAS)
    return [
        [] if each.instances is None else np.asarray(each.instances.track_ids).tolist()
        for each in done
    ]


def test_ids_that_are_there_stay_and_are_gone_on_with() -> None:
    frames = [
        named(record("a.mp4", 0, 100, 300), 7, 2),
        record("a.mp4", 1, 301, 101),
        named(record("a.mp4", 2, 102, 302, 500), 7, 2, 9),
        record("b.mp4", 0, 100),
        record("b.mp4", 1, 100, 300),
    ]
    assert ids_of(*frames) == [[7, 2], [2, 7], [7, 2, 9], [1], [1, 3]]


def test_ids_that_come_later_neither_collide_nor_split() -> None:
    frames = [
        record("a.mp4", 0, 100, 300),
        named(record("a.mp4", 1, 101, 301), 2, 1),  # the other way round
        record("a.mp4", 2, 302, 102),
        named(record("a.mp4", 3, 303, 103, 500), 1, 2, 3),
    ]
    assert ids_of(*frames) == [[1, 2], [1, 2], [2, 1], [2, 1, 3]]


def test_a_number_is_one_person_of_one_video() -> None:
    frames = [named(record(video, 0, 100, 300), 1, 2) for video in ("a.mp4", "b.mp4")]
    assert ids_of(*frames) == [[1, 2], [3, 4]]
    strange = named(record("a.mp4", 0, 100, 300, 500, 700), 5, 5, -1, -1)
    (ids,) = ids_of(strange)
    assert ids[0] == 5
    assert len(set(ids)) == 4
    assert ids_of(strange, replace(strange, key=FrameKey("a.mp4", 1), exact=True)) == [ids, ids]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_sources=st.integers(1, 3))
def test_whatever_sources_call_people_everybody_has_one_id(seed: int, num_sources: int) -> None:
    random = Random(seed)
    people_of = list(range(random.randint(1, 4)))
    names = [random.sample(range(1, 9), len(people_of)) for _ in range(num_sources)]
    identities = Identities(SIGMAS)
    found: dict[int, set[int]] = defaultdict(set)
    for index in range(12):
        here = random.sample(people_of, len(people_of))
        frame = record("a.mp4", index, *(200 * person + index for person in here))
        source = random.randrange(num_sources)
        if random.random() < 0.7:
            frame = named(frame, *(names[source][person] for person in here))
        done = identities.given_to(frame, source).instances
        assert done is not None
        for person, identity in zip(here, np.asarray(done.track_ids).tolist(), strict=True):
            found[person].add(identity)
    assert all(len(ids) == 1 for ids in found.values())
    assert len(set.union(*found.values())) == len(people_of)


def test_sources_are_compared_where_both_have_a_frame() -> None:
    """Who comes back after both sources were compared has the id that either source gives."""
    identities = Identities(SIGMAS)
    first = named(record("a.mp4", 0, 100, 300), 1, 2)
    second = named(record("a.mp4", 0, 300, 100), 1, 2)
    here = identities.given_to(first, 0).instances
    assert here is not None
    assert second.instances is not None
    identities.compare(here, second.instances, 1)
    much_later = named(record("a.mp4", 900, 20, 150), 1, 2)
    done = identities.given_to(much_later, 1).instances
    assert done is not None
    assert np.asarray(done.track_ids).tolist() == [2, 1]


def test_of_sources_that_share_no_frame_the_first_is_believed() -> None:
    """One confuses two people after some frames; both have every other frame."""
    for right in (0, 1):
        identities = Identities(SIGMAS)
        found = []
        for index in range(12):
            names = (1, 2) if index < 5 or index % 2 == right else (2, 1)
            frame = named(record("a.mp4", index, 100 + index, 400 + index), *names)
            done = identities.given_to(frame, index % 2).instances
            assert done is not None
            found.append(np.asarray(done.track_ids).tolist())
        # Whoever is first: from its frame on, nobody goes to and fro.
        confused = [[1, 2]] * 6 + [[2, 1]] * 6
        assert found == ([[1, 2]] * 12 if right == 0 else confused)


def test_a_frame_takes_no_longer_where_many_were_met_before() -> None:
    identities = Identities(SIGMAS)

    def seconds(first: int, last: int) -> float:
        began = process_time()
        for index in range(first, last):
            identities.given_to(named(record("a.mp4", index, 100), index + 1))
        return process_time() - began

    early = seconds(0, 500)
    seconds(500, 20_000)
    assert seconds(20_000, 20_500) < 3 * early


def test_a_later_source_keeps_people_apart_who_cross() -> None:
    """Both name people rightly; in the middle, who is who cannot be seen."""
    identities = Identities(SIGMAS)
    found = []
    for index in range(40):
        frame = named(record("a.mp4", index, 100 + 10 * index, 500 - 10 * index), 1, 2)
        done = identities.given_to(frame, index % 2).instances
        assert done is not None
        found.append(np.asarray(done.track_ids).tolist())
    assert found == [[1, 2]] * 40
