"""What is evaluated next: gains of area against brute force, turns of the budgets."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import Formula, certain, tiny_problem
from scipy.stats import norm

from search.accuracy.predictor import fit_model
from search.strategies.contract import History, Problem
from search.strategies.front import hypervolume_2d
from search.strategies.predictor import Expected, PredictorStrategy, choose_batch, gains, improvement, promise
from supernet import InputError
from supernet.space import Codes


def test_expected_gains_are_the_mean_of_added_areas() -> None:
    rng = np.random.default_rng(1)
    known_cost, known_ap = rng.random(6), rng.random(6)
    cost, mean, deviation = np.array([0.05, 0.4, 0.9]), np.array([0.5, 0.9, 0.2]), np.array([0.1, 0.3, 0.4])
    # Quantiles of the normal distribution stand for it; below the floor nothing is gained.
    off = norm.ppf((np.arange(4000) + 0.5) / 4000)
    known_ap[0] = -9.0
    each = [gains(known_cost, known_ap, cost, mean + deviation * z, np.zeros(3)) for z in off]
    found = gains(known_cost, known_ap, cost, mean, deviation)
    assert found == pytest.approx(np.mean(each, axis=0), rel=1e-3)
    assert improvement(np.array([2.0]), np.array([1.0]), 2.0) == pytest.approx([1 / np.sqrt(2 * np.pi)])


def test_what_was_picked_tells_about_its_like() -> None:
    rng = np.random.default_rng(2)
    root = rng.normal(size=(5, 5))
    truth, noise = root @ root.T, 0.3
    expected = Expected(np.zeros(5), np.sqrt(np.diag(truth)), truth + noise * np.eye(5))
    for picked in ([1], [1, 3]):
        expected = expected.after(picked[-1])
        across, seen = truth[:, picked], truth[np.ix_(picked, picked)] + noise * np.eye(len(picked))
        left = truth - across @ np.linalg.solve(seen, across.T)
        assert expected.deviation == pytest.approx(np.sqrt(np.diag(left)))
        others = np.delete(np.arange(5), picked)
        wanted = (left + noise * np.eye(5))[np.ix_(others, others)]
        assert expected.covariance[np.ix_(others, others)] == pytest.approx(wanted)


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
        assert gains(known_cost, known_ap, cost, ap, np.zeros(15)) == pytest.approx(wanted, abs=1e-12)


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
    chosen = choose_batch(problem, history, pool, certain(mean), 9)
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
    chosen = choose_batch(problem, history, codes[10:], Expected(mean, deviation, np.diag(deviation**2)), 1)
    assert (chosen[0] == codes[27]).all()


def test_a_search_ends_once_nothing_promises_enough() -> None:
    problem = tiny_problem((0.3, 1.0))
    rng = np.random.default_rng(0)
    codes = problem.space.sample_codes(rng, 40)
    history = History.of(problem, codes, Formula(problem.space).ap(codes))
    pool, deviation = problem.space.sample_codes(rng, 5), np.full(5, 0.1)
    small, large = (budget.feasible(problem.costs, problem.costs.predict(pool)) for budget in problem.budgets)
    levels = [
        history.ap[budget.feasible(problem.costs, history.costs)].max(initial=0) for budget in problem.budgets
    ]
    expected = Expected(np.linspace(0.3, 0.5, 5), deviation, np.diag(deviation**2))
    wanted = [
        improvement(expected.mean, deviation, level)[inside].max(initial=0)
        for inside, level in zip((small, large), levels, strict=True)
    ]
    assert promise(problem, history, pool, expected) == max(wanted) > 0
    options = {"population": 32, "generations": 3}
    for enough, count in ((0.0, 4), (1e-9, 4), (50.0, 0)):
        asked = PredictorStrategy(problem, enough=enough, **options).ask(history, 4, np.random.default_rng(1))
        assert len(asked) == count
    for wrong in (-1, 101, "much"):
        with pytest.raises(InputError, match=r"strategy_options\.enough"):
            PredictorStrategy(problem, enough=wrong)  # type: ignore[arg-type]


def test_levels_are_what_was_measured_or_what_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, seen = tiny_problem(), []

    def watch(problem: Problem, history: History, pool: Codes, expected: Expected, count: int) -> Codes:
        seen.append(history.ap)
        return choose_batch(problem, history, pool, expected, count)

    monkeypatch.setattr("search.strategies.predictor.choose_batch", watch)
    codes = problem.space.sample_codes(np.random.default_rng(0), 40)
    history = History.of(problem, codes, Formula(problem.space).ap(codes))
    for levels in ("measured", "believed"):
        strategy = PredictorStrategy(problem, population=32, generations=3, levels=levels)
        strategy.ask(history, 4, np.random.default_rng(1))
    seed = int(np.random.default_rng(1).integers(2**31))
    believed = fit_model(problem.costs, codes, history.ap, seed, "gp_ard").predict(codes)[0]
    assert (seen[0] == history.ap).all()
    assert (seen[1] == believed).all()
    with pytest.raises(InputError, match=r"strategy_options\.levels"):
        PredictorStrategy(problem, levels="hoped")
