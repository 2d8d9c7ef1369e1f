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

    A pick for the front is the one whose optimistic AP would add most hypervolume; one for a budget has the
    largest optimistic AP within it. What was picked counts as known with its predicted mean, so that a
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
    logs = np.log(np.maximum(problem.on_axes(costs), 1e-12))
    hope = mean + kappa * deviation
    known_logs = np.log(np.maximum(problem.on_axes(history.costs), 1e-12))
    known_ap = history.ap
    known_costs = history.costs
    free = np.ones(len(pool), dtype=bool)
    chosen: list[int] = []
    # Turns go on from round to round, whatever the size of a batch.
    for turn in range(len(history), len(history) + min(count, len(pool))):
        axis = turn // 2 % logs.shape[1]
        value = gains(known_logs[:, axis], known_ap, logs[:, axis], hope)
        if turn % 2 and problem.budgets:
            budget = problem.budgets[turn // 2 % len(problem.budgets)]
            inside = budget.admits(problem.costs, costs)
            known = known_ap[budget.admits(problem.costs, known_costs)]
            better = np.where(inside, hope - known.max(initial=0.0), -np.inf)
            # A budget whose best nobody hopes to beat leaves its turn to the front.
            value = better if (better[free] > 0).any() else value
        pick = int(np.where(free, value, -np.inf).argmax())
        free[pick] = False
        chosen.append(pick)
        known_logs = np.concatenate([known_logs, logs[pick : pick + 1]])
        known_ap = np.append(known_ap, mean[pick])
        known_costs = np.concatenate([known_costs, costs[pick : pick + 1]])
    return pool[chosen]


def gains(known_cost: Floats, known_ap: Floats, cost: Floats, ap: Floats) -> Floats:
    """(N,) area that each of N points alone would add under the front of the known ones.

    The area lies between the point's cost and the largest cost of all, above the best known AP at each cost.
    """
    order = np.lexsort((-known_ap, known_cost))
    steps, best = known_cost[order], np.maximum.accumulate(known_ap[order])
    floor = min(float(known_ap.min()), float(ap.min())) if len(known_ap) else float(ap.min())
    right = max(float(steps[-1]) if len(steps) else -np.inf, float(cost.max())) + 1e-3
    starts = np.concatenate([[-np.inf], steps])
    ends = np.concatenate([steps, [right]])
    level = np.concatenate([[floor], best])
    width = np.maximum(0.0, ends[None] - np.maximum(starts[None], cost[:, None]))
    return np.asarray((width * np.maximum(0.0, ap[:, None] - level[None])).sum(axis=1))
