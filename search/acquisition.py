"""Which of a pool of promising architectures to evaluate next."""

from __future__ import annotations

import numpy as np

from supernet.space import Codes

from .costs import Floats
from .problem import History
from .problem import Problem


def choose_batch(
    problem: Problem, history: History, pool: Codes, mean: Floats, deviation: Floats, count: int, kappa: float
) -> Codes:
    """Pick from a pool one after the other, in turns for the whole front and for the budgets.

    A pick for the front has the largest gain of AP over the best known at its cost; a pick for a budget
    the largest optimistic AP within it. What was picked counts as known with its predicted mean, so that a
    batch spreads out.

    Args:
        problem: what is searched.
        history: what was measured.
        pool: (N, G) unknown architectures that meet a budget.
        mean: (N,) predicted AP.
        deviation: (N,) standard deviation of the prediction.
        count: how many to pick at most.
        kappa: standard deviations added to the mean.

    Returns:
        (m, G) codes, m <= count.
    """
    costs = problem.costs.predict(pool)
    hope = mean + kappa * deviation
    free = np.ones(len(pool), dtype=bool)
    known_costs, known_ap = problem.on_axes(history.costs), history.ap
    chosen: list[int] = []
    axes = problem.on_axes(costs)
    turns = max(1, len(problem.budgets))
    for turn in range(min(count, len(pool))):
        # Best known AP at no more cost, for every member of the pool.
        cheaper = (known_costs[None] <= axes[:, None]).all(axis=2)
        best = np.where(cheaper, known_ap[None], -np.inf).max(axis=1, initial=0.0)
        value = hope - best
        if turn % 2 and problem.budgets:
            budget = problem.budgets[(len(history) + turn) // 2 % turns]
            inside = budget.admits(problem.costs, costs)
            if (inside & free).any():
                value = np.where(inside, hope, -np.inf)
        pick = int(np.where(free, value, -np.inf).argmax())
        free[pick] = False
        chosen.append(pick)
        known_costs = np.concatenate([known_costs, axes[pick : pick + 1]])
        known_ap = np.append(known_ap, mean[pick])
    return pool[chosen]
