"""Frames as points: poses and colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from select_cases import make_people

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.select.likeness import appearances, joint_space, pose_vector


def test_a_pose_is_the_same_wherever_and_however_large() -> None:
    near, far = make_people(0.9, seed=3), make_people(0.9, seed=3, at=300)
    np.testing.assert_allclose(pose_vector(near, 0), pose_vector(far, 0), atol=1e-5)
    assert not np.allclose(pose_vector(near, 0), pose_vector(make_people(0.9, seed=4), 0))
    assert np.abs(pose_vector(near, 0)).max() <= 1.5
    assert pose_vector(near, 1).tolist() == [0.0] * 34  # somebody whom the frame lacks


def test_keypoints_that_nobody_has_placed_say_nothing() -> None:
    one = make_people(0.9, seed=3)
    whole = pose_vector(one, 0)
    one.visibility[0, 15:] = one.keypoints[0, 15:] = 0
    assert pose_vector(one, 0).tolist() == [*whole[:30].tolist(), 0, 0, 0, 0]


def test_parts_count_alike_in_any_unit() -> None:
    generator = np.random.default_rng(0)
    metres, pixels = (generator.normal(0, scale, (40, 3)) for scale in (1, 1e4))
    points = joint_space([metres.astype(np.float32), pixels.astype(np.float32)])
    spreads = [np.square(points[:, part]).sum(axis=1).mean() for part in (slice(3), slice(3, 6))]
    np.testing.assert_allclose(spreads, 1, rtol=0.2)
    assert joint_space([np.ones((2, 2), np.float32)]).shape == (2, 2)


def test_colours_tell_scenes_apart(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, colour in (("sea", (200, 90, 20)), ("sea2", (190, 95, 25)), ("wood", (20, 90, 40))):
        image = np.clip(np.array(colour) + generator.normal(0, 5, (60, 80, 3)), 0, 255)
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), image.astype(np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    keys = [FrameKey(f"{name}.jpg") for name in ("wood", "broken", "sea2", "sea")]
    points, failures = appearances(MediaFolders.at(tmp_path), keys)
    assert points.shape == (4, 192)
    assert [failure.key for failure in failures] == [keys[1]]
    distance = np.linalg.norm(points - points[3], axis=1)
    assert distance[2] < distance[1] < distance[0]  # what cannot be read lies in the middle
