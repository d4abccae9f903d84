"""What the page gets of a record, and of who is who."""

from __future__ import annotations

from vitpose_cli.records.sighting import Sighting
from vitpose_cli.review.numbers import Numbers
from vitpose_cli.review.view import identities_view
from vitpose_cli.tracking.sightings import Met


def test_who_is_here_is_offered_and_the_latest_hundred() -> None:
    met = Met(Sighting(0, (0.0, 0.0, 10.0, 20.0)), last_index=5)
    before = dict.fromkeys(range(4000, 0, -1), met)
    numbers = Numbers([7, 4001, 3999], before, lost=["a"], are_kept=False)
    view = identities_view(["a", "b", "c"], numbers)
    assert view["numbers"] == {"a": "7", "b": "4001", "c": "3999"}
    assert view["lost"] == ["a"]
    latest = [str(number) for number in range(4000, 3900, -1)]
    assert [each["number"] for each in view["before"]] == [*latest, "7"]
