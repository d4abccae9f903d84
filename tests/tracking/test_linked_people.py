"""Detection on a few frames of a video: who is in the others, and that nothing leaks into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from runs import save_weights, vitpose
from video_cases import write_video

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.models.batching import BatchLimit
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.device_engine import DeviceEngine
from vitpose_cli.models.estimator import CropBatch, EstimatorOptions, PoseEstimator
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.keypoint_threshold import at_threshold
from vitpose_cli.records.record import FrameRecord

NEVER = 100.0
"""No keypoint scores so much, also of random weights."""

People = Callable[[int], list[tuple[float, float, float, float]]]
"""Who is in a frame, by its index."""


class Scene:
    """A detector by arithmetic. It remembers where it was asked, and chokes on some frames."""

    def __init__(self, people: People, bad: Sequence[int] = ()) -> None:
        self._people = people
        self._bad = bad
        self.asked: list[int] = []

    def boxes(self, index: int) -> NDArray[np.float32]:
        return np.array(self._people(index), np.float32).reshape(-1, 4)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        indexes = [frame.key.index for frame in frames]
        if set(indexes) & set(self._bad):
            raise ValueError("this picture is too strange")
        self.asked += indexes
        found = [self.boxes(index) for index in indexes]
        return [
            Detections(boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32))
            for boxes in found
        ]


def walker(left: float, speed: float = 0.5) -> People:
    return lambda index: [(left + speed * index, 10, left + speed * index + 20, 60)]


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> PoseEstimator:
    path = save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")
    options = EstimatorOptions(torch.device("cpu"), flip_test=False, keypoint_threshold=0.05)
    return PoseEstimator(load_model(path), options)


def frames_of_noise(count: int, times_s: Sequence[float] | None = None) -> list[Frame]:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (80, 160, 3), np.uint8)
    times_s = times_s or [index / 25 for index in range(count)]
    return [
        Frame(FrameKey("clip.mp4", index), np.roll(image, index, axis=1), times_s[index])
        for index in range(count)
    ]


def found(record: FrameRecord) -> NDArray[np.float32]:
    """Return the boxes of a record, from left to right."""
    assert record.instances is not None
    boxes = record.instances.boxes
    return boxes[np.argsort(boxes[:, 0])]


def label(
    scene: Scene, estimator: PoseEstimator, every: int, count: int = CHUNK_FRAMES
) -> list[FrameRecord]:
    labeler = Labeler(scene, estimator, detect_every=every)
    return list(labeler.label(frames_of_noise(count)))


@pytest.mark.parametrize(("every", "num_detected"), [(1, 32), (2, 17), (5, 8), (31, 2), (500, 2)])
def test_boxes_between_lie_on_a_line(
    estimator: PoseEstimator, every: int, num_detected: int
) -> None:
    scene = Scene(walker(5))
    records = label(scene, estimator, every)
    assert len(scene.asked) == num_detected
    assert {0, CHUNK_FRAMES - 1} <= set(scene.asked)
    assert np.diff(sorted(scene.asked)).max() <= every
    for record in records:  # px; records have two decimals
        np.testing.assert_allclose(found(record), scene.boxes(record.key.index), atol=0.011)


def test_boxes_between_follow_the_clock(estimator: PoseEstimator) -> None:
    times_s = [0.0, 0.1, 0.9, 1.0]
    scene = Scene(lambda index: walker(5, speed=10)(times_s[index]))  # type: ignore[arg-type]
    labeler = Labeler(scene, estimator, detect_every=10)
    for record, time_s in zip(labeler.label(frames_of_noise(4, times_s)), times_s, strict=True):
        assert found(record)[0, 0] == pytest.approx(5 + 10 * time_s, abs=0.011)
    assert sorted(scene.asked) == [0, 3]


def test_whoever_comes_and_goes_is_there_in_just_these_frames(estimator: PoseEstimator) -> None:
    def people(index: int) -> list[tuple[float, float, float, float]]:
        return walker(5)(index) + (walker(100)(index) if 13 <= index < 22 else [])

    scene = Scene(people)
    records = label(scene, estimator, every=8)
    assert [len(found(record)) for record in records] == [
        len(people(index)) for index in range(CHUNK_FRAMES)
    ]
    assert {12, 13, 21, 22} <= set(scene.asked)
    assert len(scene.asked) <= 11  # 5 at first, and 3 for each of the two


def test_boxes_do_not_lead_over_a_cut(estimator: PoseEstimator) -> None:
    def people(index: int) -> list[tuple[float, float, float, float]]:
        return walker(5)(index) if index < 14 else [(5.0, 10.0, 63.0, 60.0)]

    scene = Scene(people)
    for record in label(scene, estimator, every=8):  # px; records have two decimals
        np.testing.assert_allclose(found(record), scene.boxes(record.key.index), atol=0.011)


def test_which_keypoints_are_labelled_moves_no_box(
    estimator: PoseEstimator, tmp_path: Path
) -> None:
    def people(index: int) -> list[tuple[float, float, float, float]]:
        return walker(5)(index) if index < 14 else [(5.0, 10.0, 63.0, 60.0)]

    weights = save_weights(tmp_path / "weights.safetensors")
    options = replace(estimator.options, keypoint_threshold=NEVER)
    strict = PoseEstimator(load_model(weights), options)
    for usual, sparse in zip(
        label(Scene(people), estimator, 8), label(Scene(people), strict, 8), strict=True
    ):
        assert usual.version != sparse.version
        assert at_threshold(usual, NEVER).version == sparse.version


def test_nobody_there_is_nobody(estimator: PoseEstimator) -> None:
    scene = Scene(lambda _: [])
    assert [len(found(record)) for record in label(scene, estimator, 10)] == [0] * CHUNK_FRAMES
    assert len(scene.asked) == 5


@pytest.mark.parametrize("bad", [[0], [31], [8, 16], [0, 1, 2], list(range(31))])
def test_frames_on_which_the_detector_chokes_cost_only_themselves(
    estimator: PoseEstimator, bad: list[int]
) -> None:
    scene = Scene(walker(5), bad)
    for record in label(scene, estimator, every=8):
        if record.key.index in scene.asked or record.error is None:
            np.testing.assert_allclose(found(record), scene.boxes(record.key.index), atol=0.011)
        else:
            assert record.key.index in bad
            assert "too strange" in record.error


def test_a_frame_that_cannot_be_cut_costs_only_itself(
    estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = frames_of_noise(20)
    cut = estimator.cut

    def fragile(some: Sequence[Frame], found: Sequence[Detections]) -> CropBatch:
        if any(frame is frames[6] for frame in some):
            raise RuntimeError("no memory for this one")
        return cut(some, found)

    monkeypatch.setattr(estimator, "cut", fragile)
    records = list(Labeler(Scene(walker(5)), estimator, detect_every=5).label(frames))
    assert [record.key.index for record in records if record.error] == [6]


def test_frames_that_cannot_be_read_have_their_place(estimator: PoseEstimator) -> None:
    frames: list[Frame | FrameFailure] = [*frames_of_noise(20)]
    frames[3] = FrameFailure(FrameKey("clip.mp4", 3), "The picture is damaged.")
    records = list(Labeler(Scene(walker(5)), estimator, detect_every=5).label(frames))
    assert [record.key.index for record in records if record.error] == [3]
    for record in records[4:]:
        np.testing.assert_allclose(found(record), Scene(walker(5)).boxes(record.key.index), atol=1)


@pytest.mark.parametrize("count", [1, 2, 3, CHUNK_FRAMES + 1])
def test_short_stretches(estimator: PoseEstimator, count: int) -> None:
    records = label(Scene(walker(5)), estimator, every=10, count=count)
    assert [len(found(record)) for record in records] == [1] * count


def test_photos_are_always_detected(estimator: PoseEstimator) -> None:
    photos = [
        Frame(FrameKey(f"{n}.jpg"), frame.image) for n, frame in enumerate(frames_of_noise(9))
    ]
    scene = Scene(walker(5))
    assert len(list(Labeler(scene, estimator, detect_every=5).label(photos))) == 9
    assert len(scene.asked) == 9


def test_a_chunk_depends_on_itself_alone(estimator: PoseEstimator) -> None:
    frames = frames_of_noise(2 * CHUNK_FRAMES + 5)
    labeler = Labeler(Scene(walker(5)), estimator, detect_every=7)
    whole = [record.to_json() for record in labeler.label(frames)]
    for start in (CHUNK_FRAMES, 2 * CHUNK_FRAMES):
        assert [record.to_json() for record in labeler.label(frames[start:])] == whole[start:]


def test_queued_as_on_a_gpu_it_finds_the_same(tmp_path: Path, estimator: PoseEstimator) -> None:
    model = load_model(save_weights(tmp_path / "weights.safetensors"))
    engine = DeviceEngine(
        PoseNetwork(model, device=torch.device("cpu"), flip_test=False), BatchLimit(16, "cpu")
    )
    queued = PoseEstimator(model, estimator.options, engine)
    frames = frames_of_noise(CHUNK_FRAMES + 9)
    ways = [Labeler(Scene(walker(5)), each, detect_every=7) for each in (queued, estimator)]
    for ours, theirs in zip(*(way.label(frames) for way in ways), strict=True):
        # px; boxes rest on poses only where people are linked
        np.testing.assert_allclose(found(ours), found(theirs), atol=0.011)


def test_a_run_taken_up_again_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", num=75)
    weights = save_weights(tmp_path / "weights.safetensors")
    labeler = LabelerOptions(
        str(weights), detector="whole-image", device="cpu", flip_test=False, detect_every=6
    )

    def run(name: str) -> Path:
        options = AnnotateOptions((str(source),), tmp_path / name, labeler)
        annotate(options, report=lambda *_: None, say=lambda _: None)
        return tmp_path / name

    whole = (run("whole") / "annotations.json").read_bytes()
    journal = (tmp_path / "whole" / "journal-1-of-1.jsonl").read_bytes()
    lines = journal.splitlines(keepends=True)
    for kept in (3, 33, 64, 70):
        again = tmp_path / f"again-{kept}"
        again.mkdir()
        (again / "manifest.json").write_bytes((tmp_path / "whole" / "manifest.json").read_bytes())
        torn = b"".join(lines[:kept]) + lines[kept][:20]
        (again / "journal-1-of-1.jsonl").write_bytes(torn)
        assert (run(again.name) / "annotations.json").read_bytes() == whole


def test_the_command_remembers_it(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", num=12)
    weights = save_weights(tmp_path / "weights.safetensors")
    command = ["annotate", str(source), "-w", str(weights), "--detector", "whole-image"]
    command += ["--device", "cpu", "--every", "2", "-o", str(tmp_path / "run")]
    done = vitpose(*command, "--detect-every", "5")
    assert done.returncode == 0, done.stderr
    other = vitpose(*command)
    assert other.returncode == 2
    assert "detect-every: was 5, now not given" in other.stderr
    assert vitpose(*command, "--detect-every", "0").returncode == 2
