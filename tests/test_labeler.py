"""The stream from frames to records: order, chunks, failures, and both ways to run the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import EXAMPLES, save_weights

from vitpose_cli.errors import WeightsError
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.models.batching import BatchLimit
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.device_engine import DeviceEngine
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.record import FrameRecord

CPU = torch.device("cpu")
OPTIONS = EstimatorOptions(CPU, batch_size=8, flip_test=False, keypoint_threshold=0.05)


class EveryThird:
    """A detector by arithmetic: 0, 1 or 2 boxes; it chokes on frames called bad."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        if any("bad" in frame.key.media for frame in frames):
            raise ValueError("this picture is too strange")
        return [self._boxes(frame) for frame in frames]

    def _boxes(self, frame: Frame) -> Detections:
        count = int(frame.image[0, 0, 0]) % 3
        boxes = np.array([[5, 5, 40, 60], [30, 10, 70, 70]], np.float32)[:count]
        return Detections(boxes, np.full(count, 0.9, np.float32))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture(scope="module")
def estimator(weights: Path) -> PoseEstimator:
    return PoseEstimator(load_model(weights), OPTIONS)


def frames_of_noise(count: int) -> list[Frame]:
    random = np.random.default_rng(0)
    return [
        Frame(FrameKey(f"{number}.jpg"), random.integers(0, 256, (80, 90, 3), np.uint8))
        for number in range(count)
    ]


def frames_of_photo(count: int) -> list[Frame]:
    with Image.open(EXAMPLES / "astronaut.jpg") as whole:
        frames = []
        for number in range(count):
            left = number % (whole.width - 440)
            part = whole.resize((90, 80), box=(left, 0, left + 440, whole.height))
            image = np.array(part)
            image[0, 0, 0] = number
            frames.append(Frame(FrameKey(f"{number}.jpg"), image))
    return frames


def test_a_stream_taken_up_at_a_chunk_gives_the_same_bits(estimator: PoseEstimator) -> None:
    frames = frames_of_noise(2 * CHUNK_FRAMES + 5)
    labeler = Labeler(EveryThird(), estimator, "hash")
    whole = [record.to_json() for record in labeler.label(frames)]
    assert [FrameKey(f"{n}.jpg") for n in range(len(frames))] == [
        record.key for record in labeler.label(iter(frames))
    ]
    rest = [record.to_json() for record in labeler.label(frames[CHUNK_FRAMES:])]
    assert rest == whole[CHUNK_FRAMES:]


def test_a_picture_on_which_the_detector_chokes_costs_only_itself(
    estimator: PoseEstimator,
) -> None:
    frames: list[Frame | FrameFailure] = [*frames_of_noise(12)]
    expected = list(Labeler(EveryThird(), estimator).label(frames))
    good = frames[4]
    assert isinstance(good, Frame)
    frames[4] = Frame(FrameKey("bad.jpg"), good.image)
    frames.insert(7, FrameFailure(FrameKey("cut.jpg"), "The file is cut off."))
    seen: list[tuple[str, int]] = []

    def look(frame: Frame, record: FrameRecord) -> None:
        assert record.key == frame.key
        seen.append((frame.key.media, len(record.instances or ())))

    records = list(Labeler(EveryThird(), estimator, on_frame=look).label(frames))
    assert [record.key for record in records] == [frame.key for frame in frames]
    assert "too strange" in (records[4].error or "")
    assert records[7].error == "The file is cut off."
    for record, other in zip(records[:4] + records[5:7], expected[:4] + expected[5:7], strict=True):
        assert record.instances is not None
        assert other.instances is not None
        # px; with one frame less other crops share a batch
        np.testing.assert_allclose(record.instances.keypoints, other.instances.keypoints, atol=0.02)
    assert [media for media, _ in seen] == [
        frame.key.media for frame in frames if frame.key.media not in ("bad.jpg", "cut.jpg")
    ]
    assert {count for _, count in seen} == {0, 1, 2}


def test_failures_end_a_run_only_where_nothing_has_worked(estimator: PoseEstimator) -> None:
    good = frames_of_noise(40)
    bad = [Frame(FrameKey(f"bad {number}.jpg"), frame.image) for number, frame in enumerate(good)]
    with pytest.raises(WeightsError, match="failed on 32 pictures before anybody was found"):
        list(Labeler(EveryThird(), estimator).label(bad))
    trusting = Labeler(EveryThird(), estimator)
    trusting.trust()
    for labeler, frames in (
        (Labeler(EveryThird(), estimator), bad[:31]),
        (Labeler(EveryThird(), estimator), [*good, *bad]),
        (trusting, bad),
    ):
        records = list(labeler.label(frames))
        assert [bool(record.error) for record in records] == ["bad" in f.key.media for f in frames]


def test_queued_as_on_a_gpu_it_labels_alike(weights: Path, estimator: PoseEstimator) -> None:
    # Not of noise, where a grey level may move a flat peak by a cell.
    frames = frames_of_photo(CHUNK_FRAMES + 3)
    model = load_model(weights)
    engine = DeviceEngine(PoseNetwork(model, device=CPU, flip_test=False), BatchLimit(16, "cpu"))
    queued = Labeler(EveryThird(), PoseEstimator(model, OPTIONS, engine))
    plain = Labeler(EveryThird(), estimator)
    for ours, theirs in zip(queued.label(frames), plain.label(frames), strict=True):
        assert ours.key == theirs.key
        assert ours.instances is not None
        assert theirs.instances is not None
        # px; a grey level in some pixels
        np.testing.assert_allclose(ours.instances.keypoints, theirs.instances.keypoints, atol=0.05)
