"""Learning from another network's heatmaps: what they are in the student's terms, and the loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from training_cases import COCO, distilling, small_teacher, some_people

from vitpose_cli.errors import InputError
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.pose.geometry import CropTransforms, Region
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.pose.parts import inside
from vitpose_cli.training.augment import CropPlan
from vitpose_cli.training.batches import Batches, Targets
from vitpose_cli.training.config import LossOptions, StageOptions, TrainConfig
from vitpose_cli.training.courses import Course, Lesson, Lessons
from vitpose_cli.training.crops import HostCrops
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.distill import EachLook, fit_maps, look_once, with_width
from vitpose_cli.training.optim import Schedule
from vitpose_cli.training.process import Placement
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import build_network
from vitpose_cli.training.teachers import ViTPoseTeacher, open_teachers

CPU = torch.device("cpu")
STUDENT = HeatmapCodec((48, 64), (12, 16), "udp")
CALM = AugmentationOptions(
    flip=0, rotation=0, scale_std=0, shift=0, half_body=0, truncation=0, erasing=0
)
GEOMETRY = AugmentationOptions(truncation=0.3, scale_limits=(0.7, 1.4))


class Oracle:
    """A teacher that sees nothing, and remembers what it was shown."""

    codec = HeatmapCodec((96, 128), (24, 32), "classic")
    identity = "oracle"
    region: Region = "fitted"

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def maps(self, crops: torch.Tensor) -> torch.Tensor:
        self.seen.append(crops)
        return torch.zeros(len(crops), 17, 32, 24)


class TrueTeacher(Oracle):
    """A teacher that knows where everybody's keypoints are on their plain crops."""

    codec = HeatmapCodec((192, 256), (48, 64), "udp")

    def maps(self, crops: torch.Tensor) -> torch.Tensor:
        people, _ = some_people(len(crops))
        plain = CropTransforms.from_boxes(people.boxes, (192, 256), alignment="udp")
        points = torch.from_numpy(plain.to_crop(people.keypoints))
        return self.codec.encode(points, torch.ones(len(crops), 17))[0]


def batches(
    lessons: Lessons | None,
    options: AugmentationOptions,
    codec: HeatmapCodec = STUDENT,
    loss: LossOptions = LossOptions(),
) -> Batches:
    people, pictures = some_people(8)
    course = Course("coco", people, HostCrops(pictures), codec, lessons)
    stage = StageOptions(input_wh=codec.input_wh, steps=1, batch_size=16, loss=loss)
    return Batches([course], stage, options, (0,), CPU)


def lesson_of(target: Targets) -> Lesson:
    assert target.lesson is not None
    return target.lesson


def first(made: Batches) -> Targets:
    (batch,) = next(iter(made.ahead(0, 1)))
    return batch.targets[0]


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.0, 1.5, 2.5])
def test_blobs_become_as_wide_as_the_students(ratio: float) -> None:
    places = torch.arange(48.0) - 23.3
    blob = 0.7 * torch.exp(-0.5 * (places / (2 * ratio)) ** 2)
    maps = (blob[:, None] * blob / 0.7)[None, None].expand(2, 3, -1, -1)
    wanted = torch.exp(-0.5 * (places / 2) ** 2)
    fitted = with_width(maps, torch.tensor([ratio, ratio]), 2.0)
    # The height of a sampled blob is up to 2 % below that of the blob.
    torch.testing.assert_close(fitted[0, 0], 0.7 * wanted[:, None] * wanted, atol=0.02, rtol=0)


def test_what_a_teacher_saw_once_follows_the_crop() -> None:
    people, pictures = some_people(8)
    codec = HeatmapCodec((96, 128), (24, 32), "udp")
    look = look_once(TrueTeacher(), Course("coco", people, HostCrops(pictures), codec), CPU)
    target = first(batches(look, GEOMETRY, codec))
    lesson = lesson_of(target)
    plan = target.share.plan
    deep = (plan.crop_keypoints > 24) & (plan.crop_keypoints < np.array([71, 103]))
    sure = torch.from_numpy(deep.all(-1) & (plan.weights > 0))
    assert sure.sum() > 60
    assert (np.linalg.det(plan.transforms.matrices[:, :, :2]) < 0).any()
    found = codec.decode(lesson.maps).crop_keypoints
    wrong = (found - torch.from_numpy(plan.crop_keypoints))[sure].abs()
    assert wrong.max() < 1  # a quarter of a cell
    # Blobs are resampled bilinearly and end 3 sigma from their centre.
    assert (lesson.maps - target.maps)[sure].abs().max() < 0.1
    # What a cut photo does not show gives no loss.
    cut = np.isfinite(plan.windows[:, 0])
    assert cut.any()
    shown = inside(people.keypoints[target.share.rows], plan.windows)
    assert 0 < (lesson.weights.numpy() == 0).sum() <= (~shown).sum() + 3
    assert (lesson.weights.numpy()[~cut] == 1).all()


def test_a_keypoint_outside_of_what_the_teacher_saw_gives_no_lesson() -> None:
    people, pictures = some_people(8)
    plain = CropTransforms.from_boxes(people.boxes, TrueTeacher.codec.input_wh, alignment="udp")
    places = plain.to_crop(people.keypoints)
    places[:, 9] = [-3, 100]  # a hand that the box does not hold
    moved = replace(people, keypoints=plain.to_frame(places).astype(np.float32))
    course = Course("coco", moved, HostCrops(pictures), STUDENT)
    course = replace(course, lessons=look_once(TrueTeacher(), course, CPU))
    stage = StageOptions(input_wh=STUDENT.input_wh, steps=1, batch_size=8)
    weights = lesson_of(first(Batches([course], stage, CALM, (0,), CPU))).weights
    assert (weights[:, 9] == 0).all()
    assert weights.sum() == 8 * 16


def test_a_teacher_that_saw_one_side_says_nothing_of_a_mirrored_crop() -> None:
    people, pictures = some_people(8)
    names = ["tool" if name == "right_wrist" else name for name in COCO.names]
    robot = KeypointSet.from_category({"name": "robot", "keypoints": names})
    course = Course("robot", replace(people, keypoint_set=robot), HostCrops(pictures), STUDENT)
    course = replace(course, lessons=look_once(TrueTeacher(), course, CPU))
    mirrored = CALM.model_copy(update={"flip": 1})
    stage = StageOptions(input_wh=STUDENT.input_wh, steps=1, batch_size=8)
    for options, weight in ((CALM, 1), (mirrored, 0)):
        weights = lesson_of(first(Batches([course], stage, options, (0,), CPU))).weights
        assert (weights[:, names.index("left_wrist")] == weight).all()
        assert weights.sum() == 8 * (16 + weight)


def test_heatmaps_that_do_not_fit_on_the_device_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people, pictures = some_people(2)
    codec = HeatmapCodec((96, 128), (24, 32), "udp")
    look = look_once(TrueTeacher(), Course("coco", people, HostCrops(pictures), codec), CPU)

    def full(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(InputError, match="heatmaps of 2 people need") as caught:
        look.on(CPU)
    assert "distill.keep" in caught.value.hint


def test_a_teacher_that_looks_each_time_is_shown_the_same_region_in_its_own_size() -> None:
    teacher = Oracle()
    made = batches(EachLook(teacher), GEOMETRY)
    (batch,) = next(iter(made.ahead(0, 1)))
    (seen,) = teacher.seen
    assert seen.shape == (16, 3, 128, 96)
    small = torch.nn.functional.interpolate(seen, size=(64, 48), mode="area")
    # The classic and the UDP crop of a region differ by half a pixel at the far edge.
    assert (small - batch.crops).abs().mean() < 0.15
    assert lesson_of(batch.targets[0]).maps.shape == (16, 17, 16, 12)


class SpotTeacher(Oracle):
    """A teacher that says where the brightest pixel of a crop is, its cell c being pixel 4 c."""

    codec = HeatmapCodec((96, 128), (24, 32), "classic")

    def maps(self, crops: torch.Tensor) -> torch.Tensor:
        self.seen.append(crops)
        width, height = self.codec.map_wh
        across, down = (spots(crops) / 4).unsqueeze(-1).unbind(dim=1)
        columns = torch.exp(-((torch.arange(width) - across) ** 2) / 8)
        rows = torch.exp(-((torch.arange(height) - down) ** 2) / 8)
        return (rows[:, :, None] * columns[:, None])[:, None].expand(-1, 17, -1, -1)


def spots(crops: torch.Tensor) -> torch.Tensor:
    """Return the brightest pixels (B, 2) xy of crops."""
    flat = crops.sum(dim=1).flatten(1).argmax(dim=1)
    width = crops.shape[3]
    return torch.stack([flat % width, flat // width], dim=-1)


def test_a_teacher_of_the_same_size_is_shown_the_very_crops() -> None:
    teacher, codec = SpotTeacher(), HeatmapCodec((96, 128), (24, 32), "udp")
    (batch,) = next(iter(batches(EachLook(teacher), GEOMETRY, codec).ahead(0, 1)))
    (seen,) = teacher.seen
    assert torch.equal(seen, batch.crops)
    wanted = spots(seen)
    deep = ((wanted > 16) & (wanted < torch.tensor([79, 111]))).all(dim=1)
    assert deep.sum() > 3
    # Its answer lies on the pixel that it is about, though a classic map is laid out otherwise.
    found = codec.decode(lesson_of(batch.targets[0]).maps).crop_keypoints[deep]
    assert (found - wanted[deep][:, None]).abs().max() < 0.1  # px, a fortieth of a cell


@pytest.mark.parametrize("input_wh", [(128, 128), (64, 128), (96, 144)])
def test_a_teacher_of_another_aspect_is_shown_people_in_their_proportions(
    input_wh: tuple[int, int],
) -> None:
    teacher, codec = SpotTeacher(), HeatmapCodec((96, 128), (24, 32), "udp")
    width, height = input_wh
    teacher.codec = HeatmapCodec(input_wh, (width // 4, height // 4), "classic")
    made = batches(EachLook(teacher), GEOMETRY.model_copy(update={"erasing": 0.3}), codec)
    (batch,) = next(iter(made.ahead(0, 1)))
    (seen,), (target,) = teacher.seen, batch.targets
    ours, theirs = target.share.plan, target.share.resized(input_wh, "classic").plan
    sides = np.linalg.svd(theirs.transforms.matrices[:, :, :2], compute_uv=False)
    # A UDP crop is half a pixel off at either end.
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], rtol=0.01)

    def to_ours(points: torch.Tensor) -> NDArray[Any]:
        return ours.transforms.to_crop(theirs.transforms.to_frame(points.double().numpy()))

    # It misses nothing of what the student sees, and its answer lies where it is for the student.
    ends = torch.tensor([[0, 0], [width, height]]).expand(16, -1, -1)
    corners = to_ours(ends)
    assert (corners[:, 0] < 0.01).all()
    assert (corners[:, 1] > np.array([94.9, 126.9])).all()
    wanted = to_ours(spots(seen)[:, None])
    deep = ((wanted > 16) & (wanted < np.array([79, 111]))).all(axis=(1, 2))
    assert deep.sum() > 3
    found = codec.decode(lesson_of(target).maps).crop_keypoints.numpy()
    assert np.abs(found - wanted)[deep].max() < 0.2  # px, a twentieth of a cell
    # A photo that was cut stays cut, and what was covered stays covered.
    np.testing.assert_allclose(
        to_ours(torch.from_numpy(theirs.erased.reshape(16, -1, 2))),
        ours.erased.reshape(16, -1, 2),
        atol=1e-3,
    )
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.tile(np.stack([columns.ravel(), rows.ravel()], axis=-1), (16, 1, 1))
    outside = ~inside(theirs.transforms.to_frame(pixels.astype(float)), theirs.windows)
    shown = seen.flatten(2).permute(0, 2, 1).numpy()[outside & ~covered(theirs, pixels)]
    assert len(shown) > 1000
    assert np.ptp(shown, axis=0).max() < 1e-5


def covered(plan: CropPlan, points: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which points (B, N, 2) of crops lie in a rectangle that is covered."""
    boxes = np.moveaxis(plan.erased, 1, 0)
    hidden: NDArray[np.bool_] = np.any([inside(points, each) for each in boxes], axis=0)
    return hidden


def test_alike_networks_answer_each_other_bit_for_bit(tmp_path: Path) -> None:
    path = small_teacher(tmp_path, (48, 64))
    options = distilling(tmp_path, path).distill
    teacher = open_teachers(options, {"coco": COCO}, Placement(CPU))["coco"]
    made_batches = batches(EachLook(teacher), GEOMETRY)
    (batch,) = next(iter(made_batches.ahead(0, 1)))
    with torch.no_grad():
        expected = load_model(path)(batch.crops)
    assert torch.equal(lesson_of(batch.targets[0]).maps, expected)


def test_the_teacher_stands_still_and_is_no_part_of_the_student(tmp_path: Path) -> None:
    path = small_teacher(tmp_path)
    config = distilling(tmp_path, path)
    teacher = open_teachers(config.distill, {"coco": COCO}, Placement(CPU))["coco"]
    assert isinstance(teacher, ViTPoseTeacher)
    before = {key: value.clone() for key, value in teacher.model.state_dict().items()}
    stage, made = student(config, EachLook(teacher))
    for number, passes in enumerate(made.ahead(0, 3)):
        stage.step(number, passes)
    assert not any(module.training for module in teacher.model.modules())
    assert all(one.grad is None and not one.requires_grad for one in teacher.model.parameters())
    # Batch statistics of the classic decoder, too.
    assert all(torch.equal(value, before[key]) for key, value in teacher.model.state_dict().items())
    assert all(one.grad is not None for one in stage.model.parameters())
    assert stage.state_dict().keys() == {"model", "average", "optimizer", "scaler"}


def student(config: TrainConfig, lessons: Lessons) -> tuple[Stage, Batches]:
    torch.manual_seed(0)
    made = build_network(config.model, {"coco": COCO}, (48, 64))
    drawn = batches(lessons, CALM, loss=config.stages[0].loss)
    schedule = Schedule.of_stage(config.stages[0], config.optimizer, drawn.steps_per_epoch)
    return Stage(made, config, 0, schedule, Placement(CPU)), drawn


def test_the_loss_is_the_mean_of_squares_against_both(tmp_path: Path) -> None:
    path = small_teacher(tmp_path)
    config = distilling(tmp_path, path)
    teacher = open_teachers(config.distill, {"coco": COCO}, Placement(CPU))["coco"]
    stage, made = student(config, EachLook(teacher))
    (batch,) = next(iter(made.ahead(0, 1)))
    (target,) = batch.targets
    stage.model.eval()
    with torch.no_grad():
        maps = stage.model(batch.crops).double().numpy()
        found = float(stage._loss(batch))
    weights = target.weights.double().numpy()[:, :, None, None]
    truth = np.mean(weights * (maps - target.maps.double().numpy()) ** 2)
    taught = np.mean((maps - lesson_of(target).maps.double().numpy()) ** 2)
    assert taught > 0.01
    # Sums of 3,264 squares in float32.
    assert found == pytest.approx(2.0 * truth + 0.5 * taught, rel=1e-5)


def test_in_a_choice_among_pixels_a_teacher_counts_by_the_height_of_its_map(
    tmp_path: Path,
) -> None:
    config = distilling(tmp_path, small_teacher(tmp_path))
    choice = config.stages[0].model_copy(update={"loss": LossOptions(kind="cross_entropy")})
    config = config.model_copy(update={"stages": (choice,)})
    teacher = open_teachers(config.distill, {"coco": COCO}, Placement(CPU))["coco"]
    stage, made = student(config, EachLook(teacher))
    (batch,) = next(iter(made.ahead(0, 1)))
    (target,) = batch.targets
    asked = lesson_of(target).maps.double().clamp(min=0)
    stage.model.eval()
    with torch.no_grad():
        logs = stage.model(batch.crops).double().flatten(2).log_softmax(dim=2)
        found = float(stage._loss(batch))
    shares = [maps.flatten(2) / maps.sum(dim=(2, 3))[..., None] for maps in (target.maps, asked)]
    truth, taught = (-(share.nan_to_num() * logs).sum(dim=2).numpy() for share in shares)
    weights = target.weights.double().numpy()
    heights = asked.amax(dim=(2, 3)).clamp(max=1).numpy()
    assert heights.min() < 0.5
    expected = 2.0 * np.sum(weights * truth) / weights.sum() + 0.5 * np.mean(heights * taught)
    assert found == pytest.approx(expected, rel=1e-5)


def test_maps_of_equal_networks_are_not_touched() -> None:
    maps = torch.randn(2, 17, 16, 12)
    same = np.tile(np.eye(2, 3), (2, 1, 1))
    assert fit_maps(maps, same, STUDENT, STUDENT) is maps
