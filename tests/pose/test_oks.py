"""OKS and OKS-NMS: the original's numbers, and what must hold for any frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.pose.oks import oks_matrix, oks_nms

SIGMAS = keypoint_set("coco").sigmas


@pytest.fixture(scope="module")
def golden() -> Mapping[str, NDArray[Any]]:
    """Return nine people, four of them twice, as the original's formulas see them."""
    with np.load(Path(__file__).parents[1] / "data" / "pose_golden.npz") as file:
        return dict(file)


def test_oks_is_the_originals(golden: Mapping[str, NDArray[Any]]) -> None:
    people, areas = golden["people"], golden["areas"]
    matrix = oks_matrix(people, areas, people[:6], areas[:6], golden["sigmas"])
    np.testing.assert_allclose(matrix, golden["oks"][:, :6], rtol=0, atol=1e-12)


def test_nms_keeps_what_the_original_keeps(golden: Mapping[str, NDArray[Any]]) -> None:
    kept = oks_nms(golden["people"], golden["areas"], golden["people_scores"], golden["sigmas"])
    assert kept.dtype == np.int64
    assert kept.tolist() == golden["kept"].tolist() == [5, 1, 7, 4, 8]


def test_oks_with_the_truth_is_cocos() -> None:
    # One keypoint exactly sigma-many scales off: exp(-1/8) each by COCO's formula.
    truth = np.zeros((1, 17, 2), np.float32)
    area = np.array([400.0])
    moved = truth + np.stack([20 * SIGMAS, 0 * SIGMAS], axis=1)
    assert oks_matrix(moved, None, truth, area, SIGMAS).item() == pytest.approx(np.exp(-1 / 8))
    far = moved.copy()
    far[0, 1:] += 1e6
    assert oks_matrix(far, None, truth, area, SIGMAS).item() == pytest.approx(np.exp(-1 / 8) / 17)
    visibility = np.array([[2] + [0] * 16], np.int8)
    only_nose = oks_matrix(far, None, truth, area, SIGMAS, visibility)
    assert only_nose.item() == pytest.approx(np.exp(-1 / 8))
    assert oks_matrix(far, None, truth, area, SIGMAS, visibility * 0).item() == 0


@settings(max_examples=50)
@given(count=st.integers(0, 8), seed=st.integers(0, 2**32 - 1), threshold=st.floats(0.1, 0.99))
def test_kept_instances_differ_and_dropped_ones_resemble_a_better(
    count: int, seed: int, threshold: float
) -> None:
    random = np.random.default_rng(seed)
    people = random.normal(0, 5, (count, 17, 2)).astype(np.float32)
    areas = random.uniform(100, 4000, count)
    scores = np.round(random.uniform(0, 1, count), 1)
    kept = oks_nms(people, areas, scores, SIGMAS, threshold)
    matrix = oks_matrix(people, areas, people, areas, SIGMAS)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(matrix), 1)
    assert scores[kept].tolist() == sorted(scores[kept], reverse=True)
    assert (matrix[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)] <= threshold).all()
    for dropped in set(range(count)) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[dropped]]
        assert (matrix[dropped, better] > threshold).any()


def test_of_equal_instances_the_first_stays() -> None:
    people = np.zeros((3, 17, 2))
    assert oks_nms(people, np.ones(3), np.ones(3), SIGMAS).tolist() == [0]
    assert oks_nms(people, np.ones(3), [0.1, 0.9, 0.9], SIGMAS).tolist() == [1]


def test_instances_as_alike_as_may_be_are_kept() -> None:
    people = np.zeros((3, 17, 2))
    assert oks_nms(people, np.ones(3), np.ones(3), SIGMAS, threshold=1.0).tolist() == [0, 1, 2]


def test_a_frame_without_people_stays_empty() -> None:
    nobody = np.zeros((0, 17, 2), np.float32)
    kept = oks_nms(nobody, np.zeros(0), np.zeros(0), SIGMAS)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64
    assert oks_matrix(nobody, np.zeros(0), np.zeros((2, 17, 2)), np.ones(2), SIGMAS).shape == (0, 2)


def test_a_crowd_is_compared_in_parts_and_kept_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    people = np.repeat(random.normal(0, 300, (60, 17, 2)), 3, axis=0)
    people += random.normal(0, 1, people.shape)
    areas = random.uniform(2000, 4000, len(people))
    scores = random.uniform(0, 1, len(people))
    similar = oks_matrix(people, areas, people, areas, SIGMAS) > 0.9
    expected: list[int] = []
    for best in np.argsort(-scores):
        if not similar[best, expected].any():
            expected.append(int(best))
    assert 60 <= len(expected) < len(people)
    assert oks_nms(people, areas, scores, SIGMAS).tolist() == expected
