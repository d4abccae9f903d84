"""Labels in numbers: how many people, which keypoints, how sure, how much of it reviewed.

One pass over the frames; what grows with them are counts alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.charts import (
    PAGE_SUFFIXES,
    Axes,
    bar_chart,
    figure,
    html_page,
    is_page,
    named_bars,
)
from vitpose_cli.edit_distance import COLUMNS, TITLE, EditDistance, edit_distances
from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file, check_replaceable, make_folder
from vitpose_cli.formats.content import LabelledFrame
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.geometry import box_areas
from vitpose_cli.pose.instances import Instances
from vitpose_cli.record_set import open_records

NUM_BINS = 20
"""Bins of score histograms, from 0 to 1; the last one has what is above, too."""

UNREVIEWED = "not reviewed"
_AT_ONCE = 512  # frames
_MOST_PEOPLE = 20  # in the table of people by frame; more are one bin
_LARGEST_SIDE = 640  # px; body sizes beyond are one bin
_SIZE_STEP = 32


def _bin_names(edges: Sequence[str]) -> tuple[str, ...]:
    """Return what bins are called that begin at these edges; the last one has no end."""
    return (*edges[:-1], f"{edges[-1]} and more")


SCORE_BINS = _bin_names([f"{number / NUM_BINS:.2f}" for number in range(NUM_BINS)])
"""What the bins of scores are called, by where they begin."""

PEOPLE_BINS = _bin_names([str(number) for number in range(_MOST_PEOPLE + 1)])
"""What the bins of frames by their people are called."""

_SIZE_BINS = _bin_names([str(edge) for edge in range(0, _LARGEST_SIDE + 1, _SIZE_STEP)])


@dataclass(frozen=True, slots=True)
class KeypointStats:
    """One keypoint over all people.

    Attributes:
        name: The keypoint.
        labelled: Share of people for whom it is labelled (v above 0), 0 to 1.
        hidden: Share of people for whom it is labelled but hidden (v = 1), 0 to 1.
        mean_score: Mean raw score, about 0 to 1; None where nobody has scores.
    """

    name: str
    labelled: float
    hidden: float
    mean_score: float | None


@dataclass(frozen=True, slots=True)
class LabelStats:
    """A set of labels in numbers.

    Attributes:
        num_frames: Frames with labels, possibly of nobody, that nobody rejected.
        num_photos: Of these, photos.
        num_videos: Videos that the other frames are of.
        num_failed: Frames that could not be labelled.
        num_people: People in all frames.
        num_empty: Frames without people.
        states: Frames by what a person decided; `not reviewed` for the rest but the failed ones.
        models: People by the hash of the weights with which the labels of their frame began, of
            those whom a person added as well; empty for no model.
        people_per_frame: Frames by the number of their people; the last one for so many or more.
        sizes_px: People by size (root of the box's area), in steps of 32 px from 0.
        scores: People by score, in `NUM_BINS` steps from 0 to 1; those of a file that have one.
        keypoint_scores: Keypoints by raw score, likewise.
        keypoints: By keypoint.
        corrections: Of a run, how far people moved the labels, by weights; empty for a file.
    """

    num_frames: int
    num_photos: int
    num_videos: int
    num_failed: int
    num_people: int
    num_empty: int
    states: Mapping[str, int]
    models: Mapping[str, int]
    people_per_frame: Sequence[int]
    sizes_px: Sequence[int]
    scores: Sequence[int]
    keypoint_scores: Sequence[int]
    keypoints: tuple[KeypointStats, ...]
    corrections: tuple[EditDistance, ...] = ()

    @property
    def num_rejected(self) -> int:
        """Frames that a person rejected; none of the other numbers but the states counts them."""
        return self.states.get("rejected", 0)

    @property
    def reviewed_share(self) -> float:
        """Share of the frames on which a person has the last word, 0 to 1."""
        total = sum(self.states.values())
        return (total - self.states.get(UNREVIEWED, 0)) / total if total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "reviewed_share": self.reviewed_share}


def measure(path: Path) -> LabelStats:
    """Count what is in a run folder or a COCO file.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    labels = open_records(path)
    counts = _Counts(labels.keypoint_set.num_keypoints)
    for frame in labels.frames():
        counts.add(frame)
    found = counts.result(labels.keypoint_set.names)
    if labels.manifest is None or not counts.decided:
        return found
    sigmas = np.array(labels.keypoint_set.oks_sigmas)
    return replace(found, corrections=edit_distances(path, counts.decided, sigmas))


def check_page(path: Path) -> None:
    """Refuse a place where no page with charts can be written.

    Raises:
        InputError: It is not named as a page, or something else is there.
    """
    if path.suffix.lower() not in PAGE_SUFFIXES:
        raise InputError(f"Charts cannot be written as {path.name}.", "Name it .html.")
    check_replaceable(path, is_page)


def write_page(stats: LabelStats, title: str, path: Path) -> None:
    """Write the numbers as a page with charts that opens without a network.

    Raises:
        InputError: As `check_page`, or it cannot be written.
    """
    check_page(path)
    shares = [(row.name, row.labelled) for row in stats.keypoints]
    charts = {
        "People in a frame": _histogram_chart(
            PEOPLE_BINS, stats.people_per_frame, "people", "frames"
        ),
        "Size of people": _histogram_chart(
            _SIZE_BINS, stats.sizes_px, "root of the box's area, px, from", "people"
        ),
        "Score of people": _histogram_chart(SCORE_BINS, stats.scores, "score, from", "people"),
        "Score of keypoints": _histogram_chart(
            SCORE_BINS, stats.keypoint_scores, "raw score, from", "keypoints"
        ),
        "Labelled keypoints": named_bars(shares, "share of people"),
    }
    body = "".join(figure(name, chart) for name, chart in charts.items())
    tables = _facts(stats) + _corrections(stats.corrections)
    parts = [f"<h1>{escape(title)}</h1>", tables, f"<div class=curves>{body}</div>"]
    make_folder(path.parent)
    with atomic_file(path) as stream:
        stream.write(html_page(title, "".join(parts)).encode())


class _Counts:
    """Counts over the records of a set."""

    def __init__(self, num_keypoints: int) -> None:
        self._photos = self._failed = self._empty = self._people = self._scored = 0
        self._videos: set[str] = set()
        self._frames = 0
        self._states: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._per_frame = np.zeros(len(PEOPLE_BINS), np.int64)
        self._sizes = np.zeros(len(_SIZE_BINS), np.int64)
        self._scores = np.zeros(NUM_BINS, np.int64)
        self._keypoint_scores = np.zeros(NUM_BINS, np.int64)
        self._labelled = np.zeros(num_keypoints, np.int64)
        self._hidden = np.zeros(num_keypoints, np.int64)
        self._score_sums = np.zeros(num_keypoints)
        self._waiting: list[tuple[Instances, LabelledFrame]] = []
        self.decided: list[FrameKey] = []  # accepted or fixed

    def add(self, frame: LabelledFrame) -> None:
        """Take a frame."""
        record = frame.record
        review, people = record.review, record.instances
        self._failed += people is None and not record.rejected
        if people is not None or review is not None:
            self._states[UNREVIEWED if review is None else review.state] += 1
        if people is None or record.rejected:
            return
        self._frames += 1
        if review is not None and review.state != "draft":
            self.decided.append(record.key)
        if record.key.video is None:
            self._photos += 1
        else:
            self._videos.add(record.key.video)
        self._people += len(people)
        self._empty += not len(people)
        self._per_frame[min(len(people), _MOST_PEOPLE)] += 1
        if not len(people):
            return
        self._models[record.model] += len(people)
        self._waiting.append((people, frame))
        if len(self._waiting) == _AT_ONCE:
            self._count_waiting()

    def _count_waiting(self) -> None:
        """Count what is about the people of many frames at once, which is faster."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        boxes = np.concatenate([people.boxes for people, _ in waiting])
        sizes = np.sqrt(box_areas(boxes)) / _SIZE_STEP
        self._sizes += _histogram(sizes, len(self._sizes))
        visibility = np.concatenate([people.visibility for people, _ in waiting])
        self._labelled += (visibility > 0).sum(axis=0)
        self._hidden += (visibility == 1).sum(axis=0)
        scores = [people.scores[_have(people, frame, "score")] for people, frame in waiting]
        self._scores += _histogram(np.concatenate(scores) * NUM_BINS, NUM_BINS)
        parts = [
            people.keypoint_scores[_have(people, frame, "keypoint_scores")]
            for people, frame in waiting
        ]
        raw = np.concatenate(parts)
        self._keypoint_scores += _histogram(raw.ravel() * NUM_BINS, NUM_BINS)
        self._scored += len(raw)
        for part in parts:  # frame by frame: the sums do not depend on how many wait
            self._score_sums += part.sum(axis=0)

    def result(self, names: Sequence[str]) -> LabelStats:
        """Return what was counted."""
        self._count_waiting()
        people = max(1, self._people)
        labelled, hidden = (self._labelled / people).tolist(), (self._hidden / people).tolist()
        means: list[Any] = [None] * len(names)
        if self._scored:
            means = (self._score_sums / self._scored).tolist()
        return LabelStats(
            num_frames=self._frames,
            num_photos=self._photos,
            num_videos=len(self._videos),
            num_failed=self._failed,
            num_people=self._people,
            num_empty=self._empty,
            states=dict(self._states),
            models=dict(self._models),
            people_per_frame=np.trim_zeros(self._per_frame, "b").tolist(),
            sizes_px=np.trim_zeros(self._sizes, "b").tolist(),
            scores=self._scores.tolist(),
            keypoint_scores=self._keypoint_scores.tolist(),
            keypoints=tuple(map(KeypointStats, names, labelled, hidden, means)),
        )


def _have(people: Instances, frame: LabelledFrame, field: str) -> NDArray[np.bool_]:
    """Return who of a frame comes with a field, (N,): in a run, everybody."""
    given = [field in person for person in frame.original_people]
    return np.array(given, bool) if frame.originals else np.ones(len(people), bool)


def _histogram(places: NDArray[np.floating[Any]], num_bins: int) -> NDArray[np.int64]:
    """Count places by their whole part; those outside are in the first or the last bin."""
    return np.bincount(np.clip(places, 0, num_bins - 1).astype(np.int64), minlength=num_bins)


def _histogram_chart(bins: Sequence[str], counts: Sequence[int], of: str, unit: str) -> str:
    """Return counts as bars; empty where there are none.

    Args:
        bins: What they are called.
        counts: Of each bin; empty ones at the end may lack.
        of: What is binned.
        unit: What is counted.
    """
    if not any(counts):
        return ""
    if len(counts) == len(bins):
        of += f" (the last bar: {bins[-1]})"
    bars = list(zip(bins, map(float, counts), strict=False))
    return bar_chart(bars, Axes(of, unit, counts=True))


def _facts(stats: LabelStats) -> str:
    facts = {
        "frames": f"{stats.num_frames:,}",
        "photos": f"{stats.num_photos:,}",
        "videos": f"{stats.num_videos:,}",
        "failed": f"{stats.num_failed:,}",
        "people": f"{stats.num_people:,}",
        "frames without people": f"{stats.num_empty:,}",
        "reviewed": f"{stats.reviewed_share:.1%}",
        **{f"{state} frames": f"{count:,}" for state, count in sorted(stats.states.items())},
    }
    rows = (f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in facts.items())
    return f"<table>{''.join(rows)}</table>"


def _corrections(found: Sequence[EditDistance]) -> str:
    """Return the table of what people made of a model's labels; empty where they made nothing."""
    if not found:
        return ""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in each.cells) for each in found]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<h2>{TITLE}</h2><table><tr>{head}</tr>{body}</table>"
