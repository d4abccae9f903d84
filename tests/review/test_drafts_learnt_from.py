"""What training makes of frames that somebody began to correct on the page."""

from pathlib import Path
from typing import Any

import numpy as np
from review_cases import SIZE_WH, make_manifest, make_people, make_photo, running

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.people import People
from vitpose_cli.training.sources import open_data_source

NAMES = ("begun.jpg", "done.jpg", "left.jpg")
BY_HAND = 3
"""The keypoint that a person moves."""


def run_of(folder: Path, **fields: Any) -> Path:
    """Return a run of three photos of two people each, who are a model's labels or a person's."""
    with Run.open(folder / "run", make_manifest(folder / "photos")) as run:
        for number, name in enumerate(NAMES):
            make_photo(folder / "photos" / name)
            people = make_people(2, number)
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=people, **fields))
        run.export()
    return folder / "run"


def move_a_keypoint(run: Path) -> None:
    """Move a keypoint of one person in two photos, and say of one that it is right so."""
    with running(run) as server:
        for name, state in zip(NAMES, ("draft", "fixed"), strict=False):
            people = server.frame(name)["people"]
            x, y, *_ = people[0]["keypoints"][BY_HAND]
            people[0]["keypoints"][BY_HAND] = [x + 5, y, 2, 1.0]  # as the page has it
            assert server.save(name, state, people).status == 200


def learnt(run: Path, **options: Any) -> People:
    source = {"kind": "coco", "annotations": run / "annotations.json"}
    source |= {"images": run.parent / "photos", "model_weight": 0.5} | options
    return open_data_source(CocoSource.model_validate(source)).frames.people


def test_a_draft_is_worth_what_the_networks_labels_are(tmp_path: Path) -> None:
    run = run_of(tmp_path, model="0123456789abcdef")
    move_a_keypoint(run)
    people = learnt(run, min_score=0.5)
    scores = np.concatenate([make_people(2, number).keypoint_scores for number in (0, 2)])
    scores[0, BY_HAND] = 1
    expected = np.where(scores >= 0.5, 0.5 * scores, 0)
    expected[:, 0] = 0  # nobody's first keypoint is labelled
    np.testing.assert_allclose(people.weights[[0, 1, 4, 5]], expected, atol=1e-4)
    assert (people.weights[2:4, 1:] == 1).all()
    assert len(learnt(run, include="reviewed")) == len(learnt(run, include="human")) == 2


def test_a_draft_of_a_persons_labels_is_a_persons(tmp_path: Path) -> None:
    run = run_of(tmp_path, by_hand=True)
    move_a_keypoint(run)
    assert (learnt(run).weights[:, 1:] == 1).all()
