"""What is evaluated next: gains of area against brute force, turns of the budgets."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import Formula, tiny_problem

from search.strategies.contract import History
from search.strategies.front import hypervolume_2d
from search.strategies.predictor import choose_batch, gains


def test_gains_are_added_areas() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        known_cost, known_ap = rng.random(8), rng.random(8)
        cost, ap = rng.random(15), rng.random(15)
        right = max(known_cost.max(), cost.max()) + 1e-3
        floor = min(known_ap.min(), ap.min())
        reference = (right, -floor)
        before = np.column_stack([known_cost, -known_ap])
        area = hypervolume_2d(before, reference)
        wanted = [
            hypervolume_2d(np.vstack([before, [c, -a]]), reference) - area
            for c, a in zip(cost, ap, strict=True)
        ]
        assert gains(known_cost, known_ap, cost, ap) == pytest.approx(wanted, abs=1e-12)


def test_a_batch_is_distinct_and_serves_front_and_budgets() -> None:
    problem = tiny_problem()
    formula = Formula(problem.space)
    rng = np.random.default_rng(1)
    seen = problem.space.sample_codes(rng, 30)
    history = History.of(problem, seen, formula.ap(seen))
    pool = problem.space.sample_codes(rng, 500)
    pool = pool[problem.feasible(pool)]
    mean = formula.ap(pool)
    # Everything known: the very best of a budget is picked when its turn comes.
    chosen = choose_batch(problem, history, pool, mean, np.zeros(len(pool)), 9, 1.0)
    assert len({row.tobytes() for row in chosen}) == 9
    costs = problem.costs.predict(pool)
    picked = {row.tobytes() for row in chosen}
    for budget in problem.budgets:
        inside = budget.feasible(problem.costs, costs)
        best = pool[inside][mean[inside].argmax()]
        assert best.tobytes() in picked


def test_uncertainty_is_worth_something() -> None:
    problem = tiny_problem()
    codes = problem.space.sample_codes(np.random.default_rng(2), 60)
    codes = codes[problem.feasible(codes)]
    history = History.of(problem, codes[:10], np.full(10, 0.2))
    mean, deviation = np.full(len(codes) - 10, 0.19), np.zeros(len(codes) - 10)
    deviation[17] = 0.2
    chosen = choose_batch(problem, history, codes[10:], mean, deviation, 1, 1.0)
    assert (chosen[0] == codes[27]).all()
