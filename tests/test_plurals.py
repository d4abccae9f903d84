"""Numbers of things, in words: what is said of one, and of several."""

import pytest

from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.evaluate.photo_batches import FailedPhoto
from vitpose_cli.plurals import counted, people, time_taken, whole_minutes


def test_one_is_not_said_as_many() -> None:
    assert counted(1, "photo") == "1 photo"
    assert counted(0, "photo") == "0 photos"
    assert counted(1234, "photo was", "photos were") == "1,234 photos were"
    assert (people(1), people(2)) == ("1 person", "2 people")


def test_one_photo_was_measured() -> None:
    failures = (FailedPhoto("a.jpg", "damaged"),)
    one = Evaluation({}, (), num_images=1, num_people=1, num_predicted=1, failures=failures)
    said = "1 predicted person, 1 person with keypoints in 1 photo, 1 photo failed."
    assert one.counts_sentence() == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "1 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_what_is_left_is_said_as_people_do(seconds: float, words: str) -> None:
    assert whole_minutes(seconds) == words


def test_what_took_days_is_not_said_in_seconds() -> None:
    assert [time_taken(each) for each in (2.54, 599, 601, 273_600)] == [
        "2.5 s", "599.0 s", "10 min", "3 d 4 h",
    ]  # fmt: skip
