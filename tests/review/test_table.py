from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.review.table import FrameSummary, FrameTable, Query, summaries

KEYS = [FrameKey("b.jpg"), FrameKey("a/x.jpg"), FrameKey("c.mp4", 0), FrameKey("c.mp4", 7)]


def make_table() -> FrameTable:
    table = FrameTable(2)
    table.add([key.text for key in KEYS], {KEYS[1].text})
    table.update(0, FrameSummary("todo", 1, 0.9, np.array([0.2, 0.9], np.float32)))
    table.update(2, FrameSummary("fixed", 2, 0.4, np.array([0.8, 0.3], np.float32)))
    return table


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (Query(), [1, 0, 2, 3]),
        (Query(order="name"), [1, 0, 2, 3]),
        (Query(order="score"), [2, 0, 1, 3]),  # those not yet counted come last
        (Query(order="score", keypoint=0), [0, 2, 1, 3]),
        (Query(states=frozenset({"todo"})), [0, 3]),
        (Query(states=frozenset({"failed", "fixed"})), [1, 2]),
        (Query(media="c.mp4"), [2, 3]),
        (Query(media="d.mp4"), []),
        (Query(max_score=0.5), [2]),
        (Query(max_score=0.4), []),
        (Query(max_score=0.5, keypoint=0), [0]),
        (Query(text="X"), [1]),
        (Query(text="frame_000007"), [3]),
        (Query(queued=True), [3, 0]),
        (Query(queued=True, order="name"), [0, 3]),
        (Query(queued=True, max_score=1.0), [0]),
    ],
)
def test_filters_and_orders(query: Query, wanted: list[int]) -> None:
    table = make_table()
    assert table.set_queue(["c.mp4/frame_000007.jpg", "none.jpg", "b.jpg"]) == 2
    assert table.select(query).tolist() == wanted


def test_a_queue_names_frames_in_any_form() -> None:
    table = make_table()
    table.add(["d/a.jpg"], ())
    assert table.set_queue(["d\\a.jpg", "c.mp4\\frame_000007.jpg"]) == 2
    assert table.select(Query(queued=True)).tolist() == [4, 3]


def test_new_frames_get_numbers_at_the_end() -> None:
    table = make_table()
    table.add([KEYS[0].text, "a/a.jpg", FrameKey("c.mp4", 3).text], ())
    assert len(table) == 6
    assert table.number(FrameKey("a/a.jpg")) == 4
    assert table.previous(1) == 4
    assert table.previous(3) == 5
    assert table.previous(5) == 2
    assert table.previous(0) is None
    assert [table.is_summarised(number) for number in range(len(table))].count(True) == 2
    assert table.counts(queued=False)["todo"] == 4
    assert table.states(np.array([0, 1, 2])) == "053"
    assert table.select(Query()).tolist() == [1, 0, 2, 3, 4, 5]
    table.list_by_name()
    assert table.select(Query()).tolist() == [4, 1, 0, 2, 5, 3]


def test_frames_of_one_score_stay_in_the_order_of_the_list() -> None:
    names = [f"{number:03d}.jpg" for number in range(100)]
    table = FrameTable(2)
    table.add(names, ())
    for number in range(100):
        worst = 0.5 if number == 70 else 1.0
        table.update(number, FrameSummary("fixed", 1, worst, np.ones(2, np.float32)))
    others = [number for number in range(100) if number != 70]
    assert table.select(Query(order="score")).tolist() == [70, *others]


@pytest.mark.parametrize("num_new", [1, 60])
def test_frames_are_in_the_order_in_which_they_are_labelled(num_new: int) -> None:
    names = [f"img{number}.jpg" for number in range(1, 101)]
    texts = [*names, "v10.mp4\0" + f"{3:018d}", "v9.mp4\0" + f"{12:018d}", "z.jpg"]
    table = FrameTable(2)
    table.add(sorted(texts)[num_new:], ())
    table.add(sorted(texts)[:num_new], ())
    table.list_by_name()
    wanted = [*names, "z.jpg", "v9.mp4/frame_000012.jpg", "v10.mp4/frame_000003.jpg"]
    for query in (Query(), Query(order="name")):
        assert [str(table.key(number)) for number in table.select(query)] == wanted
    for before, name in pairwise(names):
        assert table.previous(table.number(FrameKey(name))) == table.number(FrameKey(before))
    assert table.previous(table.number(FrameKey("v9.mp4", 12))) is None


def test_a_row_says_what_is_not_known_yet() -> None:
    table = make_table()
    assert table.row(2) == {
        "number": 2,
        "name": "c.mp4/frame_000000.jpg",
        "state": "fixed",
        "num_people": 2,
        "score": 0.4,
    }
    assert table.row(3)["num_people"] is None
    assert table.row(3)["score"] is None


def test_summaries_take_the_lowest_of_each_frame() -> None:
    whole: dict[str, Any] = {
        "index": -1,
        "error": None,
        "box_scores": [1.0, 0.5],
        "boxes": [[0] * 4] * 2,
    }
    records: list[dict[str, Any]] = [
        {"media": "a", **whole, "keypoint_scores": [[0.8, 0.6], [0.1, 0.9]]},
        {"media": "empty", "index": 3, "error": None, "boxes": [], "keypoint_scores": []},
        {"media": "bad", "index": -1, "error": "damaged"},
        {"media": "b", **whole, "keypoint_scores": [[0.4, 0.4], [0.9, 0.9]]},
    ]
    records[3]["review"] = {"state": "accepted"}
    for state in ("draft", "rejected"):  # undone, and not
        bad = {**records[2], "media": state, "review": {"state": state}}
        records.append(bad)
    found = dict(summaries(records, 2))
    first = found[FrameKey("a")]
    assert (first.state, first.num_people) == ("todo", 2)
    assert first.score == pytest.approx(0.45)  # 0.5 x 0.9: what scores 0.2 or less does not count
    assert first.keypoint_scores.tolist() == pytest.approx([0.1, 0.6])
    assert (found[FrameKey("empty", 3)].num_people, found[FrameKey("empty", 3)].score) == (0, 1.0)
    assert found[FrameKey("bad")].state == found[FrameKey("draft")].state == "failed"
    assert found[FrameKey("rejected")].state == "rejected"
    assert found[FrameKey("b")].state == "accepted"
    assert found[FrameKey("b")].score == pytest.approx(0.4)
