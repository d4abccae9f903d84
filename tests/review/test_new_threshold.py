"""A run under review gets another keypoint threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from review_cases import SIZE_WH, edit, make_manifest, make_people
from runs import wait_until
from session_cases import opened

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.review.session import VersionConflictError


def test_a_run_is_shown_at_the_keypoint_threshold_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitpose_cli.review.run_table._REFRESH_S", 0.01)
    low, high = (
        replace(make_manifest(tmp_path), options={"keypoint-threshold": each}) for each in (0, 1)
    )
    with Run.open(tmp_path / "run", low) as run:
        run.append(FrameRecord(FrameKey("a.jpg"), SIZE_WH, instances=make_people(1, 0)))
        run.append(FrameRecord(FrameKey("b.jpg"), SIZE_WH, instances=make_people(1, 1)))

    def seen(number: int) -> set[int]:
        (person,) = session.frame(number)["people"]
        return {visibility for _, _, visibility, _ in person["keypoints"]}

    session = opened(tmp_path / "run")
    session.start()
    versions = [session.frame(number)["version"] for number in (0, 1)]
    assert seen(0) == seen(1) == {2}
    session.save(0, edit(versions[0], "accepted"))
    with Run.open(tmp_path / "run", high) as run:
        assert run.new_threshold is not None
    wait_until(lambda: seen(1) == {0})
    wait_until(lambda: session.progress()["num_label_changes"] == 1)  # pages look again
    assert seen(0) == {2}  # a person has decided about what was shown
    with pytest.raises(VersionConflictError):
        session.save(1, edit(versions[1], "accepted"))
    session.save(1, edit(session.frame(1)["version"], "accepted"))
    session.close()
    with Run.read(tmp_path / "run") as run:
        stored = [record.instances for record in run.records()]
    assert [{*people.visibility.ravel().tolist()} for people in stored if people] == [{2}, {0}]
