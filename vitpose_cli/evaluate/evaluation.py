"""How good labels are: COCO AP and AR as by pycocotools, PCK and OKS by keypoint.

The ways to a measurement: labels of a run or a file, or weights that label the photos now. The
numbers themselves are in `coco_metrics`, `coco_subsets`, `keypoint_table` and `head_pck`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.body_categories import labelled_bodies
from vitpose_cli.evaluate.coco_metrics import CocoMetrics, or_none
from vitpose_cli.evaluate.coco_subsets import CrowdingMetrics, PartMetrics, Subset
from vitpose_cli.evaluate.head_pck import HeadPck, HeadTable
from vitpose_cli.evaluate.keypoint_table import KeypointRow, KeypointTable
from vitpose_cli.evaluate.photo_batches import FailedPhoto, Photo, batches, person_area
from vitpose_cli.evaluate.predictions import (
    keypoint_order,
    labelled_photos,
    photo_of,
    predicted_photos,
)
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.lookup import ListedFrames
from vitpose_cli.plurals import counted
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.body_sizes import SIZE_HINT, lacks_size, without_size
from vitpose_cli.records.coco import CocoDocument, read_coco
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import bodies_of
from vitpose_cli.records.media_root import present_keys
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.results import boxes_by_image

if TYPE_CHECKING:
    from vitpose_cli.assembly import LabelerOptions
    from vitpose_cli.evaluate.body_cuts import CutPhotos
    from vitpose_cli.pose.parts import BodyPart

Report = Callable[[int, "int | None"], None]
"""Takes how many photos are done and how many there are."""

_HINT_ON_BOXES = (
    "Its file names (or the image ids of a results file) must be those of the ground truth."
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The numbers of one evaluation.

    Attributes:
        coco: `METRICS` by name; -1 where there was nothing to measure.
        keypoints: One row for each keypoint, then one for all.
        num_images: Photos measured.
        num_people: People with labelled keypoints in the ground truth.
        num_predicted: People predicted on these photos.
        failures: Photos that could not be labelled; they count as photos without people.
        num_missing: Photos that the predictions do not have, which count alike; None where they
            do not list photos, as a results file.
        num_categories: Categories of which the ground truth has people with labelled keypoints.
        by_category: Whether `coco` are means over these, as pycocotools takes them; if not, people
            of all categories count as of one.
        parts: Of whole bodies, by the name of the part; empty for other keypoints.
        crowding: Of photos that are called easy, medium or hard, where the ground truth says how
            crowded they are; else empty.
        pckh: Where the size of a head is known of somebody.
        num_without_size: People of the ground truth of whom nothing says how large they are, by
            which distances are measured; they are passed over, and so is what was found on their
            photos and is nobody else.
    """

    coco: Mapping[str, float]
    keypoints: tuple[KeypointRow, ...]
    num_images: int
    num_people: int
    num_predicted: int
    failures: tuple[FailedPhoto, ...] = ()
    num_missing: int | None = 0
    num_categories: int = 1
    by_category: bool = False
    parts: Mapping[str, Subset] = field(default_factory=dict)
    crowding: Mapping[str, Subset] = field(default_factory=dict)
    pckh: HeadPck | None = None
    num_without_size: int = 0

    @property
    def num_failed(self) -> int:
        """How many photos could not be labelled."""
        return len(self.failures)

    def counts_sentence(self) -> str:
        """Say what was measured."""
        failed = f", {counted(self.num_failed, 'photo')} failed" if self.num_failed else ""
        predicted = counted(self.num_predicted, "predicted person", "predicted people")
        people = counted(self.num_people, "person", "people")
        photos = counted(self.num_images, "photo")
        missing = ""
        if self.num_missing:
            are, count = ("is", "counts") if self.num_missing == 1 else ("are", "count")
            missing = (
                f" {self.num_missing:,} of {photos} {are} not in the predictions, and {count} as "
                "without people."
            )
        categories = ""
        if self.num_categories > 1:
            categories = (
                f" AP and AR are means over {self.num_categories} categories."
                if self.by_category
                else f" AP and AR are of all {self.num_categories} categories together, since the "
                "predictions do not tell them apart."
            )
        counts = f"{predicted}, {people} with keypoints in {photos}{failed}."
        passed_over = ""
        if self.num_without_size:
            passed_over = f" {without_size(self.num_without_size)}: passed over."
        return counts + missing + categories + self._heads_sentence() + passed_over

    def _heads_sentence(self) -> str:
        """Say what sizes of heads PCKh is by, where it is not everybody's `head_size`."""
        if self.pckh is None:
            return ""
        if self.pckh.by != "head_size":
            return f" PCKh is by the segment {self.pckh.by}: no head_size is given."
        if self.pckh.num_people == self.num_people:
            return ""
        return f" PCKh is of the {self.pckh.num_people:,} whose head_size is given."

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None where there was nothing to measure."""
        return {
            "coco": or_none(self.coco),
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
            "crowding": {name: kind.as_dict() for name, kind in self.crowding.items()},
            "pckh": None if self.pckh is None else self.pckh.as_dict(),
            "keypoints": [row.as_dict() for row in self.keypoints],
            "num_images": self.num_images,
            "num_people": self.num_people,
            "num_without_size": self.num_without_size,
            "num_predicted": self.num_predicted,
            "num_failed": self.num_failed,
            "num_missing": self.num_missing,
            "num_categories": self.num_categories,
            "by_category": self.by_category,
            "failures": [failure._asdict() for failure in self.failures],
        }


def evaluate_results(
    truth: CocoDocument,
    results: Iterable[Mapping[str, Any]],
    failures: Iterable[FailedPhoto] = (),
) -> Evaluation:
    """Measure predictions against ground truth, both in memory.

    Args:
        truth: The ground truth.
        results: COCO results: `image_id`, `keypoints` (3K: x, y, score), `score`; frame px. If all
            have a `category_id`, AP is the mean over the categories of the ground truth.
        failures: Photos that could not be labelled; for the report only.

    Raises:
        InputError: The predictions have another number of keypoints than the ground truth.
    """
    keypoint_set, bodies = truth.keypoint_set, bodies_of(truth.categories)
    found = defaultdict(list)
    by_category = True
    for result in results:
        found[result["image_id"]].append(result)
        by_category &= "category_id" in result
    photos = (
        photo_of(
            image_id,
            [item for item in annotations if item["category_id"] in bodies],
            found[image_id],
            keypoint_set.num_keypoints,
            by_category=by_category,
        )
        for image_id, annotations in truth.by_image().items()
    )
    measured = _measured(photos, keypoint_set, bodies, truth.crowding())
    return replace(measured, failures=tuple(failures))


def results_of_records(
    records: Iterable[FrameRecord],
    image_ids: Mapping[str, int],
    order: NDArray[np.int64] | None = None,
) -> tuple[list[dict[str, Any]], list[FailedPhoto]]:
    """Return frames' people as COCO results, and the frames that failed.

    Raw coordinates are used, also of keypoints under the threshold: AP ranks, it does not cut.

    Args:
        records: What a labeler or a run says.
        image_ids: The ground truth's image id by file name; other frames are left out.
        order: Where the ground truth's keypoints are among those of the records, (K,); None where
            they are the same.
    """
    results: list[dict[str, Any]] = []
    failures: list[FailedPhoto] = []
    for record in records:
        image_id = image_ids.get(str(record.key))
        if image_id is None:
            continue
        if record.instances is None:
            failures.append(FailedPhoto(str(record.key), record.error or ""))
            continue
        people = record.instances
        points = np.concatenate([people.keypoints, people.keypoint_scores[:, :, None]], axis=2)
        if order is not None:
            points = points[:, order]
        for flat, score in zip(
            points.reshape(len(people), 3 * people.num_keypoints), people.scores, strict=True
        ):
            results.append(
                {
                    "image_id": image_id,
                    "keypoints": flat.tolist(),
                    "score": float(score),
                }
            )
    return results, failures


def evaluate_predictions(annotations: Path, predictions: Path) -> Evaluation:
    """Measure labels that exist.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        predictions: A run folder (its journal has the raw coordinates of every keypoint), a COCO
            document such as a run's annotations.json (keypoints with v=0 count as missed), or
            COCO results.

    Raises:
        InputError: A file cannot be used, no photo of the predictions is in the ground truth, or
            it has nobody.
    """
    with closing(CocoFrames(annotations)) as truth:
        photos = predicted_photos(predictions, truth)
        result = _measured(photos, truth.keypoint_set, truth.bodies, truth.crowding)
    _check_truth(result, annotations)
    return result


def evaluate_weights(
    annotations: Path,
    images: Path,
    options: LabelerOptions,
    report: Report,
    *,
    gt_boxes: bool = False,
    part: BodyPart | None = None,
) -> Evaluation:
    """Label the photos of the ground truth now, and measure the labels.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        images: The folder that its file names are relative to.
        options: What to label with.
        report: Told after every photo how many are done, and how many there are.
        gt_boxes: Take the boxes of the truth's people, those without labelled keypoints left out,
            whatever `options` say; training measures with the same ones.
        part: Cut the photos so that this part of each body is left, see `body_cuts`; the boxes are
            what is left of the truth's, whatever `options` say.

    Raises:
        InputError: A file cannot be used, photos are missing, boxes are of other photos, or the
            ground truth has nobody.
        ConfigError, WeightsError: As `assemble`.
    """
    # Only here, so that measuring labels which exist does not wait for the network's libraries.
    from vitpose_cli.assembly import assemble
    from vitpose_cli.evaluate.body_cuts import CutPhotos, cut_bodies
    from vitpose_cli.labeler import Labeler
    from vitpose_cli.models.boxes_file import BoxesFile
    from vitpose_cli.runtime import num_reader_threads, resolve_device

    num_threads = num_reader_threads(resolve_device(options.device))

    def records(labeler: Labeler, source: ListedFrames | CutPhotos) -> Iterator[FrameRecord]:
        for done, record in enumerate(labeler.label(source.frames()), start=1):
            report(done, source.expected)
            yield record

    if part is None:
        with closing(CocoFrames(annotations)) as truth:
            keys = [truth.key(number) for number in range(len(truth))]
            photos = _frames_of(list(dict.fromkeys(keys)), annotations, images, num_threads)
            boxes = annotations if gt_boxes else options.boxes
            image_names = dict(zip(truth.image_ids.tolist(), truth.names, strict=True))
            assembly = assemble(replace(options, boxes=boxes), photos.expected, image_names)
            detector = assembly.detector
            if gt_boxes:
                detector = BoxesFile(boxes_by_image(annotations, labelled=True), annotations)
            elif isinstance(detector, BoxesFile):
                detector.check(truth.names, _HINT_ON_BOXES)
            labeler = Labeler(detector, assembly.estimator)
            known = assembly.estimator.keypoint_set
            found = records(labeler, photos)
            labelled = labelled_photos(found, truth, known, gt_boxes=gt_boxes)
            result = _measured(labelled, truth.keypoint_set, truth.bodies, truth.crowding)
        _check_truth(result, annotations)
        return result
    whole = read_coco(annotations)
    areas = tuple({**item, "area": person_area(item)} for item in whole.annotations)
    cuts = cut_bodies(replace(whole, annotations=areas), part)
    named = {str(key): key for key in whole.keys().values()}
    photos = _frames_of([named[name] for name in cuts.by_photo], annotations, images, num_threads)
    source = CutPhotos(photos, cuts)
    assembly = assemble(replace(options, boxes=annotations), source.expected)
    labeler = Labeler(BoxesFile(cuts.boxes(), annotations), assembly.estimator)
    order = keypoint_order(assembly.estimator.keypoint_set, cuts.document.keypoint_set)
    results, failures = results_of_records(
        records(labeler, source), _image_ids(cuts.document), order
    )
    categories = {person["image_id"]: person["category_id"] for person in cuts.document.annotations}
    for each in results:
        each["category_id"] = categories[each["image_id"]]  # a cut shows one body
    result = evaluate_results(cuts.document, results, failures)
    _check_truth(result, annotations)
    return result


def _check_truth(result: Evaluation, annotations: Path) -> None:
    """Refuse to call something a measurement that had nobody to measure by.

    Raises:
        InputError: The ground truth has no people with keypoints whose size is known.
    """
    if not result.num_people and result.num_without_size:
        raise InputError(
            f"{annotations}: {without_size(result.num_without_size)}, so that there is nothing to "
            "measure by: a distance counts relative to the size of a body.",
            SIZE_HINT,
        )
    if not result.num_people:
        raise InputError(
            f"{annotations} has no people with labelled keypoints on the photos that were "
            "measured, so there is nothing to measure by.",
            "Give ground truth that has, with --annotations.",
        )


def _frames_of(
    keys: Sequence[FrameKey], document: Path, images: Path, num_threads: int
) -> ListedFrames:
    """Return frames as a source.

    Args:
        keys: What they are called.
        document: What names them, for errors.
        images: The folder that their names are relative to.
        num_threads: Photos decoded at once.

    Raises:
        InputError: A photo or video is missing, or a name leads out of the folder.
    """
    there = list(present_keys(images, keys))
    found = [key for key in there if key is not None]
    missing = [str(key) for key, there_ in zip(keys, there, strict=True) if there_ is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(keys)} photos of {document} are not in {images}: "
            f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}.",
            "Give the folder that the file names are relative to.",
        )
    paths = {media: images / media for media in {key.media for key in found}}
    return ListedFrames(paths, found, num_threads)


def _image_ids(truth: CocoDocument) -> dict[str, int]:
    return {image["file_name"]: image["id"] for image in truth.images}


def _measured(
    photos: Iterable[Photo],
    keypoint_set: KeypointSet,
    bodies: Collection[int],
    crowding: Mapping[int, float],
) -> Evaluation:
    """Measure photos one after the other; what grows with them are a few bytes for each person.

    Args:
        photos: In any order.
        keypoint_set: Of truth and predictions.
        bodies: The ids of the truth's categories; where it has one, predictions are of it, whatever
            they say.
        crowding: By image id, of those that the truth says it of.
    """
    metrics, table = CocoMetrics(keypoint_set.sigmas), KeypointTable(keypoint_set)
    parts, crowds = PartMetrics(keypoint_set), CrowdingMetrics(keypoint_set.sigmas, crowding)
    heads = HeadTable(keypoint_set)
    counts: Counter[str] = Counter()
    failures: list[FailedPhoto] = []
    categories: set[int] = set()

    def taken() -> Iterator[Photo]:
        for photo in photos:
            counts["images"] += 1
            counts["predicted"] += len(photo.scores)
            counts["missing"] += bool(photo.missing)
            counts["unlisted"] += photo.missing is None
            if photo.failure is not None:
                failures.append(photo.failure)
            sized = [one for one in photo.truth if one["iscrowd"] or not lacks_size(one)]
            counts["without size"] += len(photo.truth) - len(sized)
            photo = photo._replace(truth=sized, is_partial=len(sized) < len(photo.truth))
            categories.update(person["category_id"] for person in labelled_bodies(photo.truth))
            by_category = len(bodies) > 1 and photo.categories is not None
            counts["by category"] += by_category
            yield photo if by_category else photo._replace(categories=None)

    for batch in batches(taken(), keypoint_set, bodies):
        for each in (metrics, parts, crowds):
            each.add(batch)
        heads.add(batch, table.add(batch))
        counts["people"] += batch.num_labelled
    return Evaluation(
        coco=metrics.result(),
        keypoints=table.rows(),
        num_images=counts["images"],
        num_people=counts["people"],
        num_predicted=counts["predicted"],
        failures=tuple(failures),
        num_missing=None if counts["unlisted"] else counts["missing"],
        num_categories=len(categories),
        by_category=counts["by category"] > 0,
        parts=parts.result(),
        crowding=crowds.result(),
        pckh=heads.result(),
        num_without_size=counts["without size"],
    )
