"""Smoothing along identities: jitter out, movement kept, gaps filled, nothing else touched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.instances import Instances
from vitpose_cli.tracking.smoothing import SmoothOptions, smooth_instances, smooth_stream

NUM_KEYPOINTS = 4
Frames = list[tuple[float, Instances]]


def person(x: float, y: float = 50.0, track_id: int = 1, score: float = 0.9) -> Instances:
    """Put a person whose keypoints are all at (x, y) into a frame."""
    points = np.full((1, NUM_KEYPOINTS, 2), (x, y), np.float32)
    scores = np.full((1, NUM_KEYPOINTS), score, np.float32)
    return Instances(
        np.array([[x - 10, y - 20, x + 10, y + 20]], np.float32),
        np.array([score], np.float32),
        points,
        scores,
        np.full((1, NUM_KEYPOINTS), 2, np.int8),
        np.array([track_id]),
    )


def joined(*parts: Instances) -> Instances:
    return Instances(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.box_scores for part in parts]),
        np.concatenate([part.keypoints for part in parts]),
        np.concatenate([part.keypoint_scores for part in parts]),
        np.concatenate([part.visibility for part in parts]),
        np.concatenate([np.asarray(part.track_ids) for part in parts]),
    )


def path(values: NDArray[np.float64], times_s: NDArray[np.float64]) -> Frames:
    return [(t, person(x)) for t, x in zip(times_s.tolist(), values.tolist(), strict=True)]


def x_of(frames: list[Instances]) -> NDArray[np.float64]:
    return np.array([one.keypoints[0, 0, 0] for one in frames], np.float64)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    a=st.floats(-50, 50),
    b=st.floats(-200, 200),
    c=st.floats(0, 500),
)
def test_a_parabola_is_kept_however_uneven_the_frames(
    seed: int, a: float, b: float, c: float
) -> None:
    times_s = np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.06, 40))
    values = a * times_s**2 + b * times_s + c
    smooth = smooth_instances(path(values, times_s))
    # float32 at 500 px has steps of 3e-5 px, which the fit at the ends makes ten times larger
    np.testing.assert_allclose(x_of(smooth), values, atol=2e-3)
    boxes = np.array([one.boxes[0] for one in smooth])
    np.testing.assert_allclose(boxes[:, 0], values - 10, atol=2e-3)


def test_jitter_goes_and_movement_stays() -> None:
    rng = np.random.default_rng(0)
    times_s = np.arange(200) / 30
    truth = 300 + 100 * np.sin(2 * np.pi * 0.8 * times_s)
    noisy = truth + rng.normal(0, 2, 200)
    smooth = x_of(smooth_instances(path(noisy, times_s)))
    off_before, off_after = noisy - truth, smooth - truth
    assert off_after.std() < 0.6 * off_before.std()  # measured 0.50
    jerk = np.abs(np.diff(off_after, 2)).mean() / np.abs(np.diff(off_before, 2)).mean()
    assert jerk < 0.1  # measured 0.03


def test_a_single_jump_is_taken_out() -> None:
    times_s = np.arange(60) / 30
    values = 100 + 50 * times_s
    jumping = values.copy()
    jumping[30] += 80
    smooth = x_of(smooth_instances(path(jumping, times_s)))
    np.testing.assert_allclose(smooth, values, atol=0.5)


def test_doubtful_points_follow_the_sure_ones() -> None:
    times_s = np.arange(30) / 30
    truth = 300 * times_s  # 10 px a frame, beside which 6 px are no jump
    frames = path(truth, times_s)
    for index in (14, 15, 16):
        frames[index] = (frames[index][0], person(truth[index] + 6, score=0.02))
    np.testing.assert_allclose(x_of(smooth_instances(frames)), truth, atol=0.5)


def test_keypoints_that_nobody_has_placed_have_no_say() -> None:
    times_s = np.arange(30) / 30
    truth = 300 + 60 * times_s
    frames = path(truth, times_s)
    for _, one in frames[15:]:  # as COCO files have it, with the scores of the network beside
        one.visibility[:, 1] = one.keypoints[:, 1] = 0
        one.keypoint_scores[:, 1] = 0.28
    smooth = smooth_instances(frames)
    x = np.array([one.keypoints[0, 1, 0] for one in smooth])
    np.testing.assert_allclose(x[:15], truth[:15], atol=0.2)  # where none is, weighs a thousandth
    assert not x[15:].any()
    np.testing.assert_allclose(x_of(smooth), truth, atol=1e-3)


def test_a_gap_beside_somebody_unplaced_stays_unplaced() -> None:
    near, far = person(100.0), person(110.0)
    far.visibility[:, 0] = far.keypoints[:, 0] = 0
    frames = [(0.0, near), (0.1, Instances.empty(NUM_KEYPOINTS)), (0.2, far)]
    put_in = smooth_instances(frames, SmoothOptions(window_s=0))[1]
    assert put_in.placed[0].tolist() == [False, True, True, True]
    assert put_in.keypoints[0, :2, 0].tolist() == [0, 105]


def test_short_gaps_are_filled_and_long_ones_are_not() -> None:
    empty = Instances.empty(NUM_KEYPOINTS)
    present = [0, 1, 2, 5, 6, 30, 31]
    frames = [
        (i / 10, person(10.0 * i, score=0.9 if i < 4 else 0.6) if i in present else empty)
        for i in range(32)
    ]
    result = smooth_instances(frames, SmoothOptions(window_s=0, max_gap_s=0.5))
    assert [i for i, one in enumerate(result) if len(one)] == [0, 1, 2, 3, 4, 5, 6, 30, 31]
    assert x_of([one for one in result if len(one)]) == pytest.approx(
        [0, 10, 20, 30, 40, 50, 60, 300, 310]
    )
    assert result[3].keypoint_scores[0, 0] == pytest.approx(0.6)
    assert result[3].visibility[0, 0] == 2
    nothing = smooth_instances(frames, SmoothOptions(window_s=0, max_gap_s=0))
    assert [i for i, one in enumerate(nothing) if len(one)] == present


def test_people_are_smoothed_one_by_one() -> None:
    frames = [
        (i / 30, joined(person(400.0 - i, track_id=7), person(100.0 + i, track_id=3)))
        for i in range(20)
    ]
    result = smooth_instances(frames)
    for i, one in enumerate(result):
        assert np.asarray(one.track_ids).tolist() == [3, 7]
        assert one.keypoints[:, 0, 0] == pytest.approx([100 + i, 400 - i], abs=1e-3)


@pytest.mark.parametrize(("fps", "is_smoothed"), [(5, False), (6.6, False), (7, True), (25, True)])
def test_a_video_of_few_frames_a_second_is_said_to_stay_raw(
    fps: float, is_smoothed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    values = 300 + np.random.default_rng(0).normal(0, 2, 1500)
    frames = path(values, np.arange(1500) / fps)
    smooth = x_of(list(smooth_stream(iter(frames), media="a.mp4")))
    assert (np.abs(smooth - values).max() > 0.1) == is_smoothed
    said = [] if is_smoothed else [
        f"Smoothing leaves the keypoints of a.mp4 as they are: it has {fps:.1f} labelled frames a "
        "second, and smoothing needs more than 6.7."
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == said


def test_what_is_not_to_be_smoothed_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    frames = path(np.arange(20.0), np.arange(20) / 5)
    for few, options in ((frames, SmoothOptions(window_s=0)), (frames[:1], SmoothOptions())):
        list(smooth_stream(iter(few), options, media="a.mp4"))
    assert not caplog.records


def test_too_few_frames_stay_as_they_are() -> None:
    frames = [(0.0, person(1.0)), (0.03, person(50.0)), (0.06, person(2.0))]
    assert x_of(smooth_instances(frames)) == pytest.approx([1, 50, 2])


def test_nobody_at_all() -> None:
    assert smooth_instances([]) == []
    (one,) = smooth_instances([(0.0, Instances.empty(NUM_KEYPOINTS))])
    assert len(one) == 0
    assert one.num_keypoints == NUM_KEYPOINTS


def test_identities_are_needed() -> None:
    known = person(1.0)
    stranger = Instances(
        known.boxes, known.box_scores, known.keypoints, known.keypoint_scores, known.visibility
    )
    with pytest.raises(ConfigError, match="these have none"):
        smooth_instances([(0.0, stranger)])


@pytest.mark.parametrize("options", [{"window_s": -0.1}, {"max_gap_s": -1.0}])
def test_options_that_cannot_be_meant(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SmoothOptions(**options)


@pytest.mark.parametrize("options", [SmoothOptions(), SmoothOptions(max_gap_s=0)])
def test_a_long_video_is_smoothed_alike_and_in_pieces(options: SmoothOptions) -> None:
    generator = np.random.default_rng(0)
    times_s = np.cumsum(generator.uniform(0.01, 0.1, 2600))
    values = 100 * np.sin(times_s) + generator.normal(0, 2, len(times_s))
    frames = path(values, times_s)
    for index in (995, 996, 1001, 1500):
        frames[index] = (frames[index][0], Instances.empty(NUM_KEYPOINTS))
    held: list[float] = []

    def counted() -> Iterator[tuple[float, Instances]]:
        for frame in frames:
            held.append(frame[0])
            yield frame

    whole = smooth_instances(frames, options)
    for place, people in enumerate(smooth_stream(counted(), options, media="a")):
        assert len(held) - place < 1300
        assert len(people) == len(whole[place])
        # px; what is a usual jump differs a little from stretch to stretch
        np.testing.assert_allclose(people.keypoints, whole[place].keypoints, atol=0.5)


def test_jumps_beside_the_end_of_a_stretch_are_seen() -> None:
    times_s = np.arange(1100) / 12  # three frames are near on either side
    truth = np.linspace(0, 10990, 1100)
    jumping = truth.copy()
    jumping[[997, 1002]] += 300
    smooth = x_of(
        list(smooth_stream(path(jumping, times_s), SmoothOptions(max_gap_s=0), media="a"))
    )
    np.testing.assert_allclose(smooth, truth, atol=2)
