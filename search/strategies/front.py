"""Fronts: who is on them, ranks, hypervolume; evolution of the whole front (NSGA-II) on a fast scorer.

Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6 (2002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from supernet.space import Codes

from ..costs.contract import Floats, log_cost
from .contract import Problem
from .operators import crossover, mutate, sample_all_sizes, shrink, unique_rows

Mask = npt.NDArray[np.bool_]


def front_mask(points: Floats) -> Mask:
    """(N,) whether each of (N, K) points is dominated by none (the first of equal points stands for them
    all).
    """
    if points.shape[1] == 2:
        return _front_mask_2d(points)
    keep = np.zeros(len(points), dtype=bool)
    # In lexicographic order nothing later can dominate, so each point is compared with the front so far.
    front: list[int] = []
    for i in np.lexsort(points.T[::-1]):
        if not front or not (points[front] <= points[i]).all(axis=1).any():
            front.append(int(i))
            keep[i] = True
    return keep


def _front_mask_2d(points: Floats) -> Mask:
    order = np.lexsort((points[:, 1], points[:, 0]))
    second = points[order, 1]
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
    keep = np.zeros(len(points), dtype=bool)
    keep[order] = second < best_before
    return keep


def ranks(points: Floats, enough: int | None = None) -> npt.NDArray[np.int64]:
    """(N,) number of the front each point is on, from 0, fronts peeled one after the other.

    Args:
        points: (N, K), every column to be made small.
        enough: stop once this many points have a rank; the others share the next one.
    """
    rank = np.full(len(points), -1, dtype=np.int64)
    left = np.arange(len(points))
    level = 0
    while len(left) and (enough is None or len(points) - len(left) < enough):
        mask = front_mask(points[left])
        rank[left[mask]] = level
        left = left[~mask]
        level += 1
    rank[left] = level
    return rank


def crowding(points: Floats, rank: npt.NDArray[np.int64]) -> Floats:
    """(N,) crowding distance of each point among those of its rank; infinite at the ends."""
    distance = np.zeros(len(points))
    for column in range(points.shape[1]):
        order = np.lexsort((points[:, column], rank))
        value, group = points[order, column], rank[order]
        first = np.concatenate([[True], group[1:] != group[:-1]])
        last = np.concatenate([first[1:], [True]])
        before = np.concatenate([[0.0], value[:-1]])
        after = np.concatenate([value[1:], [0.0]])
        span = float(np.ptp(points[:, column])) or 1.0
        distance[order] += np.where(first | last, np.inf, (after - before) / span)
    return distance


def hypervolume_2d(points: Floats, reference: tuple[float, float]) -> float:
    """Area that (N, 2) points dominate up to `reference`; points beyond it count for nothing."""
    inside = points[(points < np.asarray(reference)).all(axis=1)]
    if not len(inside):
        return 0.0
    front = inside[front_mask(inside)]
    front = front[np.argsort(front[:, 0])]
    right = np.append(front[1:, 0], reference[0])
    return float(((right - front[:, 0]) * (reference[1] - front[:, 1])).sum())


Score = Callable[[Codes], Floats]


@dataclass(frozen=True)
class FrontOptions:
    """Size of the evolution; candidates scored = population * (generations + 1).

    Attributes:
        population: parents kept per generation.
        generations: rounds of children, as many as parents each.
        rate: chance of each gene to mutate after crossover.
    """

    population: int = 512
    generations: int = 200
    rate: float = 0.04


def evolve_front(
    problem: Problem, score: Score, rng: np.random.Generator, seeds: Codes, options: FrontOptions
) -> Codes:
    """The last population, (M, G) distinct feasible codes, spread along the front of score against the
    axes' costs.

    Args:
        problem: the space, costs and budgets.
        score: (N, G) codes to (N,), to be made large.
        rng: the source of randomness.
        seeds: architectures to start from besides random ones.
        options: the size of the work.
    """
    space = problem.space
    start = np.concatenate([seeds, sample_all_sizes(space, rng, options.population)])
    population, points = _evaluated(problem, score, _feasible(problem, rng, start))
    for _ in range(options.generations):
        rank = ranks(points, options.population)
        keep = np.lexsort((-crowding(points, rank), rank))[: options.population]
        population, points, rank = population[keep], points[keep], rank[keep]
        # Parents sorted from best to worst: the smaller of two draws wins the tournament.
        pairs = rng.integers(len(population), size=(2, 2, options.population)).min(axis=1)
        children = crossover(space, rng, population[pairs[0]], population[pairs[1]])
        children = _feasible(problem, rng, mutate(space, rng, children, options.rate))
        fresh = unique_rows(np.concatenate([population, children]))[len(population) :]
        if fresh.any():
            children, new_points = _evaluated(problem, score, children[fresh])
            population, points = np.concatenate([population, children]), np.concatenate([points, new_points])
    rank = ranks(points, options.population)
    keep = np.lexsort((-crowding(points, rank), rank))[: options.population]
    return population[keep]


def _feasible(problem: Problem, rng: np.random.Generator, codes: Codes) -> Codes:
    codes = shrink(problem.space, rng, codes, problem.feasible)
    codes = codes[problem.feasible(codes)]
    return codes[unique_rows(codes)]


def _evaluated(problem: Problem, score: Score, codes: Codes) -> tuple[Codes, Floats]:
    costs = log_cost(problem.on_axes(problem.costs.predict(codes)))
    return codes, np.column_stack([costs, -score(codes)])
