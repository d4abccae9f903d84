"""Videos whose pixels are not square: how alike their labels are to those of square ones.

    python benchmarks/anamorphic.py CLIP ... [--frames 60] [--shapes 4/3 16/15]
    python benchmarks/anamorphic.py --photos person_keypoints.json images

Each clip, or each photo as a video of one picture, is written with square pixels and as copies of
other widths, once with the shape of their pixels in the file and once without, so that they count
as square. For clips the mean OKS of everybody in the square copy with the most alike person in the
other is printed, 0 where there is nobody; for photos AP and AR with the boxes of the ground truth.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.pose.geometry import box_areas, xywh_to_xyxy
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.oks import oks_matrix

SHAPES = {
    Fraction(1): "square",
    Fraction(8, 9): "NTSC 4:3",
    Fraction(16, 15): "PAL 4:3",
    Fraction(32, 27): "NTSC 16:9",
    Fraction(4, 3): "HDV",
    Fraction(64, 45): "PAL 16:9",
    Fraction(2): "twice as wide",
}
Picture = NDArray[np.uint8]


def write(path: Path, images: Sequence[Picture], shape: Fraction, *, told: bool) -> Path:
    """Write pictures as a video whose pixels have a shape, and whether they do."""
    height, width = images[0].shape[:2]
    size_wh = (round(width / shape / 2) * 2, height // 2 * 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        (stream.width, stream.height), stream.pix_fmt = size_wh, "yuv420p"
        stream.codec_context.sample_aspect_ratio = shape if told else Fraction(1)
        for image in images:
            squeezed = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(squeezed, "rgb24")))
        container.mux(stream.encode(None))
    return path


def pictures(clip: Path, num: int) -> list[Picture]:
    """Return pictures that lie evenly in a clip."""
    every = max(1, (VideoFile(clip, clip.name).expected or num) // num)
    frames = VideoFile(clip, clip.name, VideoOptions(every=every, max_frames=num)).frames()
    return [frame.image for frame in frames if isinstance(frame, Frame)]


def people_of(labeler: Labeler, path: Path, width: int) -> list[Instances]:
    """Return who is in each frame of a video, as if it were of another width."""
    found = []
    for record in labeler.label(VideoFile(path, path.name).frames()):
        assert record.instances is not None, record.error
        assert record.size_wh is not None
        stretch = np.array([width / record.size_wh[0], 1], np.float32)
        people = record.instances
        found.append(
            Instances(
                boxes=people.boxes * np.tile(stretch, 2),
                box_scores=people.box_scores,
                keypoints=people.keypoints * stretch,
                keypoint_scores=people.keypoint_scores,
                visibility=people.visibility,
            )
        )
    return found


def likeness(
    expected: Sequence[Instances], found: Sequence[Instances], sigmas: NDArray[np.float64]
) -> float:
    """Return the mean over everybody of the OKS with the most alike person."""
    best: list[float] = []
    for ours, theirs in zip(found, expected, strict=True):
        areas = box_areas(theirs.boxes)
        alike = oks_matrix(ours.keypoints, None, theirs.keypoints, areas, sigmas)
        best += alike.max(axis=0, initial=0).tolist()
    return float(np.mean(best))


def compare_clips(
    clips: Sequence[Path], num: int, shapes: Sequence[Fraction], folder: Path
) -> None:
    assembly = assemble(LabelerOptions())
    labeler = Labeler(assembly.detector, assembly.estimator)
    sigmas = assembly.estimator.keypoint_set.sigmas
    for clip in clips:
        images = pictures(clip, num)
        width = images[0].shape[1]
        expected = people_of(
            labeler, write(folder / "a.mp4", images, Fraction(1), told=True), width
        )
        print(f"{clip.name}: {sum(map(len, expected))} people in {len(images)} frames")
        for shape in shapes:
            row = [SHAPES.get(shape, ""), str(shape)]
            for told in (False, True):
                found = people_of(labeler, write(folder / "b.mp4", images, shape, told=told), width)
                row.append(f"{likeness(expected, found, sigmas):.3f} ({sum(map(len, found))})")
            print(" | ".join(row), flush=True)


def compare_photos(
    truth_path: Path, photos: Path, shapes: Sequence[Fraction], folder: Path
) -> None:
    assembly = assemble(LabelerOptions())
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
    for shape in shapes:
        row = [SHAPES.get(shape, ""), str(shape)]
        for told in (False, True):
            results: list[dict[str, Any]] = []
            for number, photo in truth.imgs.items():
                image = decode_image((photos / photo["file_name"]).read_bytes())
                path = write(folder / "a.mp4", [image], shape, told=told)
                results += _results(assembly.estimator, path, truth, number, image.shape[1])
            row.append("AP {:.3f}, AR {:.3f}".format(*_metrics(truth, results)))
        print(" | ".join(row), flush=True)


def _results(
    estimator: Any, path: Path, truth: COCO, number: int, width: int
) -> list[dict[str, Any]]:
    """Return what is found in the boxes of one photo, as results of COCO."""
    labels = [each for each in truth.imgToAnns[number] if not each["iscrowd"]]
    squeezed_wh = VideoFile(path, "a.mp4").read(FrameKey("a.mp4", 0)).size_wh
    stretch = np.array([squeezed_wh[0] / width, 1])
    boxes = xywh_to_xyxy(np.array([each["bbox"] for each in labels]).reshape(-1, 4))
    given = Detections(
        (boxes * np.tile(stretch, 2)).astype(np.float32), np.ones(len(boxes), np.float32)
    )
    detector = BoxesFile({str(FrameKey("a.mp4", 0)): given}, path)
    (people,) = people_of(Labeler(detector, estimator), path, width)
    return [
        {
            "image_id": number,
            "category_id": 1,
            "keypoints": np.column_stack([points, scores]).ravel().tolist(),
            "score": float(score),
        }
        for points, scores, score in zip(
            people.keypoints, people.keypoint_scores, people.scores, strict=True
        )
    ]


def _metrics(truth: COCO, results: list[dict[str, Any]]) -> tuple[float, float]:
    """Return AP and AR."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[5]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--shapes", type=Fraction, nargs="+", default=[*SHAPES])
    parser.add_argument("--photos", type=Path, nargs=2, metavar=("TRUTH", "FOLDER"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.photos:
            truth, photos = arguments.photos
            compare_photos(truth, photos, arguments.shapes, Path(name))
        if arguments.clips:
            compare_clips(arguments.clips, arguments.frames, arguments.shapes, Path(name))


if __name__ == "__main__":
    main()
