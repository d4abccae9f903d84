"""Runs whose labels are known, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from video_cases import picture

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.video import VideoFile
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import RenderSummary, render

COCO = keypoint_set("coco")
SIZE_WH = (192, 128)
# A person 60 px tall, feet at y = 0, in the order of COCO.
PERSON = 30 * np.array(
    [
        *([0, -1.85], [0.04, -1.9], [-0.04, -1.9], [0.1, -1.85], [-0.1, -1.85]),
        *([0.22, -1.6], [-0.22, -1.6], [0.3, -1.25], [-0.3, -1.25], [0.32, -0.95], [-0.32, -0.95]),
        *([0.15, -0.95], [-0.15, -0.95], [0.16, -0.5], [-0.16, -0.5], [0.17, 0], [-0.17, 0]),
    ]
)


def person(x: float, y: float = 110.0) -> Instances:
    points = (PERSON + np.array([x, y]))[None].astype(np.float32)
    box = np.concatenate([points.min(axis=1) - 3, points.max(axis=1) + 3], axis=1)
    scores = np.full((1, 17), 0.9, np.float32)
    return Instances(box, scores[:, 0], points, scores, np.full((1, 17), 2, np.int8))


def place(index: int) -> float:
    return 40.0 + 2 * index


def save_run(
    folder: Path,
    keys: list[FrameKey],
    missing: tuple[int, ...] = (),
    size_wh: tuple[int, int] = SIZE_WH,
    **options: float,
) -> Path:
    """Write a run with a person who walks to the right, and its document."""
    manifest = RunManifest(COCO.to_category(), options=options)
    with Run.open(folder, manifest) as run:
        for key in keys:
            people = Instances.empty(17) if key.index in missing else person(place(key.index))
            time_s = None if key.index < 0 else key.index / 25
            run.append(FrameRecord(key, size_wh, time_s, instances=people))
        run.export()
    return folder


def frame_keys(count: int, every: int = 1, media: str = "clip.mp4") -> list[FrameKey]:
    return [FrameKey(media, index) for index in range(0, count, every)]


def draw(folder: Path, source: Path, **options: object) -> RenderSummary:
    """Render with the run beside the source into `out`."""
    given = {"annotations": folder / "run", "output": folder / "out.mp4", **options}
    return render(
        RenderOptions(sources=(str(source),), **given),  # type: ignore[arg-type]
        report=lambda *_: None,
        say=lambda text: None,
    )


def frames_of(path: Path) -> list[Frame]:
    return [item for item in VideoFile(path, "out").frames() if isinstance(item, Frame)]


def load(path: Path) -> NDArray[np.uint8]:
    return decode_image(path.read_bytes())


def changed(drawn: NDArray[np.uint8], index: int) -> NDArray[np.bool_]:
    """Return which pixels are not those of the source."""
    off = np.abs(drawn.astype(int) - picture(index, SIZE_WH)).max(axis=2)
    return np.asarray(off > 60)
