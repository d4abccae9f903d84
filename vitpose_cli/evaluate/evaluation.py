"""How good labels are: COCO AP and AR as by pycocotools, PCK and OKS by keypoint.

The numbers themselves are in `coco_metrics`, `coco_subsets`, `keypoint_table` and `head_pck`; the
ways to them in `evaluated_labels` and `evaluated_weights`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.body_categories import labelled_bodies
from vitpose_cli.evaluate.coco_metrics import CocoMetrics, or_none
from vitpose_cli.evaluate.coco_subsets import CrowdingMetrics, PartMetrics, Subset
from vitpose_cli.evaluate.head_pck import HeadPck, HeadTable
from vitpose_cli.evaluate.keypoint_table import KeypointRow, KeypointTable
from vitpose_cli.evaluate.photo_batches import FailedPhoto, Photo, batches
from vitpose_cli.plurals import counted
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.body_sizes import SIZE_HINT, lacks_size, without_size


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
        num_reviewed: Photos whose predictions a person has reviewed: what a network said of them
            may have been put right, or be the ground truth itself.
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
    num_reviewed: int = 0

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
        sentences = counts + missing + categories + self._heads_sentence() + passed_over
        return sentences + self._reviewed_sentence()

    def _reviewed_sentence(self) -> str:
        """Say that predictions are not a network's alone, such as those that truth was made of."""
        if not self.num_reviewed:
            return ""
        photos = f"{self.num_reviewed:,} of {counted(self.num_images, 'photo')}"
        return (
            f" A person has reviewed the predictions of {photos}: the figures are not those of a "
            "network. To measure weights, give --weights and --images instead of --predictions."
        )

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
            "num_reviewed": self.num_reviewed,
            "num_categories": self.num_categories,
            "by_category": self.by_category,
            "failures": [failure._asdict() for failure in self.failures],
        }


def measure_photos(
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
            counts["reviewed"] += photo.reviewed
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
        num_reviewed=counts["reviewed"],
    )


def check_truth(result: Evaluation, annotations: Path) -> None:
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
