"""Evolution of the whole front on a fast scorer: NSGA-II on codes, vectorised over the population.

Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6 (2002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from supernet.space import Codes

from .costs import Floats
from .feasible import sample_all_sizes
from .operators import crossover
from .operators import mutate
from .operators import shrink
from .operators import unique_rows
from .pareto import crowding
from .pareto import front_mask
from .pareto import ranks
from .problem import Problem

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


def predicted_front(problem: Problem, score: Score, codes: Codes) -> Codes:
    """The non-dominated ones of `codes`, from cheap to costly."""
    points = _evaluated(problem, score, codes)[1]
    mask = front_mask(points)
    order = np.argsort(points[mask][:, 0], kind="stable")
    return codes[mask][order]


def _feasible(problem: Problem, rng: np.random.Generator, codes: Codes) -> Codes:
    codes = shrink(problem.space, rng, codes, problem.fits)
    codes = codes[problem.fits(codes)]
    return codes[unique_rows(codes)]


def _evaluated(problem: Problem, score: Score, codes: Codes) -> tuple[Codes, Floats]:
    costs = np.log(np.maximum(problem.on_axes(problem.costs.predict(codes)), 1e-12))
    return codes, np.column_stack([costs, -score(codes)])
