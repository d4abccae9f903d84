"""How good labels are: COCO AP and AR by pycocotools, PCK and OKS by keypoint.

AP is never computed here: COCOeval does it, with the keypoint set's own sigmas. What this module
adds is the way there (labels of a run, a results file, or weights that label the photos now) and
the table by keypoint, which COCOeval has not.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.images import ImageFolder
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco import CocoDocument, read_coco, safe_media_path
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.results import no_image_in_common, read_predictions
from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from vitpose_cli.assembly import LabelerOptions
    from vitpose_cli.body_cuts import CutPhotos
    from vitpose_cli.pose.parts import BodyPart

Report = Callable[[int, "int | None"], None]
"""Takes how many photos are done and how many there are."""

PCK_THRESHOLDS = (0.05, 0.1, 0.2)
"""Distances that count as right, relative to the longer side of the ground-truth box."""

METRICS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""COCO's keypoint metrics in COCOeval's order; -1 where no ground truth falls into a class."""


@dataclass(frozen=True, slots=True)
class KeypointRow:
    """How well one keypoint is found.

    Attributes:
        name: The keypoint.
        count: How many labelled ones the ground truth has.
        oks: Mean OKS term in [0, 1]; people who were missed count as 0.
        pck: Share within each of `PCK_THRESHOLDS` of the longer box side, in [0, 1].
    """

    name: str
    count: int
    oks: float
    pck: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The numbers of one evaluation.

    Attributes:
        coco: `METRICS` by name.
        keypoints: One row for each keypoint, then one for all.
        num_images: Photos measured.
        num_people: People with labelled keypoints in the ground truth.
        num_predicted: People predicted on these photos.
        num_failed: Photos that could not be read.
    """

    coco: Mapping[str, float]
    keypoints: tuple[KeypointRow, ...]
    num_images: int
    num_people: int
    num_predicted: int
    num_failed: int = 0

    def counts_sentence(self) -> str:
        """Say what was measured."""
        failed = f", {self.num_failed} photos failed" if self.num_failed else ""
        return (
            f"{self.num_predicted} predicted people, {self.num_people} people with keypoints "
            f"in {self.num_images} photos{failed}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "coco": dict(self.coco),
            "keypoints": [
                {
                    "name": row.name,
                    "count": row.count,
                    "oks": row.oks,
                    "pck": {
                        str(at): share for at, share in zip(PCK_THRESHOLDS, row.pck, strict=True)
                    },
                }
                for row in self.keypoints
            ],
            "num_images": self.num_images,
            "num_people": self.num_people,
            "num_predicted": self.num_predicted,
            "num_failed": self.num_failed,
        }


def evaluate_results(
    truth: CocoDocument, results: Sequence[Mapping[str, Any]], num_failed: int = 0
) -> Evaluation:
    """Measure predictions against ground truth.

    Args:
        truth: The ground truth.
        results: COCO results: `image_id`, `keypoints` (3K: x, y, score), `score`; frame px.
        num_failed: Photos that could not be labelled; for the report only.

    Raises:
        InputError: The predictions have another number of keypoints than the ground truth.
    """
    keypoint_set = truth.keypoint_set
    for result in results[:1]:
        if len(result["keypoints"]) != 3 * keypoint_set.num_keypoints:
            raise InputError(
                f"The predictions have {len(result['keypoints']) // 3} keypoints a person, the "
                f"ground truth {truth.path} has {keypoint_set.num_keypoints}.",
                "Evaluate with weights of the same keypoint set.",
            )
    people = [item for item in truth.annotations if any(item["keypoints"][2::3])]
    return Evaluation(
        coco=_coco_metrics(truth, results),
        keypoints=_by_keypoint(people, results, keypoint_set),
        num_images=len(truth.images),
        num_people=len(people),
        num_predicted=len(results),
        num_failed=num_failed,
    )


def results_of_records(
    records: Iterable[FrameRecord], image_ids: Mapping[str, int]
) -> tuple[list[dict[str, Any]], int]:
    """Return frames' people as COCO results, and the number of frames that failed.

    Raw coordinates are used, also of keypoints under the threshold: AP ranks, it does not cut.

    Args:
        records: What a labeler or a run says.
        image_ids: The ground truth's image id by file name; other frames are left out.
    """
    results: list[dict[str, Any]] = []
    num_failed = 0
    for record in records:
        image_id = image_ids.get(str(record.key))
        if image_id is None:
            continue
        if record.instances is None:
            num_failed += 1
            continue
        people = record.instances
        points = np.concatenate([people.keypoints, people.keypoint_scores[:, :, None]], axis=2)
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
    return results, num_failed


def evaluate_predictions(annotations: Path, predictions: Path) -> Evaluation:
    """Measure labels that exist.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        predictions: A run folder (its journal has the raw coordinates of every keypoint), a COCO
            document such as a run's annotations.json (keypoints with v=0 count as missed), or
            COCO results.

    Raises:
        InputError: A file cannot be used, or no photo of the predictions is in the ground truth.
    """
    truth = read_coco(annotations)
    if predictions.is_dir():
        with Run.read(predictions) as run:
            image_ids = _image_ids(truth)
            if len(run) and not any(str(key) in image_ids for key in run.done(retry_errors=False)):
                raise no_image_in_common(predictions, truth)
            return evaluate_results(truth, *results_of_records(run.records(), image_ids))
    return evaluate_results(truth, read_predictions(predictions, truth))


def evaluate_weights(
    annotations: Path,
    images: Path,
    options: LabelerOptions,
    report: Report,
    *,
    part: BodyPart | None = None,
) -> Evaluation:
    """Label the photos of the ground truth now, and measure the labels.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        images: The folder that its file names are relative to.
        options: What to label with.
        report: Told after every photo how many are done, and how many there are.
        part: Cut the photos so that this part of each body is left, see `body_cuts`; the boxes are
            what is left of the truth's, whatever `options` say.

    Raises:
        InputError: A file cannot be used, or photos are missing.
        ConfigError, WeightsError: As `assemble`.
    """
    # Only here, so that measuring labels which exist does not wait for the network's libraries.
    from vitpose_cli.assembly import assemble
    from vitpose_cli.body_cuts import CutPhotos, cut_bodies
    from vitpose_cli.labeler import Labeler
    from vitpose_cli.models.boxes_file import BoxesFile
    from vitpose_cli.runtime import num_reader_threads, resolve_device

    truth = read_coco(annotations)
    num_threads = num_reader_threads(resolve_device(options.device))
    photos = photos_of(truth, images, num_threads=num_threads)
    source: ImageFolder | CutPhotos = photos
    if part is None:
        assembly = assemble(options, source.expected)
        detector = assembly.detector
    else:
        areas = tuple(_with_area(item) for item in truth.annotations)
        cuts = cut_bodies(replace(truth, annotations=areas), part)
        whole = tuple(image for image in truth.images if image["file_name"] in cuts.by_photo)
        photos = photos_of(replace(truth, images=whole), images, num_threads=num_threads)
        source, truth = CutPhotos(photos, cuts), cuts.document
        assembly = assemble(replace(options, boxes=annotations), source.expected)
        detector = BoxesFile(cuts.boxes(), annotations)
    labeler = Labeler(detector, assembly.estimator)

    def records() -> Iterator[FrameRecord]:
        for done, record in enumerate(labeler.label(source.frames()), start=1):
            report(done, source.expected)
            yield record

    return evaluate_results(truth, *results_of_records(records(), _image_ids(truth)))


def photos_of(document: CocoDocument, images: Path, *, num_threads: int = 4) -> ImageFolder:
    """Return the photos that a document names, as a source of frames.

    Args:
        document: Names them.
        images: The folder that its file names are relative to.
        num_threads: Photos decoded at once.

    Raises:
        InputError: A photo is missing, or a name leads out of the folder.
    """
    paths = {
        image["file_name"]: safe_media_path(images, image["file_name"]) for image in document.images
    }
    files = {name: file for name, path in paths.items() if (file := photo_at(path)) is not None}
    missing = [name for name in paths if name not in files]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(paths)} photos of {document.path} are not in {images}: "
            f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}.",
            "Give the folder that the file names are relative to.",
        )
    return ImageFolder(files, num_threads=num_threads)


def _image_ids(truth: CocoDocument) -> dict[str, int]:
    return {image["file_name"]: image["id"] for image in truth.images}


def _coco_metrics(truth: CocoDocument, results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return COCO's metrics; all 0 where nothing was predicted.

    All kinds of body count as one category: animals of several species share their keypoints, and
    COCOeval cannot ignore categories for keypoints.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        reference = COCO()
        reference.dataset = {
            "info": {},
            "images": list(truth.images),
            "annotations": [_with_area(item) for item in truth.annotations],
            "categories": [{"id": 1, "name": truth.keypoint_set.category}],
        }
        reference.createIndex()
        if not results:
            return dict.fromkeys(METRICS, 0.0)
        evaluation = COCOeval(
            reference,
            reference.loadRes([{**each, "category_id": 1} for each in results]),
            "keypoints",
        )
        evaluation.params.kpt_oks_sigmas = truth.keypoint_set.sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, map(float, evaluation.stats), strict=True))


def _with_area(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what COCOeval needs and many files lack.

    People's segments cover about 0.53 of their boxes; mmpose fills missing areas alike.
    """
    filled = {"area": 0.53 * annotation["bbox"][2] * annotation["bbox"][3], "iscrowd": 0}
    filled |= annotation
    filled["category_id"] = 1
    filled["num_keypoints"] = sum(v > 0 for v in annotation["keypoints"][2::3])
    return filled


def _by_keypoint(
    people: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    keypoint_set: KeypointSet,
) -> tuple[KeypointRow, ...]:
    """Return the rows of the table: every keypoint, then all together."""
    predicted = defaultdict(list)
    for result in results:
        predicted[result["image_id"]].append(
            np.asarray(result["keypoints"], np.float64).reshape(-1, 3)[:, :2]
        )
    expected = defaultdict(list)
    for person in people:
        expected[person["image_id"]].append(person)

    count = keypoint_set.num_keypoints
    oks, errors = [np.zeros((0, count))], [np.zeros((0, count))]
    for image_id, persons in expected.items():
        points = np.stack([np.reshape(person["keypoints"], (-1, 3)) for person in persons])
        boxes = np.array([person["bbox"] for person in persons], np.float64)
        areas = np.array([_with_area(person)["area"] for person in persons], np.float64)
        found = np.array(predicted[image_id]).reshape(-1, count, 2)
        terms, distances = _matched(points, areas, found, keypoint_set.sigmas)
        hidden = points[:, :, 2] == 0
        terms[hidden] = np.nan
        distances[hidden] = np.nan
        oks.append(terms)
        errors.append(distances / boxes[:, 2:].max(axis=1, keepdims=True))
    all_oks, all_errors = np.concatenate(oks), np.concatenate(errors)
    columns = [(name, all_oks[:, k], all_errors[:, k]) for k, name in enumerate(keypoint_set.names)]
    columns.append(("all", all_oks.ravel(), all_errors.ravel()))
    return tuple(_row(*column) for column in columns)


def _row(name: str, oks: NDArray[np.float64], errors: NDArray[np.float64]) -> KeypointRow:
    labelled = ~np.isnan(oks)
    if not labelled.any():
        return KeypointRow(name, 0, 0.0, tuple(0.0 for _ in PCK_THRESHOLDS))
    pck = tuple(float((errors[labelled] <= at).mean()) for at in PCK_THRESHOLDS)
    return KeypointRow(name, int(labelled.sum()), float(oks[labelled].mean()), pck)


def _matched(
    truth: NDArray[np.float64],
    areas: NDArray[np.float64],
    found: NDArray[np.float64],
    sigmas: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give every person the nearest prediction that is still free, best pair first.

    Args:
        truth: (G, K, 3) ground truth, frame px and visibility.
        areas: (G,) object areas, frame px².
        found: (P, K, 2) predictions, frame px.
        sigmas: (K,) per-keypoint deviations.

    Returns:
        OKS terms (G, K), 0 for a person without a prediction, and distances (G, K) in px,
        infinite there.
    """
    terms = np.zeros(truth.shape[:2])
    distances = np.full(truth.shape[:2], np.inf)
    if not len(found):
        return terms, distances
    squares = ((truth[:, None, :, :2] - found[None]) ** 2).sum(axis=-1)
    variances = (2 * sigmas) ** 2 * 2 * np.maximum(areas, 1e-9)[:, None, None]
    pair_terms = np.exp(-squares / variances)
    visible = truth[:, None, :, 2] > 0
    oks = (pair_terms * visible).sum(axis=-1) / visible.sum(axis=-1)
    for _ in range(min(oks.shape)):
        person, prediction = np.unravel_index(np.argmax(oks), oks.shape)
        terms[person] = pair_terms[person, prediction]
        distances[person] = np.sqrt(squares[person, prediction])
        oks[person, :] = -1
        oks[:, prediction] = -1
    return terms, distances
