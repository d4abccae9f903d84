"""Derive `pose_golden.npz`: crops, heatmaps and OKS as ViTPose's original code computes them.

Float64 numpy, one map and one keypoint at a time, full-map blur, straight from the formulas; no
line of the package is used. Run it with the repository's Python; OpenCV, where it is installed,
checks the blur. The tests also load the functions below as a reference.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

INPUT_WH = (96, 128)
MAP_WH = (24, 32)
SCALE = 4096  # stored maps are int16 / SCALE
KERNELS = {64: 11, 32: 5, 12: 5, 4: 5}
"""Side of the blur by rows of a map: the original's for 64, in proportion for less."""


def sigma_of(size: int) -> float:
    """Return OpenCV's sigma for a side; up to 7 cells it has tables instead, unless told this."""
    return 0.3 * ((size - 1) * 0.5 - 1) + 0.8


def blur(heatmap: Array) -> Array:
    """Blur as cv2.GaussianBlur(size, sigma, reflect-101)."""
    size = KERNELS[len(heatmap)]
    sigma = sigma_of(size)
    steps = np.arange(size) - size // 2
    taps = np.exp(-(steps**2) / (2 * sigma**2))
    taps /= taps.sum()
    padded = np.pad(heatmap, size // 2, mode="reflect")
    lines = np.apply_along_axis(np.convolve, 0, padded, taps, "valid")
    blurred: Array = np.apply_along_axis(np.convolve, 1, lines, taps, "valid")
    return blurred


def decode_udp(heatmap: Array) -> tuple[Array, float]:
    """Decode one map by DARK-UDP to map px and a score."""
    y, x = (int(place) for place in np.unravel_index(np.argmax(heatmap), heatmap.shape))
    logs = np.pad(np.log(np.clip(blur(heatmap), 0.001, 50)), 1, mode="edge")

    def at(step_x: int, step_y: int) -> float:
        return float(logs[y + 1 + step_y, x + 1 + step_x])

    gradient = np.array([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)]) / 2
    dxx = at(1, 0) - 2 * at(0, 0) + at(-1, 0)
    dyy = at(0, 1) - 2 * at(0, 0) + at(0, -1)
    dxy = 0.5 * (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1))
    hessian = np.array([[dxx, dxy], [dxy, dyy]]) + np.finfo(np.float32).eps * np.eye(2)
    return np.array([x, y]) - np.linalg.inv(hessian) @ gradient, float(heatmap.max())


def decode_classic(heatmap: Array) -> tuple[Array, float]:
    """Decode one map by a quarter step to map px and a score."""
    height, width = heatmap.shape
    y, x = (int(place) for place in np.unravel_index(np.argmax(heatmap), heatmap.shape))
    point = np.array([x, y], np.float64)
    if 1 < x < width - 1 and 1 < y < height - 1:
        slopes = [
            heatmap[y, x + 1] - heatmap[y, x - 1],
            heatmap[y + 1, x] - heatmap[y - 1, x],
        ]
        point += 0.25 * np.sign(slopes)
    return point, float(heatmap.max())


def to_frame(map_point: Array, box: Array, alignment: str) -> Array:
    """Carry a decoded point to the frame by the back transform of the original."""
    centre = (box[:2] + box[2:]) / 2
    width, height = box[2:] - box[:2]
    aspect = INPUT_WH[0] / INPUT_WH[1]
    if width > aspect * height:
        height = width / aspect
    else:
        width = height * aspect
    region = np.array([width, height]) * 1.25
    steps = np.array(MAP_WH) - (1 if alignment == "udp" else 0)
    frame_point: Array = map_point * region / steps + centre - region / 2
    return frame_point


def encode(point: Array, alignment: str) -> tuple[Array, float]:
    """Draw one keypoint, in crop px, cell by cell."""
    gap = 1 if alignment == "udp" else 0
    centre = [point[axis] / ((INPUT_WH[axis] - gap) / (MAP_WH[axis] - gap)) for axis in range(2)]
    cell = [int(place + 0.5) for place in centre]
    if alignment == "classic":
        centre = [float(place) for place in cell]
    heatmap, drawn = np.zeros(MAP_WH[::-1]), 0.0
    for y in range(max(0, cell[1] - 6), min(MAP_WH[1], cell[1] + 7)):
        for x in range(max(0, cell[0] - 6), min(MAP_WH[0], cell[0] + 7)):
            squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
            heatmap[y, x], drawn = math.exp(-squared / (2 * 2.0**2)), 1.0
    return heatmap, drawn


def oks(a: Array, area_a: float, b: Array, area_b: float, sigmas: Array) -> float:
    """Compare two instances as OKS-NMS does: all keypoints, mean area."""
    variances = (2 * sigmas) ** 2
    distances = ((a - b) ** 2).sum(axis=1)
    errors = distances / variances / ((area_a + area_b) / 2 + np.spacing(1)) / 2
    return float(np.exp(-errors).mean())


def oks_nms(points: Array, areas: Array, scores: Array, sigmas: Array, limit: float) -> list[int]:
    """Keep the best instance, drop what resembles it too much, go on."""
    left = list(np.argsort(scores)[::-1])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        left = [
            each
            for each in left
            if oks(points[best], areas[best], points[each], areas[each], sigmas) <= limit
        ]
    return kept


def golden_maps(random: np.random.Generator) -> NDArray[np.int16]:
    """Draw noisy maps with peaks everywhere: inside, at the borders, two of them, faint ones."""
    centres = random.uniform([4, 4], [MAP_WH[0] - 5, MAP_WH[1] - 5], size=(24, 2))
    centres[12:20] = [
        (0, 0),
        (23, 31),
        (0.4, 15.3),
        (23, 9.6),
        (11.7, 0),
        (8.2, 31),
        (2, 3),
        (22, 2),
    ]
    ys, xs = np.mgrid[: MAP_WH[1], : MAP_WH[0]]
    maps = np.zeros((24, *MAP_WH[::-1]))
    for index, (x, y) in enumerate(centres):
        sigma = random.uniform(1.5, 3.0)
        blob = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
        second = np.exp(-((xs - (x + 11) % 24) ** 2 + (ys - (y + 13) % 32) ** 2) / 8)
        height = 0.05 if index >= 20 else random.uniform(0.3, 1.1)
        maps[index] = height * (blob + random.uniform(0, 0.8) * second)
    maps += random.normal(0, 0.01, maps.shape) * maps.max(axis=(1, 2), keepdims=True)
    return np.round(maps * SCALE).astype(np.int16).reshape(4, 6, *MAP_WH[::-1])


def make() -> dict[str, Any]:
    """Compute everything the file holds."""
    random = np.random.default_rng(20240612)
    golden: dict[str, Any] = {"maps": golden_maps(random)}
    corners = random.uniform(-20, 300, (4, 2))
    boxes = np.concatenate([corners, corners + random.uniform(30, 200, (4, 2))], axis=1)
    golden["boxes"] = boxes
    crop_points = np.array(
        [
            *((47.3, 60.9), (12.0, 100.25), (2.0, 2.0), (93.9, 66.1)),  # inside
            *((0, 0), (95, 127), (-20.3, 50), (40, 155.2), (114, 60)),  # reached in part
            *((-35, 50), (118.5, 148), (200, 60)),  # out of reach, one alignment at least
        ]
    )
    golden["crop_points"] = crop_points
    for alignment, decode in (("udp", decode_udp), ("classic", decode_classic)):
        decoded = [[decode(each / SCALE) for each in maps] for maps in golden["maps"]]
        points = np.array([[point for point, _ in row] for row in decoded])
        golden[f"{alignment}_map_points"] = points
        golden[f"{alignment}_frame_points"] = np.stack(
            [to_frame(row, box, alignment) for row, box in zip(points, boxes, strict=True)]
        )
        golden["scores"] = np.array([[score for _, score in row] for row in decoded])
        drawn = [encode(point, alignment) for point in crop_points]
        golden[f"{alignment}_targets"] = np.array([each for each, _ in drawn], np.float32)
        golden[f"{alignment}_weights"] = np.array([weight for _, weight in drawn])

    people = random.uniform(0, 400, (5, 1, 2)) + random.uniform(-60, 60, (1, 17, 2))
    people = np.concatenate([people, people[:4] + random.normal(0, 4, (4, 17, 2))])
    areas, scores = random.uniform(9e3, 4e4, 9), random.uniform(0.1, 1, 9)
    sigmas = random.uniform(0.025, 0.107, 17)
    golden |= {"people": people, "areas": areas, "people_scores": scores, "sigmas": sigmas}
    golden["oks"] = np.array(
        [
            [oks(people[a], areas[a], people[b], areas[b], sigmas) for b in range(9)]
            for a in range(9)
        ]
    )
    golden["kept"] = np.array(oks_nms(people, areas, scores, sigmas, 0.9))
    return golden


def check_blur(maps: NDArray[np.generic]) -> None:
    """Hold the blur against OpenCV's."""
    import cv2

    for each in maps.reshape(-1, *MAP_WH[::-1]).astype(np.float32) / SCALE:
        size = KERNELS[len(each)]
        difference = np.abs(
            cv2.GaussianBlur(each, (size, size), sigma_of(size)) - blur(each.astype(np.float64))
        )
        if difference.max() > 1e-6:
            raise SystemExit(f"The blur differs from OpenCV's by {difference.max():.2e}.")


if __name__ == "__main__":
    result = make()
    check_blur(result["maps"])
    np.savez_compressed(Path(__file__).with_name("pose_golden.npz"), **result)
