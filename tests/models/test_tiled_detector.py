"""Detectors that see tiles: which there are, what is kept, and that small people are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from runs import EXAMPLES

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.errors import ConfigError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.models.detection import DetectorOptions
from vitpose_cli.models.detectors import open_detector, shipped_detector_path
from vitpose_cli.models.tiled_detector import Tile, TiledDetector, levels_of
from vitpose_cli.pose.geometry import box_iou
from vitpose_cli.pose.instances import Detections

SAFE = 0.18  # of a tile: a quarter is shared, and 3 % at each edge count as cut


def array(values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


SMALL = 24  # px, of somebody whom the detector does not see in a frame of 1500 px


class Blots:
    """Finds what is white, one box for each; nothing that is smaller than a tenth of the frame."""

    def __init__(self) -> None:
        self.calls: list[list[Frame]] = []

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls.append([*frames])
        return [self._find(frame) for frame in frames]

    def _find(self, frame: Frame) -> Detections:
        white = np.ascontiguousarray(frame.image[:, :, 0] // 255)
        _, _, stats, _ = cv2.connectedComponentsWithStats(white)
        corners, sizes = stats[1:, :2], stats[1:, 2:4]
        boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
        shares = sizes.max(axis=1, initial=0) / max(frame.size_wh)
        found = Detections(boxes, np.minimum(shares, 1).astype(np.float32))
        return found.select(shares >= 0.1)


def frame_with(boxes: Sequence[Sequence[int]], size_wh: tuple[int, int]) -> Frame:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 255
    return Frame(FrameKey("blots.png"), image)


def in_order(boxes: NDArray[np.float32]) -> list[list[float]]:
    return sorted(boxes.tolist())


@given(data=st.data(), side=st.integers(64, 500))
def test_whoever_is_whole_somewhere_is_seen_large_enough(data: st.DataObject, side: int) -> None:
    width, height = (data.draw(st.integers(1, 2000)) for _ in range(2))
    tiles = [tile for level in levels_of((width, height), side) for tile in level]
    assert all(0 <= t.left < t.right <= width and 0 <= t.top < t.bottom <= height for t in tiles)
    assert Tile(0, 0, width, height) not in tiles
    box_wh = [data.draw(st.integers(1, end)) for end in (width, height)]
    left, top = (
        data.draw(st.integers(0, end - own))
        for end, own in zip((width, height), box_wh, strict=True)
    )
    box = array([[left, top, left + box_wh[0], top + box_wh[1]]])
    seen_in = [max(width, height)]
    for tile in tiles:
        inside = box - array([tile.left, tile.top] * 2)
        within = (inside[0, :2] >= 0).all() and (box[0, 2:] <= [tile.right, tile.bottom]).all()
        if within and len(tile.uncut(Detections(inside, np.ones(1, np.float32)), (width, height))):
            seen_in.append(max(tile.right - tile.left, tile.bottom - tile.top))
    assert min(seen_in) <= max(side, 2 / SAFE * max(box_wh))


def test_small_and_large_are_found_once_and_whole() -> None:
    boxes = [[10, 10, 30, 50], [700, 400, 760, 500], [880, 40, 900, 60], [100, 350, 600, 790]]
    frame = frame_with(boxes, (1000, 800))
    alone = Blots()
    assert in_order(alone.detect([frame])[0].boxes) == in_order(array(boxes[1::2]))
    tiled = TiledDetector(Blots(), 200)
    (found,) = tiled.detect([frame])
    assert in_order(found.boxes) == in_order(array(boxes))
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("seen_closer", [[0], [0, 1]])
def test_two_who_embrace_stay_two(seen_closer: list[int]) -> None:
    pair = array([[110, 110, 160, 190], [125, 112, 170, 188]])
    assert box_iou(pair[:1], pair[1:]) > 0.55
    shifted = pair - array([100, 100] * 2)

    class Pairs:
        """Finds two people who overlap, and one or both of them once more in one of the tiles."""

        def detect(self, frames: Sequence[Frame]) -> list[Detections]:
            whole = Detections(pair, array([0.9, 0.8]))
            tile = Detections(shifted[seen_closer], array([0.95, 0.94])[seen_closer])
            if frames[0].size_wh == (300, 300):
                return [whole]
            return [tile if frame.image[0, 0, 0] else Detections.empty() for frame in frames]

    frame = frame_with([[100, 100, 101, 101]], (300, 300))
    (found,) = TiledDetector(Pairs(), 200).detect([frame])
    assert in_order(found.boxes) == in_order(pair)


def test_who_is_cut_by_a_tile_is_no_second_person() -> None:
    class Short(Blots):
        """Ends boxes a little before what is white ends, as networks do."""

        def _find(self, frame: Frame) -> Detections:
            found = super()._find(frame)
            margin = 0.02 * max(frame.size_wh)
            return Detections(found.boxes + array([margin, margin, -margin, -margin]), found.scores)

    (found,) = TiledDetector(Short(), 200).detect([frame_with([[150, 100, 700, 780]], (1000, 800))])
    assert len(found) == 1


def test_frames_no_larger_than_a_tile_are_seen_once() -> None:
    blots = Blots()
    frames = [frame_with([[5, 5, 60, 80]], (200, 150)), frame_with([], (20, 200))]
    found = TiledDetector(blots, 200, most=0).detect(frames)
    assert [[frame.size_wh for frame in call] for call in blots.calls] == [[(200, 150), (20, 200)]]
    assert [len(each) for each in found] == [1, 0]


def test_a_frame_is_seen_alike_whoever_is_beside_it() -> None:
    boxes = [[10, 10, 30, 50], [700, 400, 760, 500]]
    frames = [frame_with(boxes, (1000, 800)), frame_with([[3, 3, 40, 40]], (400, 150))]
    frames[1] = replace(frames[1], key=FrameKey("other.png"))
    blots = Blots()
    tiled = TiledDetector(blots, 200)
    both = tiled.detect(frames)
    whole, *closer = blots.calls
    assert whole == frames
    assert all(len({frame.key for frame in call}) == 1 for call in closer)
    for frame, found in zip(frames, both, strict=True):
        (alone,) = tiled.detect([frame])
        np.testing.assert_array_equal(found.boxes, alone.boxes)
        np.testing.assert_array_equal(found.scores, alone.scores)


def test_someone_small_is_found_in_tiles_alone() -> None:
    path = shipped_detector_path()
    if path is None:
        pytest.skip("no detector ships with this checkout")
    detector = open_detector(str(path), DetectorOptions())
    image = decode_image((EXAMPLES / "camera.jpg").read_bytes())
    image = cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    (by_itself,) = detector.detect([Frame(FrameKey("camera.jpg"), image)])
    there = by_itself.boxes[:1] + array([500, 300] * 2)
    large = np.full((1000, 1500, 3), 128, np.uint8)
    large[300 : 300 + SMALL, 500 : 500 + SMALL] = image
    frame = Frame(FrameKey("camera.jpg"), large)
    (whole,) = detector.detect([frame])
    (tiled,) = TiledDetector(detector, 200).detect([frame])
    assert not len(whole)
    assert box_iou(tiled.boxes, there).max(initial=0) > 0.6


def test_where_memory_is_short_tiles_are_seen_one_by_one() -> None:
    class Narrow(Blots):
        """Has room for one picture."""

        def detect(self, frames: Sequence[Frame]) -> list[Detections]:
            if len(frames) > 1:
                raise RuntimeError("out of memory")
            return super().detect(frames)

    frame = frame_with([[10, 10, 30, 50], [700, 400, 760, 500]], (1000, 800))
    (found,) = TiledDetector(Narrow(), 200).detect([frame])
    (expected,) = TiledDetector(Blots(), 200).detect([frame])
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_the_best_are_kept_where_only_some_are_wanted() -> None:
    frame = frame_with([[10, 10, 30, 50], [700, 400, 760, 500]], (1000, 800))
    (every,) = TiledDetector(Blots(), 200).detect([frame])
    (best,) = TiledDetector(Blots(), 200, most=1).detect([frame])
    np.testing.assert_array_equal(best.boxes, every.boxes[:1])


def test_options_that_show_tiles_reach_the_detector(tmp_path: Path) -> None:
    tiled = assemble(LabelerOptions(detector_tile=300, device="cpu")).detector
    assert isinstance(tiled, TiledDetector)
    boxes = tmp_path / "boxes.json"
    boxes.write_text('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
    for name in (str(boxes), "whole-image"):
        for useless in (
            LabelerOptions(detector=name, detector_tile=300),
            LabelerOptions(detector=name, detector_size=320),
        ):
            with pytest.raises(ConfigError, match="does nothing without a network"):
                assemble(useless)
