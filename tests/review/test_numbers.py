"""What is followed anew after an edit."""

from __future__ import annotations

import time
from pathlib import Path

from identity_cases import placed
from review_cases import SIZE_WH, VIDEO, make_manifest

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.review.numbers import RunNumbers


def test_an_edit_of_a_photo_leaves_the_numbers_of_videos_behind_it(tmp_path: Path) -> None:
    photo, last = FrameKey("a.jpg"), FrameKey(VIDEO, 599)
    with Run.open(tmp_path / "run", make_manifest(tmp_path)) as run:
        run.append(FrameRecord(photo, SIZE_WH, instances=placed(), model="m1"))
        run.append(
            *(
                FrameRecord(FrameKey(VIDEO, index), SIZE_WH, index / 25, placed(), model="m1")
                for index in range(last.index + 1)
            )
        )
    with Run.edit(tmp_path / "run") as run:
        sigmas = KeypointSet.from_category(run.manifest.keypoint_set).sigmas
        numbers = RunNumbers(run, sigmas)

        def taken_s() -> float:
            begun = time.process_time()
            while (found := numbers.of(last)) is None:
                pass
            assert found.people == [1, 2]
            return time.process_time() - begun

        followed_s = taken_s()
        numbers.changed(photo)
        assert taken_s() < followed_s / 4
        numbers.changed(FrameKey(VIDEO, 0))
        assert taken_s() > followed_s / 4
        numbers.all_changed()
        assert taken_s() > followed_s / 4
