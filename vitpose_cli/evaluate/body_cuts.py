"""Photos cut to a part of each body: what a network is measured on that must do with less.

ViTPose is known to be weak where only a part of a person is in the picture. Every labelled person
becomes a photo of their own, which ends where the part ends; the labels that are left move along.
Training cuts by the same `pose.parts`. To black out the rest of the photo instead was refused: no
camera does that.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey, FrameSource
from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.pose.instances import Detections
from vitpose_cli.pose.parts import MIN_KEYPOINTS, BodyPart, limbs, part_keypoints, part_windows
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.records.coco_people import size_of
from vitpose_cli.records.stated_sizes import check_size


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a photo, as a photo of its own.

    Attributes:
        key: Its name.
        window: x0, y0, x1, y1 in the photo, px; the ends are outside.
    """

    key: FrameKey
    window: tuple[int, int, int, int]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Its width and height, px."""
        x0, y0, x1, y1 = self.window
        return x1 - x0, y1 - y0


@dataclass(frozen=True, slots=True)
class BodyCuts:
    """The cuts of all photos of a document.

    Attributes:
        document: Their labels: in each one person, whose box is all of it, and whose area is that
            of the whole person, so that the same distance counts as right.
        by_photo: The cuts of each photo by its `file_name`.
        sizes_wh: Width and height of each photo as the document states them, px; None where it does
            not.
    """

    document: CocoDocument
    by_photo: Mapping[str, tuple[Cut, ...]]
    sizes_wh: Mapping[str, tuple[int, int] | None]

    def boxes(self) -> dict[str, Detections]:
        """Return the box of each cut by its name."""
        return {
            str(cut.key): Detections(
                np.array([[0, 0, *cut.size_wh]], np.float32),
                np.ones(1, np.float32),
            )
            for cuts in self.by_photo.values()
            for cut in cuts
        }


@dataclass(frozen=True, slots=True)
class CutPhotos:
    """The pixels of cuts; a `FrameSource`.

    Attributes:
        photos: The whole photos.
        cuts: What of them is shown.
    """

    photos: FrameSource
    cuts: BodyCuts

    @property
    def expected(self) -> int:
        """How many cuts there are."""
        return len(self.cuts.document.images)

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield every cut that is not in `skip`, photo by photo.

        Raises:
            InputError: A photo has another size than the document states.
        """
        for photo in self.photos.frames():
            if isinstance(photo, Frame):
                self._check_size(photo)
            for cut in self.cuts.by_photo[str(photo.key)]:
                if cut.key in skip:
                    continue
                yield (
                    FrameFailure(cut.key, photo.error)
                    if isinstance(photo, FrameFailure)
                    else _shown(photo, cut)
                )

    def _check_size(self, photo: Frame) -> None:
        stated_wh = self.cuts.sizes_wh[str(photo.key)]
        check_size(photo.key, photo.size_wh, stated_wh, self.cuts.document.path)


def cut_bodies(document: CocoDocument, part: BodyPart) -> BodyCuts:
    """Cut everybody's photo so that `part` of the body is left.

    The window is `pose.parts.part_windows` of the labelled keypoints, widened to whole pixels. Of
    limbs everybody has up to four cuts, one for each. People of whom a cut would show fewer than
    two labelled keypoints, or hide none, are left out, as are crowds.

    Args:
        document: Labels of whole photos; each annotation has an `area`.
        part: What is left of a body.

    Raises:
        InputError: No such part can be cut out of anybody.
    """
    known = document.keypoint_set
    turns = np.arange(len(limbs(known))) if part == "limb" else np.zeros(1)
    draws = (turns + 0.5) / max(len(turns), 1)
    photos = {image["id"]: image for image in document.images}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    by_photo: dict[str, list[Cut]] = {}
    for person in document.annotations:
        if person["iscrowd"]:
            continue
        photo = photos[person["image_id"]]
        points = np.reshape(np.array(person["keypoints"], np.float64), (1, -1, 3))
        boxes = xywh_to_xyxy(np.array([person["bbox"]], np.float64))
        labelled = points[..., 2] > 0
        for turn, draw in enumerate(draws):
            kept = part_keypoints(part, points[..., :2], labelled, known, np.array([draw]))
            windows, real = part_windows(kept, points[..., :2], labelled, boxes)
            window = _whole_pixels(windows[0], photo)
            left = _moved(points[0], window)
            shown = int((left[:, 2] > 0).sum())
            if not real[0] or shown < MIN_KEYPOINTS or shown == labelled.sum():
                continue
            number = len(images) + 1
            limb = f"-{turn + 1}" if part == "limb" else ""
            name = f"{photo['file_name']}#{person['id']}-{part}{limb}"
            cut = Cut(FrameKey(name), window)
            by_photo.setdefault(photo["file_name"], []).append(cut)
            width, height = cut.size_wh
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            annotations.append(
                {
                    **person,
                    "id": number,
                    "image_id": number,
                    "bbox": [0, 0, width, height],
                    "keypoints": left.ravel().tolist(),
                    "num_keypoints": shown,
                }
            )
    if not images:
        raise InputError(
            f"Nobody in {document.path} has labelled keypoints within and without the part "
            f"{part!r}.",
            "Measure another part, or with labels of whole bodies.",
        )
    labels = replace(document, images=tuple(images), annotations=tuple(annotations), videos=())
    return BodyCuts(
        labels,
        {name: tuple(cuts) for name, cuts in by_photo.items()},
        {photo["file_name"]: size_of(photo) for photo in document.images},
    )


def _whole_pixels(
    window: NDArray[np.float64], photo: Mapping[str, Any]
) -> tuple[int, int, int, int]:
    """Widen a window to whole pixels inside of its photo."""
    far = [photo.get(side) or np.inf for side in ("width", "height")]
    x0, y0 = np.floor(window[:2]).clip(0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(window[2:]), far).astype(int).tolist()
    return x0, y0, x1, y1


def _moved(points: NDArray[np.float64], window: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Return the points (K, 3) as they lie in a cut; what lies outside is not labelled."""
    low, high = np.array(window[:2]), np.array(window[2:])
    there = points[:, :2] - low
    within = ((there >= 0) & (there <= high - low - 1)).all(axis=1) & (points[:, 2] > 0)
    moved: NDArray[np.float64] = np.concatenate([there, points[:, 2:]], axis=1)
    return np.where(within[:, None], moved, 0)


def _shown(photo: Frame, cut: Cut) -> Frame:
    x0, y0, x1, y1 = cut.window
    return replace(photo, key=cut.key, image=np.ascontiguousarray(photo.image[y0:y1, x0:x1]))
