"""People drawn onto frames: what shows, in which colour, how wide, and on what."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.drawing import (
    CENTRE,
    INSTANCE_COLOURS,
    LEFT,
    RIGHT,
    RIM,
    Colour,
    DrawStyle,
    draw_instances,
)
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet, keypoint_set

COCO = keypoint_set("coco")
POINTS_ONLY = DrawStyle(boxes=False, scores=False)


def grey(width: int, height: int, level: int = 128) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def standing(scale: float = 1.0, visibility: int = 2, points: KeypointSet = COCO) -> Instances:
    """One person whose keypoints lie on a grid of 6 columns, 40 px apart, from (40, 40) on."""
    number = np.arange(points.num_keypoints)
    xy = np.stack([40 + 40 * (number % 6), 40 + 40 * (number // 6)], axis=-1) * scale
    return Instances(
        boxes=np.array([[20, 20, 260, 260]], np.float32) * scale,
        box_scores=np.full(1, 0.5, np.float32),
        keypoints=xy[None].astype(np.float32),
        keypoint_scores=np.full((1, points.num_keypoints), 0.5, np.float32),
        visibility=np.full((1, points.num_keypoints), visibility, np.int8),
    )


def at(canvas: NDArray[np.uint8], instances: Instances, name: str) -> Colour:
    x, y = instances.keypoints[0, COCO.names.index(name)].astype(int)
    red, green, blue = canvas[y, x].tolist()
    return red, green, blue


def test_the_picture_itself_stays_as_it_is() -> None:
    image = grey(300, 300)
    image.setflags(write=False)
    drawn = draw_instances(image, standing(), COCO)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (image == 128).all()
    assert (drawn != image).any()
    turned = draw_instances(image.transpose(1, 0, 2)[::-1], standing(), COCO)
    assert (turned == drawn).all()


def test_nobody_leaves_no_trace() -> None:
    assert (draw_instances(grey(50, 40), Instances.empty(17), COCO) == 128).all()


def test_sides_have_their_colours() -> None:
    person = standing()
    drawn = draw_instances(grey(300, 300), person, COCO, POINTS_ONLY)
    assert at(drawn, person, "nose") == CENTRE
    assert at(drawn, person, "left_wrist") == LEFT
    assert at(drawn, person, "right_wrist") == RIGHT


def test_left_is_left_in_sets_that_name_the_right_side_first() -> None:
    mpii = keypoint_set("mpii")
    person = standing(points=mpii)
    drawn = draw_instances(grey(300, 300), person, mpii, POINTS_ONLY)
    for name, colour in (("right_ankle", RIGHT), ("left_ankle", LEFT)):
        x, y = person.keypoints[0, mpii.names.index(name)].astype(int)
        assert tuple(drawn[y, x].tolist()) == colour


def test_what_is_not_labelled_or_scored_too_low_is_left_out() -> None:
    unlabelled = standing(visibility=0)
    assert (draw_instances(grey(300, 300), unlabelled, COCO, POINTS_ONLY) == 128).all()
    strict = dataclasses.replace(POINTS_ONLY, keypoint_threshold=0.51)
    assert (draw_instances(grey(300, 300), standing(), COCO, strict) == 128).all()
    one_missing = standing()
    one_missing.visibility[0, COCO.names.index("nose")] = 0
    drawn = draw_instances(grey(300, 300), one_missing, COCO, POINTS_ONLY)
    assert (drawn[30:50, 30:50] == 128).all()


def test_hidden_keypoints_are_hollow() -> None:
    person = standing(scale=4, visibility=1)
    drawn = draw_instances(grey(1200, 1200), person, COCO, POINTS_ONLY)
    x, y = person.keypoints[0, COCO.names.index("left_wrist")].astype(int)
    row = drawn[y, x : x + 40]
    assert tuple(row[0].tolist()) == RIM
    assert (row == LEFT).all(axis=1).any()


def test_instances_keep_their_colour_over_a_track() -> None:
    person = dataclasses.replace(standing(), track_ids=np.array([10]))
    style = dataclasses.replace(POINTS_ONLY, palette="instance")
    drawn = draw_instances(grey(300, 300), person, COCO, style)
    assert at(drawn, person, "nose") == INSTANCE_COLOURS[10 % 7]
    assert at(drawn, person, "left_wrist") == INSTANCE_COLOURS[10 % 7]


def test_boxes_and_words_are_drawn_when_asked_for() -> None:
    people = dataclasses.replace(standing(visibility=0), track_ids=np.array([3]))
    plain = draw_instances(grey(300, 300), people, COCO, POINTS_ONLY)
    boxed = draw_instances(grey(300, 300), people, COCO, DrawStyle(scores=False))
    scored = draw_instances(grey(300, 300), people, COCO, DrawStyle(boxes=False))
    named = draw_instances(grey(300, 300), people, COCO, DrawStyle(boxes=False, labels=True))
    assert (plain == 128).all()
    assert tuple(boxed[100, 20].tolist()) == CENTRE
    marked = [int((drawn != 128).any(axis=2).sum()) for drawn in (scored, named)]
    assert 0 < marked[0] < marked[1]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1920, 1080), (3840, 2160)])
def test_widths_follow_the_picture_and_the_person(width: int, height: int) -> None:
    stick = KeypointSet("stick", "stick", ("tip", "tail"), ((0, 1),), (), (0.1, 0.1), (), "here")
    inked = []
    for size in (height / 20, 0.9 * height):
        person = Instances(
            boxes=np.array([[10, 10, 10 + size, 10 + size]], np.float32),
            box_scores=np.ones(1, np.float32),
            keypoints=np.array([[[10, 10 + size / 2], [10 + size, 10 + size / 2]]], np.float32),
            keypoint_scores=np.ones((1, 2), np.float32),
            visibility=np.full((1, 2), 2, np.int8),
        )
        drawn = draw_instances(grey(width, height), person, stick, POINTS_ONLY)
        inked.append(int((drawn[:, 10 + int(size / 2)] != 128).any(axis=1).sum()))
    # With the rims: never a hair on a screen that shows 1080 lines, never a smear.
    assert max(3, height / 300) <= inked[0] <= inked[1] <= max(7, height / 60)


@pytest.mark.parametrize("name", list(KEYPOINT_SETS))
@pytest.mark.parametrize("palette", ["side", "instance"])
def test_every_keypoint_set_can_be_drawn(name: str, palette: str) -> None:
    points = keypoint_set(name)
    style = DrawStyle(labels=True, palette="side" if palette == "side" else "instance")
    drawn = draw_instances(grey(300, 300), standing(points=points), points, style)
    assert (drawn != 128).any()


def test_people_beyond_the_picture_and_wild_numbers_do_no_harm() -> None:
    person = standing()
    wild = dataclasses.replace(
        person,
        boxes=np.array([[-1e9, -50, 1e9, 1e12]]),
        keypoints=person.keypoints * np.where(np.arange(17) % 2, 1e7, -3)[None, :, None],
    )
    wild.keypoints[0, 3] = np.nan
    point = dataclasses.replace(person, boxes=np.array([[5, 5, 5, 5]]))
    for image in (grey(300, 300), grey(1, 1), grey(400, 3)):
        for people in (wild, point):
            style = DrawStyle(labels=True)
            assert draw_instances(image, people, COCO, style).shape == image.shape


def test_another_number_of_keypoints_is_refused() -> None:
    with pytest.raises(InputError, match=r"17 keypoints.*mpii has 16"):
        draw_instances(grey(300, 300), standing(), keypoint_set("mpii"))


# Machado, Oliveira and Fernandes (2009), severity 1.
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
TRITANOPIA = [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]


@pytest.mark.parametrize("seen", [np.eye(3).tolist(), PROTANOPIA, DEUTERANOPIA, TRITANOPIA])
def test_colour_blind_people_tell_the_sides_apart(seen: list[list[float]]) -> None:
    for one, other in combinations((LEFT, RIGHT, CENTRE, RIM), 2):
        linear = (np.array([one, other]) / 255) ** 2.2 @ np.array(seen).T
        shown = np.clip(linear, 0, 1) ** (1 / 2.2) * 255
        assert np.linalg.norm(shown[0] - shown[1]) > 80  # of 441, from black to white
