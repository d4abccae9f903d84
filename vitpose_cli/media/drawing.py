"""People drawn onto frames, for human eyes: which keypoint lies where, and of which side it is.

Colours are those of Okabe and Ito (2008), which colour-blind people tell apart; each has a dark
rim, so that it shows on snow and at night. Widths follow the size of the person and, within
limits, of the picture. Matplotlib was refused: it takes a second for a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.letters import writable
from vitpose_cli.media.plates import place_plates
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet, Side
from vitpose_cli.ranges import check_types

Colour = tuple[int, int, int]

LEFT: Colour = (86, 180, 233)  # sky blue
RIGHT: Colour = (230, 159, 0)  # orange
CENTRE: Colour = (255, 255, 255)
RIM: Colour = (20, 20, 20)
_SIDE_COLOURS: Mapping[Side, Colour] = MappingProxyType(
    {"left": LEFT, "right": RIGHT, "centre": CENTRE}
)
INSTANCE_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
FIXED_BITS = 4  # positions are drawn to 1/16 px
_BRIGHT = 330  # colours of a larger sum bear dark letters
FAR_PX = 1e6  # beyond it OpenCV's fixed-point numbers overflow


Palette = Literal["side", "instance"]
"""By what people are coloured: the body's side, or who they are."""


@dataclass(frozen=True, slots=True)
class DrawStyle:
    """How people are drawn.

    Attributes:
        boxes: Draw their boxes.
        scores: Write their scores.
        labels: Write what they are, and their identity where they are tracked.
        ids: Write their identity alone.
        keypoint_threshold: Leave out keypoints scored below it, visible or not.
        line_scale: Factor on all widths.
        palette: Colour by the body's side (left blue, right orange, centre white), or each
            instance in a colour of its own, which it keeps over a track.
    """

    boxes: bool = True
    scores: bool = True
    labels: bool = False
    keypoint_threshold: float = 0.0
    line_scale: float = 1.0
    palette: Palette = "side"
    ids: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)


def draw_instances(
    image: NDArray[np.uint8],
    instances: Instances,
    keypoint_set: KeypointSet,
    style: DrawStyle = DrawStyle(),
) -> NDArray[np.uint8]:
    """Draw people onto a copy of a picture.

    Keypoints of visibility 0 are left out; those of visibility 1, hidden in the picture, are
    hollow. Small people are drawn over large ones.

    Args:
        image: (H, W, 3) uint8 RGB.
        instances: Who is in it; points in its pixels.
        keypoint_set: What their keypoints are.
        style: How to draw.

    Raises:
        InputError: The instances have another number of keypoints than the set.
    """
    if instances.num_keypoints != keypoint_set.num_keypoints:
        raise InputError(
            f"The instances have {instances.num_keypoints} keypoints, the set "
            f"{keypoint_set.name} has {keypoint_set.num_keypoints}."
        )
    canvas = np.array(image, order="C")
    sizes = np.sqrt(np.clip(instances.boxes[:, 2:] - instances.boxes[:, :2], 1, None).prod(axis=1))
    order = np.argsort(-sizes, kind="stable")
    for index in order:
        _draw_person(canvas, instances, int(index), keypoint_set, style)
    if instances.track_ids is not None:  # in films, plates do not jump when sizes change
        order = np.argsort(instances.track_ids, kind="stable")
    _draw_labels(canvas, instances, order, keypoint_set, style)
    return canvas


def _draw_person(
    canvas: NDArray[np.uint8],
    instances: Instances,
    index: int,
    keypoint_set: KeypointSet,
    style: DrawStyle,
) -> None:
    """Draw one person's box, edges and keypoints, every rim before every colour."""
    own = _instance_colour(instances, index)
    colours = _colours(keypoint_set, own, style)
    width = _line_width(canvas, instances.boxes[index], style)
    points = instances.keypoints[index]
    shown = (
        (instances.visibility[index] > 0)
        & (instances.keypoint_scores[index] >= style.keypoint_threshold)
        & (np.abs(points) < FAR_PX).all(axis=1)
    )
    if style.boxes:
        colour = own if style.palette == "instance" else CENTRE
        _draw_box(canvas, instances.boxes[index], colour, width)

    edges = [(a, b) for a, b in keypoint_set.edges if shown[a] and shown[b]]
    lengths = [float(np.hypot(*(points[a] - points[b]))) for a, b in edges]
    widths = [_rounded(min(width, 0.25 * length)) for length in lengths]
    for (a, b), thickness in zip(edges, widths, strict=True):
        _line(canvas, points[a], points[b], RIM, thickness + _rounded(thickness / 2))
    for (a, b), thickness in zip(edges, widths, strict=True):
        colour = colours[a] if colours[a] == colours[b] else _of_edge(colours[a], colours[b])
        _line(canvas, points[a], points[b], colour, thickness)

    for keypoint, radius in zip(np.flatnonzero(shown), _radii(points[shown], width), strict=True):
        hidden = instances.visibility[index, keypoint] == 1
        _draw_keypoint(canvas, points[keypoint], colours[keypoint], radius, hidden)


def _draw_box(
    canvas: NDArray[np.uint8], box: NDArray[np.float32], colour: Colour, width: float
) -> None:
    thickness = _rounded(width / 3)
    corners = np.rint(np.clip(box, -FAR_PX, FAR_PX)).astype(int)
    for paint, grown in ((RIM, thickness), (colour, 0)):
        low, high = (corners[:2] - grown).tolist(), (corners[2:] + grown).tolist()
        cv2.rectangle(canvas, low, high, paint, thickness)


def _draw_keypoint(
    canvas: NDArray[np.uint8],
    point: NDArray[np.float32],
    colour: Colour,
    radius: float,
    hidden: bool,
) -> None:
    """Draw a disc, with a dark heart where the body part is hidden in the picture."""
    discs = [(radius + _rounded(radius / 4), RIM), (radius, colour)]
    if hidden:
        discs.append((0.6 * radius, RIM))
    for size, paint in discs:
        fixed_size = round(size * (1 << FIXED_BITS))
        cv2.circle(canvas, _fixed(point), fixed_size, paint, -1, cv2.LINE_AA, FIXED_BITS)


def _draw_labels(
    canvas: NDArray[np.uint8],
    instances: Instances,
    order: NDArray[np.intp],
    keypoint_set: KeypointSet,
    style: DrawStyle,
) -> None:
    """Write what is to be said of people on plates at their boxes, in turn, within the picture."""
    height, width = canvas.shape[:2]
    letter_height = style.line_scale * max(9.0, min(height, width) / 40)
    (_, unit_height), _ = cv2.getTextSize("0", _FONT, 1.0, 1)
    scale = letter_height / unit_height
    thickness = _rounded(letter_height / 12)
    margin = _rounded(letter_height / 4)
    texts = [_text(instances, int(index), keypoint_set, style) for index in order]
    if not any(texts):
        return
    sizes = [cv2.getTextSize(text, _FONT, scale, thickness)[0] for text in texts]
    plates_wh = [(int(wide) + 2 * margin, int(high) + 2 * margin) for wide, high in sizes]
    boxes = np.clip(instances.boxes[order], -FAR_PX, FAR_PX)
    places = place_plates(plates_wh, boxes, (width, height))
    for index, text, (x, y), (wide, high) in zip(order, texts, places, plates_wh, strict=True):
        colour = _instance_colour(instances, int(index)) if style.palette == "instance" else CENTRE
        cv2.rectangle(canvas, (x, y), (x + wide - 1, y + high - 1), colour, -1)
        cv2.rectangle(canvas, (x, y), (x + wide - 1, y + high - 1), RIM, 1)
        foot = (x + margin, y + high - margin)
        ink = RIM if sum(colour) > _BRIGHT else CENTRE
        cv2.putText(canvas, text, foot, _FONT, scale, ink, thickness, cv2.LINE_AA)


def _text(instances: Instances, index: int, keypoint_set: KeypointSet, style: DrawStyle) -> str:
    """Return what is to be written of one person, nothing perhaps."""
    words = []
    if style.labels:
        words.append(keypoint_set.category)
    if instances.track_ids is not None and (style.labels or style.ids):
        words.append(f"#{instances.track_ids[index]}")
    if style.scores:
        words.append(f"{instances.scores[index]:.2f}")
    return writable("  ".join(words))  # a single space is too narrow to be seen


def _line_width(canvas: NDArray[np.uint8], box: NDArray[np.float32], style: DrawStyle) -> float:
    """Return the width of a person's lines, px: of its size, within what the picture bears."""
    short_side = min(canvas.shape[:2])
    person = float(np.sqrt(np.clip(box[2:] - box[:2], 1, None).prod()))
    low, high = max(1.0, short_side / 600), max(2.0, short_side / 120)
    return style.line_scale * float(np.clip(person / 50, low, high))


def _radii(points: NDArray[np.float32], width: float) -> list[float]:
    """Return the radius of every keypoint: less where they crowd, as on faces and hands."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(axis=1, initial=np.inf)
    radii: list[float] = np.clip(0.35 * nearest, 1.0, max(1.0, 1.1 * width)).tolist()
    return radii


def _colours(keypoint_set: KeypointSet, own: Colour, style: DrawStyle) -> list[Colour]:
    """Return the colour of every keypoint; a side is what its name says, if it has a partner."""
    if style.palette == "instance":
        return [own] * keypoint_set.num_keypoints
    return [_SIDE_COLOURS[side] for side in keypoint_set.sides]


def _of_edge(first: Colour, second: Colour) -> Colour:
    """Return the colour of an edge between two: the side's where one end is in the centre."""
    if CENTRE in (first, second):
        return second if first == CENTRE else first
    return CENTRE


def _instance_colour(instances: Instances, index: int) -> Colour:
    number = index if instances.track_ids is None else int(instances.track_ids[index])
    return INSTANCE_COLOURS[number % len(INSTANCE_COLOURS)]


def _line(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    colour: Colour,
    thickness: int,
) -> None:
    cv2.line(canvas, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, FIXED_BITS)


def _fixed(point: NDArray[np.float32]) -> tuple[int, int]:
    """Return a point in OpenCV's fixed-point numbers."""
    return round(float(point[0]) * (1 << FIXED_BITS)), round(float(point[1]) * (1 << FIXED_BITS))


def _rounded(width: float) -> int:
    return max(1, round(width))
