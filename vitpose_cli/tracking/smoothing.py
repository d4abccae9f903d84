"""Smoother poses along each identity: short gaps filled, jitter and single jumps taken out.

For pictures, not for labels: a smoothed point is off where a limb is fast, so nothing trains on
it. A pure function of labels with identities. As the whole video is known, it looks both ways and
lags behind nothing, unlike the One-Euro filter, which is made for live pictures; and as frames may
come unevenly, it fits in time and not in frames, unlike `scipy.signal.savgol_filter`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.geometry import FloatArray
from vitpose_cli.pose.instances import Instances
from vitpose_cli.ranges import check_types

_FEWEST_FRAMES = 4  # a parabola goes through any three, so nothing would be smoothed
_LEAST_WEIGHT = 1e-3  # of a keypoint whose score is 0, or that nobody has placed
_STRETCH_FRAMES = 1000  # of a long video, smoothed at once
_FEWEST_AROUND = 8  # frames, so that the median of five is the same at the ends of a stretch
_JUMP = 6.0  # times the usual; Cleveland's choice in Robust Locally Weighted Regression, 1979

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SmoothOptions:
    """How strongly poses are smoothed.

    Attributes:
        window_s: Frames this near, before and after, have a say; 0 smooths nothing.
        max_gap_s: Who is missing for no longer than this is put in between; 0 fills nothing.
    """

    window_s: float = 0.3
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: One is negative, or no number.
        """
        check_types(self)
        if self.window_s < 0 or self.max_gap_s < 0:
            raise ConfigError("window_s and max_gap_s of smoothing must be 0 or more.")


def smooth_instances(
    frames: Sequence[tuple[float, Instances]], options: SmoothOptions = SmoothOptions()
) -> list[Instances]:
    """Fill short gaps and smooth the poses and boxes of one video.

    Args:
        frames: Time in seconds, increasing, and instances with `track_ids` of each frame.
        options: How strongly.

    Returns:
        The instances of each frame, by identity, without signals. Who was put in has the lower
        scores and visibility of the two sights around.

    Raises:
        ConfigError: There are instances without identities.
    """
    seen = [instances for _, instances in frames if len(instances)]
    if not seen:
        return [replace(instances, signals={}) for _, instances in frames]
    times_s = np.array([time_s for time_s, _ in frames], np.float64)
    everybody = _joined(seen)
    frame_of = np.repeat(np.arange(len(frames)), [len(instances) for _, instances in frames])
    paths, paths_frame_of = [], []
    for rows in _rows_by_identity(everybody):
        path, path_frames = _filled(
            everybody.select(rows), frame_of[rows], times_s, options.max_gap_s
        )
        paths.append(_smoothed(path, times_s[path_frames], options.window_s))
        paths_frame_of.append(path_frames)
    order = np.argsort(np.concatenate(paths_frame_of), kind="stable")
    counts = np.bincount(np.concatenate(paths_frame_of), minlength=len(frames))
    result = _joined(paths)
    return [result.select(part) for part in np.split(order, np.cumsum(counts)[:-1])]


def smooth_stream(
    frames: Iterable[tuple[float, Instances]],
    options: SmoothOptions = SmoothOptions(),
    *,
    media: str,
) -> Iterator[Instances]:
    """Fill short gaps and smooth the poses of a video of any length, in little memory.

    Smooths stretch after stretch, with what is around each; so of a long video, other jumps may
    count as usual than in `smooth_instances`. A warning says where frames are too few a second.

    Args:
        frames: As there; drawn from as far as needed.
        options: How strongly.
        media: What the video is called, for the warning.

    Yields:
        The instances of each frame, as there.

    Raises:
        ConfigError: There are instances without identities.
    """
    reach_s = options.window_s + options.max_gap_s
    held: list[tuple[float, Instances]] = []
    start = 0  # of those that were not yielded yet

    def stretch(stop: int | None = None) -> list[Instances]:
        if start == 0:
            _warn_if_sparse([time_s for time_s, _ in held], options.window_s, media)
        return smooth_instances(held, options)[start:stop]

    for frame in frames:
        held.append(frame)
        stop = start + _STRETCH_FRAMES
        if len(held) <= stop + _FEWEST_AROUND or frame[0] <= held[stop][0] + reach_s:
            continue
        yield from stretch(stop)
        start = stop
        while start > _FEWEST_AROUND and held[0][0] < held[start][0] - reach_s:
            del held[0]
            start -= 1
    yield from stretch()


def _warn_if_sparse(times_s: Sequence[float], window_s: float, media: str) -> None:
    """Warn if fewer than `_FEWEST_FRAMES` are near each other, as frames usually come.

    No wider window is taken instead. With three frames before and after, of five a second, a
    movement of 1 Hz loses a seventh of its amplitude, and one of 2 Hz nearly all.
    """
    steps_s = np.diff(np.unique(times_s))
    if not window_s or not len(steps_s) or 2 * np.median(steps_s) < window_s:
        return
    _log.warning(
        "Smoothing leaves the keypoints of %s as they are: it has %.1f labelled frames a second, "
        "and smoothing needs more than %.1f.",
        media,
        1 / np.median(steps_s),
        2 / window_s,
    )


def _joined(parts: Sequence[Instances]) -> Instances:
    """Put instances into one, without signals."""
    if any(part.track_ids is None for part in parts):
        raise ConfigError("Poses are smoothed along identities, but these have none.")
    return Instances(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.box_scores for part in parts]),
        np.concatenate([part.keypoints for part in parts]),
        np.concatenate([part.keypoint_scores for part in parts]),
        np.concatenate([part.visibility for part in parts]),
        np.concatenate([part.track_ids for part in parts if part.track_ids is not None]),
    )


def _rows_by_identity(people: Instances) -> list[NDArray[np.intp]]:
    """Return the rows of each identity, in their order."""
    ids = np.asarray(people.track_ids)
    order = np.argsort(ids, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)


def _filled(
    path: Instances, frames: NDArray[np.intp], times_s: NDArray[np.float64], max_gap_s: float
) -> tuple[Instances, NDArray[np.intp]]:
    """Put one person into the frames between two sights that are near in time, on a line."""
    short = (np.diff(times_s[frames]) <= max_gap_s) & (max_gap_s > 0)
    wanted = [
        np.arange(start, stop if near else start + 1)
        for start, stop, near in zip(frames[:-1], frames[1:], short, strict=True)
    ]
    result = np.concatenate([*wanted, frames[-1:]])
    before = np.searchsorted(frames, result, side="right") - 1
    after = np.searchsorted(frames, result)
    start_s, stop_s = times_s[frames[before]], times_s[frames[after]]
    part = (times_s[result] - start_s) / np.where(stop_s > start_s, stop_s - start_s, 1)

    def between(values: NDArray[np.float32]) -> NDArray[np.float32]:
        share = part.reshape(-1, *[1] * (values.ndim - 1))
        mixed: NDArray[np.float32] = (1 - share) * values[before] + share * values[after]
        return mixed

    placed = (path.placed[before] & path.placed[after])[..., None]
    return Instances(
        between(path.boxes),
        np.minimum(path.box_scores[before], path.box_scores[after]),
        np.where(placed, between(path.keypoints), 0),
        np.minimum(path.keypoint_scores[before], path.keypoint_scores[after]),
        np.minimum(path.visibility[before], path.visibility[after]),
        np.asarray(path.track_ids)[before],
    ), result


def _smoothed(path: Instances, times_s: NDArray[np.float64], window_s: float) -> Instances:
    """Smooth one person's keypoints by their scores, and the two corners of the box."""
    if window_s == 0:
        return path
    corners = path.boxes.reshape(-1, 2, 2)
    certain = np.ones((len(path), 2))
    placed = path.placed
    points, scores = _bridged(path.keypoints, placed), path.keypoint_scores * placed
    keypoints = _fit(points, scores, times_s, window_s)
    return replace(
        path,
        keypoints=np.where(placed[..., None], keypoints, path.keypoints),
        boxes=_fit(corners, certain, times_s, window_s).reshape(-1, 4),
    )


def _bridged(points: NDArray[np.float32], placed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Put points (T, K, 2) that nobody has placed between those of their keypoint that are."""
    if placed.all():
        return points
    frames = np.arange(len(points))
    bridged = points.copy()
    for keypoint in np.flatnonzero(placed.any(axis=0) & ~placed.all(axis=0)):
        known = placed[:, keypoint]
        for axis in range(2):
            bridged[~known, keypoint, axis] = np.interp(
                frames[~known], frames[known], points[known, keypoint, axis]
            )
    return bridged


def _steadiness(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how far each point (T, K, 2) can be trusted, in [0, 1]: not at all if it jumps.

    A point jumps if it is far from the median of five frames, against the usual distance and step
    of its keypoint. Source: Hampel's identifier, with Tukey's biweight in place of a hard cut.
    """
    padded = np.pad(points, ((2, 2), (0, 0), (0, 0)), mode="edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5, axis=0), axis=-1)
    off = np.linalg.norm(points - middle, axis=2)
    steps = np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=2)
    usual = np.median(off, axis=0) + np.median(steps, axis=0) + 1e-3
    trusted: NDArray[np.float64] = np.square(1 - np.square(np.minimum(off / (_JUMP * usual), 1)))
    return trusted


def _fit(
    points: NDArray[np.float32],
    scores: FloatArray,
    times_s: NDArray[np.float64],
    window_s: float,
) -> NDArray[np.float32]:
    """Fit a parabola to what is near in time, round every frame; a Savitzky-Golay filter in time.

    Args:
        points: (T, K, 2).
        scores: (T, K) in [0, 1]: how much each has to say.
        times_s: (T,), increasing.
        window_s: How near.

    Returns:
        (T, K, 2): the parabolas' values; the points themselves where too few are near.
    """
    num = len(times_s)
    weights = np.maximum(scores * _steadiness(points), _LEAST_WEIGHT)
    moments = np.zeros((num, points.shape[1], 5))
    products = np.zeros((num, points.shape[1], 3, 2))
    num_near = np.zeros(num, np.int64)
    reach = int((np.searchsorted(times_s, times_s + window_s) - np.arange(num)).max())
    for offset in range(-reach, reach + 1):
        here = np.arange(max(0, -offset), min(num, num - offset))
        there = here + offset
        away = (times_s[there] - times_s[here]) / window_s
        near = np.clip(1 - np.abs(away) ** 3, 0, None) ** 3
        num_near[here] += near > 0
        share = near[:, None] * weights[there]
        powers = away[:, None] ** np.arange(5)
        moments[here] += share[..., None] * powers[:, None]
        products[here] += (share[..., None] * powers[:, None, :3])[..., None] * points[
            there, :, None
        ]
    matrices = moments[..., np.add.outer(np.arange(3), np.arange(3))]
    values = np.linalg.solve(matrices + 1e-12 * np.eye(3), products)[..., 0, :]
    enough = (num_near >= _FEWEST_FRAMES)[:, None, None]
    return np.where(enough, values, points).astype(np.float32)
