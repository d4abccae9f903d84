"""The pose network over many frames: both engines, memory that runs out, numbers in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accounted_memory import AccountedMemory
from launcher import Launcher
from numpy.typing import NDArray
from runs import save_weights
from torch.nn import functional
from warping import ALIKE, KEYPOINT_PX

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.batching import BatchLimit
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader, LoadedViTPose, load_model
from vitpose_cli.models.device_engine import DeviceEngine
from vitpose_cli.models.engine import Engine, HostEngine
from vitpose_cli.models.estimator import EstimatorOptions, PendingPeople, PoseEstimator
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.bones import implausibility
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.record import FrameRecord

CPU = torch.device("cpu")
COUNTS = (3, 0, 9, 1, 20, 0)  # people in each frame: 33 crops


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture
def network(weights: Path) -> PoseNetwork:
    return PoseNetwork(load_model(weights), device=CPU)


Work = tuple[list[NDArray[np.uint8]], list[Detections]]


def smooth_noise(random: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture whose edges are no sharper than those of photos."""
    coarse = torch.from_numpy(random.uniform(0, 255, (1, 3, shape[0] // 8, shape[1] // 8)))
    fine = functional.interpolate(coarse, shape[:2], mode="bilinear")
    return fine[0].permute(1, 2, 0).byte().numpy()


@pytest.fixture(scope="module")
def work() -> Work:
    """Return frames of several sizes, each person of another look, and their boxes."""
    random = np.random.default_rng(0)
    images, detections = [], []
    for number, count in enumerate(COUNTS):
        shape = (60 + 10 * number, 140 - 15 * number, 3)
        images.append(smooth_noise(random, shape))
        corners = random.uniform(0, 40, (count, 2))
        boxes = np.hstack([corners, corners + random.uniform(10, 40, (count, 2))])
        scores = random.uniform(0.5, 1, count)
        detections.append(Detections(boxes.astype(np.float32), scores.astype(np.float32)))
    return images, detections


def estimator(weights: Path, make: Callable[[PoseNetwork], Engine] | None = None) -> PoseEstimator:
    model = load_model(weights)
    engine = None if make is None else make(PoseNetwork(model, device=CPU))
    return PoseEstimator(model, EstimatorOptions(CPU, keypoint_threshold=0.05), engine)


def start(
    chosen: PoseEstimator, images: list[NDArray[np.uint8]], detections: list[Detections]
) -> PendingPeople:
    return chosen.start([chosen.cut(frames_of(images), detections)])


def frames_of(images: list[NDArray[np.uint8]], pixel_aspect: float = 1.0) -> list[Frame]:
    return [Frame(FrameKey("a.jpg"), image, pixel_aspect=pixel_aspect) for image in images]


def label(chosen: PoseEstimator, work: Work) -> list[Instances]:
    people = start(chosen, *work)
    return [people.of(number) for number in range(len(work[0]))]


def assert_alike(
    found: list[Instances], expected: list[Instances], atol: float, share: float = 1.0
) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("keypoints", "keypoint_scores"):
            off = np.abs(getattr(ours, name) - getattr(theirs, name))
            assert off.size == 0 or np.mean(off <= atol) >= share, off.max()
        assert ours.signals.keys() == theirs.signals.keys()
        assert ours.boxes.tolist() == theirs.boxes.tolist()


def test_people_whose_keypoints_score_too_low_are_dropped(weights: Path, work: Work) -> None:
    model = load_model(weights)
    everybody = EstimatorOptions(CPU, nms_threshold=1.0)
    means = label(PoseEstimator(model, everybody), work)[4].keypoint_scores.mean(axis=1)
    assert len(means) == COUNTS[4]
    threshold = float(np.median(means))
    likely = PoseEstimator(model, replace(everybody, pose_threshold=threshold))
    kept = label(likely, work)[4].keypoint_scores.mean(axis=1)
    assert kept.tolist() == means[means >= threshold].tolist()
    assert 0 < len(kept) < len(means)


def test_no_keypoint_of_a_network_scores_as_if_a_person_had_placed_it(
    weights: Path, work: Work
) -> None:
    model = load_model(weights)
    by_pair = [1.00004, 0.99996, 0.9999, 1.0001, 0.7, 1.08, 1.2, 0.3]  # the flip test takes means
    peaks = torch.tensor([1.0, *np.repeat(by_pair, 2)])
    with torch.no_grad():
        for name, values in model.heads.named_parameters():
            values.copy_(peaks if name.endswith("bias") else torch.zeros_like(values))
    people = label(PoseEstimator(model, EstimatorOptions(CPU)), work)[0]
    record = FrameRecord(FrameKey("a.jpg"), (140, 60), None, people)
    assert record.instances is not None
    scores = record.instances.keypoint_scores
    assert (scores[:, :5] == np.float32(0.9999)).all()
    np.testing.assert_allclose(scores[:, 5:], np.tile(peaks[5:], (3, 1)), atol=1e-4)


def test_every_person_gets_the_numbers_of_their_own_crop(weights: Path, work: Work) -> None:
    pooled = label(estimator(weights), work)
    assert [len(people) for people in pooled] == list(COUNTS)
    alone = estimator(weights)
    for number, (image, detections) in enumerate(zip(*work, strict=True)):
        by_box = [
            start(alone, [image], [detections.select([row])]).of(0) for row in range(COUNTS[number])
        ]
        by_box.sort(key=lambda people: -people.scores[0])
        for row, person in enumerate(by_box):
            # px; another batch size rounds differently
            np.testing.assert_allclose(
                pooled[number].keypoints[row], person.keypoints[0], atol=1e-3
            )


def test_a_head_is_shown_the_regions_it_was_trained_on(weights: Path, work: Work) -> None:
    images, detections = work
    model = load_model(weights)
    heads = {name: replace(head, region="square") for name, head in model.header.heads.items()}
    model.header = replace(model.header, heads=heads)
    cut = PoseEstimator(model, EstimatorOptions(CPU)).cut(frames_of(images), detections)
    sides = np.concatenate([each.boxes[:, 2:] - each.boxes[:, :2] for each in detections])
    expected = (1.25 * sides.max(axis=1)) ** 2
    np.testing.assert_allclose(cut.transforms.region_areas, expected, rtol=1e-6)


def test_bodies_are_judged_as_they_are_shown(weights: Path, work: Work) -> None:
    chosen = estimator(weights)
    squeezed = frames_of(work[0], pixel_aspect=2.0)
    people = chosen.start([chosen.cut(squeezed, work[1])])
    for number in np.flatnonzero(COUNTS).tolist():
        found = people.of(number)
        shown = found.keypoints * np.array([2.0, 1.0])
        np.testing.assert_array_equal(
            found.signals["implausibility"], implausibility(shown, chosen.keypoint_set)
        )


def test_people_may_be_asked_for_in_any_order(weights: Path, work: Work) -> None:
    expected = label(estimator(weights), work)
    people = start(estimator(weights), *work)
    assert_alike([people.of(n) for n in (4, 0, 2)], [expected[n] for n in (4, 0, 2)], atol=0)


def test_frames_cut_apart_are_pooled(weights: Path, work: Work) -> None:
    expected = label(estimator(weights), work)
    for make in (None, lambda network: DeviceEngine(network, BatchLimit(8, "cpu"))):
        chosen = estimator(weights, make)
        cuts = [chosen.cut(frames_of([image]), [found]) for image, found in zip(*work, strict=True)]
        people = chosen.start(cuts)
        # px; as for queued batches below
        assert_alike([people.of(n) for n in range(len(cuts))], expected, KEYPOINT_PX, ALIKE)


def test_no_frame_and_no_person(weights: Path, work: Work) -> None:
    for make in (None, lambda network: DeviceEngine(network, BatchLimit(16, "cpu"))):
        chosen = estimator(weights, make)
        start(chosen, [], [])
        assert len(start(chosen, work[0][:1], [Detections.empty()]).of(0)) == 0


@pytest.mark.parametrize("limit", [1, 8, 32, 128])
def test_queued_batches_give_what_plain_ones_give(weights: Path, work: Work, limit: int) -> None:
    expected = label(estimator(weights), work)
    queued = estimator(weights, lambda network: DeviceEngine(network, BatchLimit(limit, "cpu")))
    # px; the two warps differ by a grey level at most, at which random weights hardly move
    assert_alike(label(queued, work), expected, KEYPOINT_PX, ALIKE)


def test_padding_changes_no_row(network: PoseNetwork) -> None:
    crops = torch.randint(0, 256, (8, 128, 96, 3), dtype=torch.uint8)
    other = torch.cat([crops[:5], torch.randint(0, 256, (3, 128, 96, 3), dtype=torch.uint8)])
    assert torch.equal(network(crops)[:5], network(other)[:5])


@pytest.mark.parametrize("queued", [False, True], ids=["plain", "queued"])
def test_out_of_memory_it_goes_on_with_smaller_batches(
    weights: Path, work: Work, queued: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def make(network: PoseNetwork) -> Engine:
        limit = BatchLimit(32, "this device")
        return DeviceEngine(network, limit) if queued else HostEngine(network, limit)

    expected = label(estimator(weights, make), work)
    short = estimator(weights, make)
    with AccountedMemory(size=14_000_000):  # a crop takes 0.6 MB
        found = label(short, work)
    assert short.batch_size in (8, 16)
    assert_alike(
        found, expected, KEYPOINT_PX, ALIKE
    )  # queued crops may have been cut by either warp
    assert "no memory for 32 crops" in caplog.text


def test_when_not_one_crop_fits_it_says_what_to_do(weights: Path, work: Work) -> None:
    for make in (
        lambda network: HostEngine(network, BatchLimit(4, "cpu")),
        lambda network: DeviceEngine(network, BatchLimit(4, "cpu")),
    ):
        starved = estimator(weights, make)
        with (
            AccountedMemory(size=400_000),
            pytest.raises(InputError, match="One crop does not fit") as caught,
        ):
            start(starved, [work[0][3]], [work[1][3]]).of(0)
        assert "--precision" in caught.value.hint


def test_the_batch_size_follows_from_free_memory(weights: Path, work: Work) -> None:
    expected = label(estimator(weights), work)
    memory = AccountedMemory(size=30_000_000)  # a crop takes 0.6 MB, its pixels 0.04 MB
    found_out = estimator(
        weights, lambda network: DeviceEngine(network, BatchLimit(128, "cpu"), memory=memory)
    )
    with memory:
        found = label(found_out, work)
    assert found_out.batch_size == 32
    assert_alike(found, expected, KEYPOINT_PX, ALIKE)


def test_a_call_never_reads_from_the_device(weights: Path) -> None:
    # The meta device has no values: whoever copies from it, or branches on them, fails.
    meta = torch.device("meta")
    for flip_test in (False, True):
        network = PoseNetwork(load_model(weights).to(meta), device=meta, flip_test=flip_test)
        values = network(torch.empty((5, 128, 96, 3), dtype=torch.uint8, device=meta))
        assert values.shape == (5, network.num_values)
        assert values.device == meta


@pytest.mark.parametrize(
    ("names", "mirrored", "alone"),
    [("kp0 kp1", False, []), ("left_eye right_eye left_ear", True, [2])],
)
def test_the_flip_test_says_nothing_of_unknown_sides(
    names: str, mirrored: bool, alone: list[int]
) -> None:
    category = {"name": "robot", "keypoints": names.split()}
    header = CheckpointHeader(
        variant="tiny-test",
        heads={"robot": HeadHeader("simple", KeypointSet.from_category(category), "udp")},
        input_wh=(96, 128),
        source="random, for tests",
        licence="Apache-2.0",
    )
    torch.manual_seed(0)
    model = LoadedViTPose(header).eval()
    crops = torch.randint(0, 255, (3, 128, 96, 3), dtype=torch.uint8)
    plain, averaged = (
        (network := PoseNetwork(model, device=CPU, flip_test=flip_test)).unpack(
            network(crops).numpy()
        )
        for flip_test in (False, True)
    )
    assert ("flip_disagreement" in averaged.signals) == mirrored
    alike = np.isclose(plain.scores, averaged.scores, rtol=1e-6, atol=0).all(axis=0)
    assert alike.tolist() == [not mirrored or k in alone for k in range(len(names.split()))]
    same = plain.crop_keypoints[:, alike], averaged.crop_keypoints[:, alike]
    np.testing.assert_allclose(*same, atol=1e-4)


def test_several_heads_are_refused(weights: Path) -> None:
    header = load_model(weights).header
    (head,) = header.heads.values()
    fields = {name: getattr(header, name) for name in ("variant", "source", "licence", "input_wh")}
    model = LoadedViTPose(CheckpointHeader(heads={"a": head, "b": head}, **fields))
    with pytest.raises(ConfigError, match="several keypoint sets: a, b"):
        PoseEstimator(model, EstimatorOptions(CPU))


def test_without_a_compiler_the_network_runs_uncompiled(
    weights: Path, launcher: Launcher, tmp_path: Path
) -> None:
    script = tmp_path / "compile.py"
    script.write_text(
        "import sys, torch\n"
        "from torch._inductor import config\n"
        "from vitpose_cli.models.checkpoint import load_model\n"
        "from vitpose_cli.models.pose_network import PoseNetwork\n"
        "from pathlib import Path\n"
        "config.cpp.cxx = (None, 'no-such-compiler')\n"
        "cpu = torch.device('cpu')\n"
        "crops = torch.randint(0, 256, (2, 128, 96, 3), dtype=torch.uint8)\n"
        "network = PoseNetwork(load_model(Path(sys.argv[1])), device=cpu)\n"
        "plain = network(crops)\n"
        "network.compile()\n"
        "assert torch.equal(network(crops), plain)\n"
    )
    folder = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = launcher.run(weights, script=script, environment=folder)
    assert done.returncode == 0, done.stderr
    assert "runs uncompiled" in done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_graphs_give_the_bits_of_plain_calls(weights: Path, work: Work) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    found = {}
    for graphs in (False, True):
        chosen = PoseEstimator(load_model(weights), EstimatorOptions(device, graphs=graphs))
        found[graphs] = [label(chosen, work) for _ in range(3)]  # plain, recorded, replayed
    for again in (*found[True], *found[False][1:]):
        assert_alike(again, found[False][0], atol=0)
