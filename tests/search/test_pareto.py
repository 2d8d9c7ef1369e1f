"""Fronts, ranks, crowding and hypervolume against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from search.strategies.front import crowding, front_mask, hypervolume_2d, ranks


def brute_front(points: np.ndarray) -> np.ndarray:
    keep = []
    for i, one in enumerate(points):
        beaten = any(
            (other <= one).all() and ((other < one).any() or j < i)
            for j, other in enumerate(points)
            if j != i
        )
        keep.append(not beaten)
    return np.array(keep)


@pytest.mark.parametrize("columns", [2, 3])
def test_front_equals_brute_force_with_ties(columns: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        points = rng.integers(0, 6, size=(40, columns)).astype(float)
        mask = front_mask(points)
        # Of equal points any one may stand for all.
        assert {tuple(p) for p in points[mask]} == {tuple(p) for p in points[brute_front(points)]}
        assert len({tuple(p) for p in points[mask]}) == mask.sum()


def test_ranks_peel_fronts() -> None:
    points = np.random.default_rng(1).random((60, 2))
    rank = ranks(points)
    left = np.arange(60)
    for level in range(rank.max() + 1):
        mask = front_mask(points[left])
        assert (rank[left[mask]] == level).all()
        left = left[~mask]
    assert not len(left)
    some = ranks(points, enough=20)
    assert (some[rank <= some.max() - 1] == rank[rank <= some.max() - 1]).all()
    assert (some < some.max()).sum() >= 20


def test_crowding_by_hand() -> None:
    points = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0], [9.0, 9.0]])
    rank = ranks(points)
    distance = crowding(points, rank)
    assert rank.tolist() == [0, 0, 0, 1]
    assert np.isinf(distance[[0, 2, 3]]).all()
    assert distance[1] == pytest.approx(4 / 9 + 4 / 9)


def test_hypervolume_by_hand_and_by_counting() -> None:
    assert hypervolume_2d(np.array([[1.0, 1.0]]), (2.0, 3.0)) == 2.0
    assert hypervolume_2d(np.array([[3.0, 0.0]]), (2.0, 3.0)) == 0.0
    points = np.random.default_rng(2).random((25, 2))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 401)[:-1] + 1 / 800] * 2), axis=-1).reshape(-1, 2)
    covered = (points[None] <= grid[:, None]).all(axis=2).any(axis=1).mean()
    assert hypervolume_2d(points, (1.0, 1.0)) == pytest.approx(covered, abs=5e-3)
