"""The stream from frames to records, without files or processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import save_weights

from vitpose_cli.errors import WeightsError
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.detectors import WholeImage
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator
from vitpose_cli.pose.instances import Detections


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> PoseEstimator:
    weights = save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")
    options = EstimatorOptions(torch.device("cpu"), flip_test=False)
    return PoseEstimator(load_model(weights), options)


class Chosen:
    """Says which frames were looked at together, and fails on some."""

    def __init__(self, bad: frozenset[FrameKey] = frozenset()) -> None:
        self.calls: list[list[FrameKey]] = []
        self._bad = bad

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls.append([frame.key for frame in frames])
        if self._bad.intersection(self.calls[-1]):
            raise RuntimeError("no memory for this one")
        return WholeImage().detect(frames)


def frames_of(keys: Sequence[FrameKey]) -> list[Frame]:
    generator = np.random.default_rng(0)
    return [Frame(key, generator.integers(0, 255, (24, 32, 3), np.uint8)) for key in keys]


def test_no_chunk_spans_two_videos_or_photos_and_a_video(estimator: PoseEstimator) -> None:
    keys = [FrameKey(f"{number}.jpg") for number in range(3)]
    keys += [FrameKey("a.mp4", index) for index in range(CHUNK_FRAMES + 2)]
    keys += [FrameKey("b.mp4", index) for index in range(2)]
    detector = Chosen()
    records = list(Labeler(detector, estimator).label(frames_of(keys)))
    assert [record.key for record in records] == keys
    assert all(len({key.video for key in call}) == 1 for call in detector.calls)
    whole_chunks = [call[0].index for call in detector.calls if call[0].media == "a.mp4"]
    assert CHUNK_FRAMES in whole_chunks


def test_a_frame_on_which_the_detector_fails_costs_only_itself(estimator: PoseEstimator) -> None:
    keys = [FrameKey(f"{number}.jpg") for number in range(10)]
    labeler = Labeler(Chosen(frozenset({keys[4]})), estimator)
    records = list(labeler.label(frames_of(keys)))
    assert [record.key for record in records if record.error] == [keys[4]]
    assert "no memory for this one" in str(records[4].error)


def test_failures_come_out_in_their_place(estimator: PoseEstimator) -> None:
    keys = [FrameKey(f"{number}.jpg") for number in range(3)]
    first, second, third = frames_of(keys)
    records = list(
        Labeler(Chosen(), estimator).label([first, FrameFailure(second.key, "torn"), third])
    )
    assert [record.error for record in records] == [None, "torn", None]


def test_a_network_that_answers_with_no_numbers_ends_the_run(tmp_path: Path) -> None:
    model = load_model(save_weights(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.fill_(torch.nan)
    broken = PoseEstimator(model, EstimatorOptions(torch.device("cpu"), flip_test=False))
    with pytest.raises(WeightsError, match="no numbers"):
        list(Labeler(WholeImage(), broken).label(frames_of([FrameKey("a.jpg")])))
