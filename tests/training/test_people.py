import numpy as np
import pytest
from training_cases import some_people

from vitpose_cli.training.people import EndlessOrder, People


def test_an_epoch_shows_everybody_as_often_as_said() -> None:
    order = EndlessOrder(np.array([1, 2, 0, 1.5, 0.5], np.float32), (7,))
    assert order.epoch_length == 1 + 2 + 1 + 1
    counts = np.zeros(5)
    for epoch in range(400):
        rows = order.rows(epoch * 5, 5)
        counts += np.bincount(rows, minlength=5)
        assert set(rows) >= {0, 1, 3}
    # One of the two fractions is drawn each time: 200 ± 4 sigma of a fair coin.
    assert counts[:3].tolist() == [400, 800, 0]
    assert counts[3] == pytest.approx(600, abs=40)


def test_rows_are_a_function_of_the_position() -> None:
    repeats = np.array([1, 1, 2.3, 1, 0.7], np.float32)
    forward = EndlessOrder(repeats, (1, 2))
    whole = forward.rows(0, 42)
    assert (forward.rows(13, 9) == whole[13:22]).all()
    assert (EndlessOrder(repeats, (1, 2)).rows(31, 5) == whole[31:36]).all()
    assert (EndlessOrder(repeats, (1, 3)).rows(0, 42) != whole).any()
    epochs = whole.reshape(-1, 6)[:2]
    assert sorted(epochs[0]) != epochs[0].tolist()
    assert (epochs[0] != epochs[1]).any()


def test_fractions_of_several_sources_are_each_as_said() -> None:
    parts = ((100, 0.9), (1000, 0.3), (200, 0.1), (50, 2.25))
    repeats = np.concatenate([np.full(count, share, np.float32) for count, share in parts])
    order = EndlessOrder(repeats, (3,))
    rows = order.rows(0, round(100 * order.epoch_length))
    shown = np.bincount(rows, minlength=len(repeats)) / 100
    ends = np.cumsum([count for count, _ in parts])
    for (count, share), end in zip(parts, ends, strict=True):
        assert shown[end - count : end].mean() == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize("people", [4, 6, 17])
@pytest.mark.parametrize("others", [0, 3])
def test_a_small_repeat_is_rare_and_not_never(people: int, others: int) -> None:
    repeats = np.array([0.1] * people + [1] * others, np.float32)
    order = EndlessOrder(repeats, (3,))
    total = round(1000 * order.epoch_length)
    assert total == 100 * people + 1000 * others
    rows = order.rows(0, total)
    counts = np.bincount(rows, minlength=people + others)
    assert counts[:people].sum() == pytest.approx(100 * people, abs=1)
    assert counts[:people] == pytest.approx(100, abs=45)  # 4 to 5 sigma of a hundred
    assert counts[people:] == pytest.approx(1000, abs=1)
    # Whoever begins in the middle, as a run that goes on, meets the same people.
    for start in (0, 1, 7, total // 3, total - 9):
        assert (EndlessOrder(repeats, (3,)).rows(start, 9) == rows[start : start + 9]).all()


def test_people_are_selected_and_joined() -> None:
    people, _ = some_people(4)
    some = people.select([3, 1])
    assert some.images.tolist() == [3, 1]
    joined = People.joined([some, people])
    assert len(joined) == 6
    assert (joined.keypoints[2:] == people.keypoints).all()
    assert joined.keypoint_set == people.keypoint_set
