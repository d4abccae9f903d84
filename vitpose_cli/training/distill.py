"""Learning from another network's heatmaps (ViTPose, arXiv 2204.12484, section 3.4).

Teacher and student may see crops of other sizes and aspects, and draw blobs of other widths. So the
teacher's heatmaps are brought into the student's terms: moved by the one affine that leads from map
to map, and their blobs made as wide as the student's. Where both networks are alike nothing is
done.

A teacher may look at each augmented crop, which is the paper's way, or once at everybody's plain
crop. Then its heatmaps are moved along with the crop, which a map, unlike a list of points, can be
without losing what the teacher was in doubt about. Keeping heatmaps of augmented crops was refused:
they are of use once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vitpose_cli.errors import InputError
from vitpose_cli.plurals import people
from vitpose_cli.pose.geometry import CropTransforms, growth_wh, reach_wh
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.parts import inside
from vitpose_cli.training.augment import plain_transforms, plan_plain_crops
from vitpose_cli.training.cache import atomic_array, damage_told, written_by_one
from vitpose_cli.training.config import DistillOptions
from vitpose_cli.training.courses import Course, Lesson, Lessons, Share
from vitpose_cli.training.crops import sampling_matrices, upload
from vitpose_cli.training.data import Material
from vitpose_cli.training.memory import explained_memory
from vitpose_cli.training.people import People
from vitpose_cli.training.pixels import make_crops
from vitpose_cli.training.teachers import Teacher

_BATCH_SIZE = 64
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class EachLook:
    """A teacher that is shown what the student is shown.

    Attributes:
        teacher: The teacher.
    """

    teacher: Teacher

    def __call__(self, share: Share, crops: Tensor) -> Lesson:
        """Say what a student shall answer to a share's crops.

        Where both see crops of one size the teacher sees the student's, even if it would have cut
        them by half a pixel wider: a pixel is a pixel, and its maps are moved to where it is. A
        teacher of another aspect sees more on two sides: people as wide as those that it knows.
        """
        theirs, ours = self.teacher.codec, share.course.codec
        moved = np.eye(2, 3)
        if theirs.input_wh == ours.input_wh:
            reach = reach_wh(theirs.input_wh, theirs.alignment)
            moved[:, :2] *= reach / reach_wh(ours.input_wh, ours.alignment)
        else:
            growth = growth_wh(ours.input_wh, theirs.input_wh)
            moved = np.column_stack([np.diag(growth), (1 - growth) / 2])
            crops = make_crops(share.resized(theirs.input_wh, theirs.alignment), crops.device)
        same = np.tile(moved, (len(share.rows), 1, 1))
        maps = fit_maps(self.teacher.maps(crops), same, theirs, ours)
        return Lesson(maps, torch.ones(maps.shape[:2], device=maps.device))


@dataclass(frozen=True, slots=True)
class OneLook:
    """What a teacher said about everybody's plain crop.

    Attributes:
        codec: How its heatmaps are drawn.
        maps: (N, K, h, w) float16 heatmaps of the N people of a course, where they are kept.
        peaks: (N, K, 2) float32 xy, where each heatmap is highest, px of the person's image.
    """

    codec: HeatmapCodec
    maps: Tensor
    peaks: NDArray[np.float32]

    def on(self, device: torch.device) -> OneLook:
        """Return the same with the heatmaps on `device`.

        Raises:
            InputError: They do not fit.
        """
        too_large = InputError(
            f"The teacher's heatmaps of {people(len(self.maps))} need {self.maps.nbytes >> 20} "
            f"MiB, and {device} has less.",
            "Set distill.keep: ram, or disk.",
        )
        with explained_memory(too_large):
            return replace(self, maps=self.maps.to(device))

    def __call__(self, share: Share, crops: Tensor) -> Lesson:
        """Say what a student shall answer to a share's crops.

        Of a photo that was cut, what is behind the cut gives no loss: the teacher saw it. Nor does
        a labelled keypoint outside of the plain crop: the teacher did not see it.
        """
        people, plan = share.course.people.select(share.rows), share.plan
        plain = plain_transforms(people, self.codec.input_wh, self.codec.alignment)
        turned = _chained(plan.transforms, plain)
        found = self.maps[upload(share.rows, self.maps.device)].to(crops.device, torch.float32)
        known = inside(self.peaks[share.rows], plan.windows) & ~self._missed(people, plain)
        shown = known.astype(np.float32)
        mirrored = np.linalg.det(turned[:, :, :2]) < 0
        order = np.where(
            mirrored[:, None], people.keypoint_set.flip_order, np.arange(shown.shape[1])
        )
        chosen = upload(order, crops.device)
        found = found.gather(1, chosen[:, :, None, None].expand_as(found))
        weights = np.take_along_axis(shown, order, axis=1)
        weights[np.ix_(mirrored, people.keypoint_set.one_sided)] = 0
        maps = fit_maps(found, turned, self.codec, share.course.codec)
        return Lesson(maps, upload(weights, crops.device))

    def _missed(self, people: People, plain: CropTransforms) -> NDArray[np.bool_]:
        """Return which keypoints (B, K) are labelled outside of what the teacher saw."""
        reach = reach_wh(self.codec.input_wh, self.codec.alignment)
        windows = np.tile([0.0, 0.0, *reach], (len(people), 1))
        seen = inside(plain.to_crop(people.keypoints), windows)
        missed: NDArray[np.bool_] = (people.weights > 0) & ~seen
        return missed


def open_lessons(
    options: DistillOptions | None,
    teachers: Mapping[str, Teacher],
    material: Mapping[str, Material],
    device: torch.device,
    cache: Path,
    note: Callable[[str], None],
) -> dict[str, Lessons]:
    """Find out what each head can learn from a teacher.

    Args:
        options: When the teachers look.
        teachers: The teacher of each head that has one.
        material: What each head learns from.
        device: Where the student learns.
        cache: The folder for heatmaps that are kept on the disk.
        note: Told of what takes a while.

    Raises:
        InputError: Heatmaps cannot be written, or do not fit where they are to be kept.
    """
    teachers = {head: teacher for head, teacher in teachers.items() if head in material}
    if options is None or options.looks == "each":
        return {head: EachLook(teacher) for head, teacher in teachers.items()}
    lessons: dict[str, Lessons] = {}
    for head, teacher in teachers.items():
        own = material[head]
        note(f"The teacher looks at {people(len(own.people))} ({head}).")
        course = Course(head, own.people, own.crops, teacher.codec)
        folder = options.folder or (cache if options.keep == "disk" else None)
        kept_as = None if folder is None else (folder, own.identity)
        look = look_once(teacher, course, device, kept_as=kept_as)
        lessons[head] = look.on(device) if options.keep == "device" else look
    return lessons


def look_once(
    teacher: Teacher,
    course: Course,
    device: torch.device,
    *,
    kept_as: tuple[Path, str] | None = None,
) -> OneLook:
    """Show a teacher everybody's plain crop.

    Args:
        teacher: The teacher.
        course: Whose people; its codec does not matter.
        device: Where crops are made, and where the teacher is.
        kept_as: Keep the heatmaps in this folder, in a file of this identity, where a later start
            of the run finds them; else in memory.

    Raises:
        InputError: The file cannot be written.
    """
    codec = teacher.codec
    shape = (len(course.people), course.people.keypoint_set.num_keypoints, *codec.map_wh[::-1])
    if kept_as is None:
        maps = np.empty(shape, np.float16)
        _fill(maps, teacher, course, device)
    else:
        folder, identity = kept_as
        text = f"{_FORMAT} {identity} {teacher.identity} {shape}"
        path = folder / f"heatmaps-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"

        def write() -> None:
            with atomic_array(path, np.dtype(np.float16), shape) as array:
                _fill(array, teacher, course, device)

        written_by_one(path, write)
        with damage_told(path):
            maps = np.load(path, mmap_mode="c")
    return OneLook(codec, torch.from_numpy(maps), _peaks(maps, course, codec))


def fit_maps(
    maps: Tensor, turned: NDArray[np.float64], theirs: HeatmapCodec, ours: HeatmapCodec
) -> Tensor:
    """Bring a teacher's heatmaps into a student's terms.

    Args:
        maps: (B, K, h, w) float32.
        turned: (B, 2, 3) affines from the teacher's region to the student's, both measured from 0
            to 1 in x and in y.
        theirs: How the teacher's are drawn.
        ours: How the student's are drawn.

    Returns:
        (B, K, h', w') float32.
    """
    there, here = reach_wh(theirs.map_wh, theirs.alignment), reach_wh(ours.map_wh, ours.alignment)
    linear = here[:, None] * turned[:, :, :2] / there
    matrices = np.concatenate([linear, (here * turned[:, :, 2])[:, :, None]], axis=2)
    if theirs.map_wh != ours.map_wh or not np.allclose(matrices, np.eye(2, 3), atol=1e-9):
        transforms = CropTransforms(matrices, ours.map_wh, ours.alignment)
        theta = sampling_matrices(transforms, theirs.map_wh).astype(np.float32)
        size = [*maps.shape[:2], *ours.map_wh[::-1]]
        grid = F.affine_grid(upload(theta, maps.device), size, align_corners=True)
        maps = F.grid_sample(maps, grid, align_corners=True)
    zooms = np.sqrt(np.abs(np.linalg.det(linear)))
    ratios = zooms * theirs.blob_sigma / ours.blob_sigma
    if np.allclose(ratios, 1, atol=1e-9):
        return maps
    return with_width(maps, upload(ratios.astype(np.float32), maps.device), ours.blob_sigma)


def with_width(maps: Tensor, ratios: Tensor, sigma: float) -> Tensor:
    """Make blobs that are `ratios` times as wide as they should be as wide as they should be.

    What is too wide is raised to a power: a Gaussian stays one, and a doubtful heatmap keeps its
    height. What is too narrow is blurred by another Gaussian, and raised to its old height; a power
    would lift the noise round it.

    Args:
        maps: (B, K, h, w).
        ratios: (B,) deviation of the blobs relative to `sigma`.
        sigma: Standard deviation that they should have, map px.
    """
    ratios = ratios[:, None, None, None]
    heights = maps.amax(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    narrower = heights * (maps.clamp_min(0) / heights) ** ratios.clamp_min(1).square()
    missing = sigma * (1 - ratios.clamp(max=1).square()).clamp_min(1e-6).sqrt()
    rows, columns = (_blur_matrix(side, missing) for side in maps.shape[2:])
    wider = rows @ maps @ columns / ratios.clamp_max(1).square()
    return torch.where(ratios > 1, narrower, wider)


def _blur_matrix(side: int, sigmas: Tensor) -> Tensor:
    """Return symmetric matrices (B, 1, side, side) that blur along one axis; zeros lie outside."""
    places = torch.arange(side, device=sigmas.device)
    distances = (places[:, None] - places) / sigmas
    weights = torch.exp(-0.5 * distances.square())
    every = torch.arange(-2 * side, 2 * side + 1, device=sigmas.device) / sigmas
    return weights / torch.exp(-0.5 * every.square()).sum(dim=-1, keepdim=True)


def _chained(ours: CropTransforms, theirs: CropTransforms) -> NDArray[np.float64]:
    """Return (B, 2, 3) affines from their regions to ours, both measured from 0 to 1."""

    def of_region(transforms: CropTransforms) -> NDArray[np.float64]:
        square = np.tile(np.eye(3), (len(transforms), 1, 1))
        reach = reach_wh(transforms.size_wh, transforms.alignment)
        square[:, :2] = transforms.matrices / reach[:, None]
        return square

    chained: NDArray[np.float64] = of_region(ours) @ np.linalg.inv(of_region(theirs))
    return chained[:, :2]


@torch.no_grad()
def _fill(out: NDArray[np.float16], teacher: Teacher, course: Course, device: torch.device) -> None:
    """Write the heatmaps of everybody's plain crop to `out` (N, K, h, w)."""
    codec, people = teacher.codec, course.people
    for start in range(0, len(people), _BATCH_SIZE):
        rows = np.arange(start, min(start + _BATCH_SIZE, len(people)))
        plan = plan_plain_crops(people.select(rows), codec.input_wh, codec.alignment)
        crops = make_crops(Share(course, rows, plan, 1.0), device)
        out[rows] = teacher.maps(crops).cpu().numpy()


def _peaks(maps: NDArray[np.float16], course: Course, codec: HeatmapCodec) -> NDArray[np.float32]:
    """Return where each heatmap is highest, (N, K, 2) xy, px of the person's image."""
    width = maps.shape[3]
    highest = maps.reshape(*maps.shape[:2], -1).argmax(axis=-1)
    cells = np.stack([highest % width, highest // width], axis=-1)
    places = cells * np.array(codec.stride_wh)
    plain = plain_transforms(course.people, codec.input_wh, codec.alignment)
    return plain.to_frame(places).astype(np.float32)
