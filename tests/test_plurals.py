"""Numbers of things, in words: what is said of one, and of several."""

from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.evaluate.photo_batches import FailedPhoto
from vitpose_cli.plurals import counted, people


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
