"""How good weights are: they label the photos of the ground truth now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.body_cuts import CutPhotos, cut_bodies
from vitpose_cli.evaluate.evaluation import Evaluation, check_truth, measure_photos
from vitpose_cli.evaluate.photo_batches import Photo, person_area
from vitpose_cli.evaluate.predictions import keypoint_order, labelled_photo, labelled_photos
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.lookup import ListedFrames
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.pose.parts import BodyPart
from vitpose_cli.progress import Report
from vitpose_cli.records.coco import CocoDocument, read_coco
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import bodies_of
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.results import given_boxes
from vitpose_cli.runtime import num_reader_threads, resolve_device

_HINT_ON_BOXES = (
    "Its file names (or the image ids of a results file) must be those of the ground truth."
)


def evaluate_weights(
    annotations: Path,
    images: Path,
    options: LabelerOptions,
    report: Report,
    *,
    gt_boxes: bool = False,
) -> Evaluation:
    """Label the photos of the ground truth now, and measure the labels.

    Paths may be given as text.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        images: The folder that its file names are relative to.
        options: What to label with.
        report: Told after every photo how many are done, and how many there are.
        gt_boxes: Take the boxes of the truth's people, those without labelled keypoints left out,
            whatever `options` say; training measures with the same ones.

    Raises:
        InputError: A file cannot be used, photos are missing, boxes are of other photos, or the
            ground truth has nobody.
        ConfigError, WeightsError: As `assemble`.
    """
    annotations, images = Path(annotations), Path(images)
    num_threads = num_reader_threads(resolve_device(options.device))
    with closing(CocoFrames(annotations)) as truth:
        keys = [truth.key(number) for number in range(len(truth))]
        photos = _frames_of(list(dict.fromkeys(keys)), annotations, images, num_threads)
        boxes = annotations if gt_boxes else options.boxes
        image_names = dict(zip(truth.image_ids.tolist(), truth.names, strict=True))
        assembly = assemble(
            replace(options, boxes=boxes), photos.expected, image_names, measured=True
        )
        detector = assembly.detector
        if gt_boxes:
            given = given_boxes(annotations, labelled=True)
            detector = BoxesFile(given.by_name, annotations)
        elif isinstance(detector, BoxesFile):
            detector.check(truth.names, _HINT_ON_BOXES)
        labeler = Labeler(detector, assembly.estimator)
        known = assembly.estimator.keypoint_set
        found = _records(labeler, photos, report)
        labelled = labelled_photos(found, truth, known, gt_boxes=gt_boxes)
        result = measure_photos(labelled, truth.keypoint_set, truth.bodies, truth.crowding)
    check_truth(result, annotations)
    return result


def evaluate_cut_bodies(
    annotations: Path, images: Path, options: LabelerOptions, report: Report, part: BodyPart
) -> Evaluation:
    """Cut the photos so that a part of each body is left, see `body_cuts`; label and measure these.

    Paths may be given as text.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        images: The folder that its file names are relative to.
        options: What to label with; the boxes are what is left of the truth's, whatever it says.
        report: Told after every cut how many are done, and how many there are.
        part: What is left of each body.

    Raises:
        InputError: A file cannot be used, photos are missing or of another size than stated, or the
            ground truth has nobody of whom the part can be cut out.
        ConfigError, WeightsError: As `assemble`.
    """
    annotations, images = Path(annotations), Path(images)
    num_threads = num_reader_threads(resolve_device(options.device))
    whole = read_coco(annotations)
    areas = tuple({**item, "area": person_area(item)} for item in whole.annotations)
    cuts = cut_bodies(replace(whole, annotations=areas), part)
    named = {str(key): key for key in whole.keys().values()}
    photos = _frames_of([named[name] for name in cuts.by_photo], annotations, images, num_threads)
    source = CutPhotos(photos, cuts)
    assembly = assemble(replace(options, boxes=annotations), source.expected, measured=True)
    labeler = Labeler(BoxesFile(cuts.boxes(), annotations), assembly.estimator)
    order = keypoint_order(assembly.estimator.keypoint_set, cuts.document.keypoint_set)
    records = _records(labeler, source, report)
    photos_of_cuts = _cut_photos(records, cuts.document, order)
    bodies = bodies_of(whole.categories)
    result = measure_photos(photos_of_cuts, cuts.document.keypoint_set, bodies, {})
    check_truth(result, annotations)
    return result


def _cut_photos(
    records: Iterable[FrameRecord], truth: CocoDocument, order: NDArray[np.int64]
) -> Iterator[Photo]:
    """Yield cuts as they are labelled; each shows one body, of a category that is known."""
    ids = {image["file_name"]: image["id"] for image in truth.images}
    bodies = truth.by_image()
    for record in records:
        number = ids[str(record.key)]
        photo = labelled_photo(number, bodies[number], record, order)
        (body,) = bodies[number]
        yield photo._replace(categories=[body["category_id"]] * len(photo.scores))


def _records(
    labeler: Labeler, source: ListedFrames | CutPhotos, report: Report
) -> Iterator[FrameRecord]:
    """Yield the labels of each frame, and report it."""
    num_failed = 0
    for done, record in enumerate(labeler.label(source.frames()), start=1):
        num_failed += record.error is not None
        report(done, source.expected, num_failed)
        yield record


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
    folders = MediaFolders.at(images)
    there = list(folders.stored_keys(keys))
    found = [key for key in there if key is not None]
    missing = [str(key) for key, there_ in zip(keys, there, strict=True) if there_ is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(keys)} photos of {document} are not in {images}, "
            f"such as {missing[0]}.",
            "Give the folder that the file names are relative to.",
        )
    paths = {media: folders.path(media) for media in {key.media for key in found}}
    return ListedFrames(paths, found, num_threads)
