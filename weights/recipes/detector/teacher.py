"""YOLOX-nano, the teacher, run by ONNX Runtime.

Its input is a 416 px letterbox of raw BGR, its output a row (cx, cy, w, h, objectness, 80 classes)
for every cell of three grids, the box relative to its cell (YOLOX, arXiv:2107.08430).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

INPUT = 416
"""Side of the square that it is shown, px."""

STRIDES = (8, 16, 32)
"""Pixels from one of its places to the next, level by level."""

STEM_WIDTH = 64
"""Channels of what goes into its heads."""

_STEMS = ("input.599", "input.671", "input.743")
"""Names of that in the file, by stride."""

_GREY = 114
_PERSON = 5
"""Column of COCO's first class, the person."""


_LEAST_SCORE = 0.05
"""Boxes scored below it are dropped."""


class Teacher:
    """Finds people with YOLOX-nano."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load the network from an ONNX file, to be run on so many threads."""
        import onnx  # here, since training without a teacher needs neither
        import onnxruntime

        network = onnx.load(path)
        network.graph.output.extend(onnx.ValueInfoProto(name=name) for name in _STEMS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._network = onnxruntime.InferenceSession(
            network.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        [entry] = self._network.get_inputs()
        self._entry = entry.name
        cells = [
            np.stack([*np.meshgrid(np.arange(side), np.arange(side)), np.full((side, side), step)])
            for step in STRIDES
            for side in [INPUT // step]
        ]
        grid = np.concatenate([cell.reshape(3, -1) for cell in cells], axis=1)
        self._corners, self._steps = grid[:2].T, grid[2][:, None]

    def detect(self, image: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Return boxes (N, 4) xyxy in px of a BGR photo, and their scores, best first.

        The photo is looked at a second time in the mirror and the boxes of both looks are merged:
        a person found in one look alone keeps half the score.
        """
        boxes, scores = self._look(image)
        mirrored, mirrored_scores = self._look(np.ascontiguousarray(image[:, ::-1]))
        mirrored[:, [0, 2]] = image.shape[1] - mirrored[:, [2, 0]]
        return merge_looks(boxes, scores, mirrored, mirrored_scores)

    def detect_once(self, image: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Return boxes and scores as `detect`, without the mirror: what the network itself does."""
        return self._look(image)

    def answer_everywhere(self, picture: NDArray[Any]) -> tuple[FloatArray, ...]:
        """Return what the network says at each of its places of a square picture.

        Args:
            picture: (416, 416, 3) BGR, 0 to 255.

        Returns:
            Boxes (3549, 4) xyxy, px of the picture, and their scores (3549,), of the places at
            strides 8, 16 and 32, row by row; and what goes into the heads of those strides, each
            (`STEM_WIDTH`, H, W).
        """
        pixels = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        answer, *stems = self._network.run(None, {self._entry: pixels})
        rows = answer[0]
        centres = (rows[:, :2] + self._corners) * self._steps
        halves = np.exp(rows[:, 2:4]) * self._steps / 2
        boxes = np.concatenate([centres - halves, centres + halves], axis=1)
        scores = (rows[:, 4] * rows[:, _PERSON]).astype(np.float32)
        return boxes.astype(np.float32), scores, *(stem[0] for stem in stems)

    def _look(self, image: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        scale = INPUT / max(image.shape[:2])
        size_wh = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        canvas = np.full((INPUT, INPUT, 3), _GREY, np.uint8)
        canvas[: size_wh[1], : size_wh[0]] = cv2.resize(image, size_wh)
        boxes, scores, *_ = self.answer_everywhere(canvas)
        kept = scores >= _LEAST_SCORE
        boxes = (boxes[kept] / scale).clip(0, [image.shape[1], image.shape[0]] * 2)
        return suppress(boxes.astype(np.float32), scores[kept], iou=0.6)


def suppress(boxes: FloatArray, scores: FloatArray, iou: float) -> tuple[FloatArray, FloatArray]:
    """Keep of boxes that overlap more than `iou` the best one; return best first."""
    order = np.argsort(-scores, kind="stable")
    overlaps = box_iou(boxes, boxes)
    kept: list[int] = []
    for index in order:
        if not kept or overlaps[index, kept].max() <= iou:
            kept.append(int(index))
    return boxes[kept], scores[kept]


def merge_looks(
    boxes: FloatArray, scores: FloatArray, others: FloatArray, other_scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Average the boxes and scores of two looks at one photo."""
    merged, merged_scores, free = [], [], np.ones(len(others), bool)
    overlaps = box_iou(boxes, others)
    for index, score in enumerate(scores):
        row = np.where(free, overlaps[index], 0) if len(others) else np.zeros(1)
        twin = int(row.argmax())
        if row[twin] > 0.55:
            free[twin] = False
            trust = score / (score + other_scores[twin])
            merged.append(boxes[index] * trust + others[twin] * (1 - trust))
            merged_scores.append((score + other_scores[twin]) / 2)
        else:
            merged.append(boxes[index])
            merged_scores.append(score / 2)
    merged += list(others[free])
    merged_scores += list(other_scores[free] / 2)
    together = np.array(merged, np.float32).reshape(-1, 4)
    kept = np.array(merged_scores, np.float32) >= _LEAST_SCORE
    return suppress(together[kept], np.array(merged_scores, np.float32)[kept], iou=0.6)


def box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the overlap of every box of `a` (N, 4) with every one of `b` (M, 4), (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    overlap: FloatArray = shared / (areas[0][:, None] + areas[1][None] - shared).clip(1e-6)
    return overlap
