"""The default strategy: its first design and its turns do not depend on the size of a batch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from analytic import Formula, certain, tiny_problem
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from search.accuracy.models import MOST_ROWS, GaussianProcess, RelevanceGaussianProcess, SparsePairs
from search.costs.contract import Costs, log_cost
from search.report.outcome import hypervolumes
from search.strategies.contract import History, Problem
from search.strategies.predictor import PredictorStrategy, choose_batch, scattered
from supernet.space import Codes


def test_scattered_order() -> None:
    assert scattered(8) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert scattered(5) == [0, 4, 2, 1, 3]
    assert scattered(1) == [0]
    assert sorted(scattered(20)) == list(range(20))


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_first_design_is_spread_over_all_costs(batch: int) -> None:
    problem = tiny_problem()
    formula = Formula(problem.space)
    strategy = PredictorStrategy(problem, initial=16)
    codes = np.zeros((0, len(problem.space.genes)), dtype=np.int64)
    while len(codes) < 16:
        history = History.of(problem, codes, formula.ap(codes))
        asked = strategy.ask(history, batch, np.random.default_rng([0, len(codes)]))
        codes = np.concatenate([codes, asked])
    assert len(codes) == 16
    logs = np.sort(np.log(problem.on_axes(problem.costs.predict(codes))[:, 0]))
    steps = np.diff(logs) / np.ptp(logs)
    assert steps.max() < 2.5 / 15, "no part of the range is left out"


class Spared:
    """MACs beyond those of the smallest subnet, which costs nothing."""

    def __init__(self, problem: Problem) -> None:
        self.table, self.least = problem.costs.tables["macs"], problem.costs.of_smallest()[0]

    def predict(self, codes: Codes) -> np.ndarray:
        return self.table.predict(codes) - self.least


def test_a_cost_may_be_zero() -> None:
    whole = tiny_problem()
    costs = Costs(whole.space, {"macs": Spared(whole)}, whole.costs.settings)
    problem = Problem(costs, ())
    assert costs.of_smallest().tolist() == [0.0]
    assert log_cost([0.0, 1.0, np.e]).tolist() == [np.log(1e-12), 0.0, 1.0]
    design = PredictorStrategy(problem, initial=16).ask(History.empty(problem), 16, np.random.default_rng(0))
    assert len(np.unique(design, axis=0)) == 16
    codes = problem.space.encode([problem.space.smallest(), problem.space.largest()])
    cheap, dear = (
        SimpleNamespace(ap=ap, costs={"macs": value})
        for ap, value in zip((0.25, 0.5), costs.predict(codes)[:, 0], strict=True)
    )
    volumes = hypervolumes(problem, [dear, cheap])
    assert volumes.tolist() == [pytest.approx(0, abs=1e-6), 1.0]


@pytest.mark.parametrize("model", [GaussianProcess, RelevanceGaussianProcess])
def test_the_process_is_that_of_scikit_learn(model: type[GaussianProcess]) -> None:
    rng = np.random.default_rng(0)
    x, other = rng.random((50, 7)), rng.random((9, 7))
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=50)
    fitted = model().fit(x, y)
    amplitude, *lengths, slope, noise = np.exp(fitted.theta)
    kernel = ConstantKernel(amplitude) * RBF(lengths if len(lengths) > 1 else lengths[0])
    kernel += ConstantKernel(slope) * DotProduct(1.0)
    centred, scaled = x - x.mean(axis=0), (y - y.mean()) / y.std()
    theirs = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(centred, scaled)
    mean, covariance = theirs.predict(other - x.mean(axis=0), return_cov=True)
    mine, deviation = fitted.predict(other)
    assert mine == pytest.approx(mean * y.std() + y.mean())
    assert deviation == pytest.approx(np.sqrt(np.diag(covariance)) * y.std())
    assert fitted.covariance(other) == pytest.approx((covariance + noise * np.eye(9)) * y.var(), abs=1e-9)
    theta, step = fitted.theta + 0.1 * rng.normal(size=len(fitted.theta)), 1e-5 * np.eye(len(fitted.theta))
    ends = [[fitted.posterior(theta + s * one, centred, scaled)[0] for s in (-1, 1)] for one in step]
    assert fitted.posterior(theta, centred, scaled)[1] == pytest.approx(np.diff(ends)[:, 0] / 2e-5, abs=1e-5)
    assert np.abs(fitted.posterior(fitted.theta, centred, scaled)[1]).max() < 0.1


def test_many_rows_are_thinned_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((MOST_ROWS + 500, 2))
    fitted = RelevanceGaussianProcess().fit(x, x[:, 0])
    assert len(fitted._x) == MOST_ROWS
    assert fitted.predict(x)[0] == pytest.approx(x[:, 0], abs=1e-2)


def test_pairs_that_matter_are_told_from_many_that_do_not() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(150, 20))
    at = rng.uniform(size=(40, 20))

    def value(rows: np.ndarray) -> np.ndarray:
        return rows[:, 0] - 0.5 * rows[:, 3] ** 2 + 2 * (rows[:, 0] - 0.5) * (rows[:, 7] - 0.5)

    model = SparsePairs().fit(x, value(x) + rng.normal(0, 0.01, 150))
    mean, deviation = model.predict(at)
    assert np.abs(mean - value(at)).max() < 0.03
    covariance = model.covariance(at)
    noise = np.diag(covariance) - deviation**2
    assert noise == pytest.approx(np.full(40, noise[0]))
    assert 0 < noise[0] < 0.02**2
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_turns_go_on_from_round_to_round() -> None:
    problem = tiny_problem()
    formula = Formula(problem.space)
    rng = np.random.default_rng(1)
    seen = problem.space.sample_codes(rng, 30)
    pool = problem.space.sample_codes(rng, 500)
    pool = pool[problem.feasible(pool)]
    costs = problem.costs.predict(pool)
    mean = formula.ap(pool)
    best = {
        pool[inside][mean[inside].argmax()].tobytes()
        for inside in (b.feasible(problem.costs, costs) for b in problem.budgets)
    }
    picked = set()
    for _ in range(2 * len(problem.budgets)):
        history = History.of(problem, seen, formula.ap(seen))
        left = np.array([row.tobytes() not in history.known for row in pool])
        (row,) = choose_batch(problem, history, pool[left], certain(mean[left]), 1)
        seen = np.concatenate([seen, row[None]])
        picked.add(row.tobytes())
    assert best <= picked, "one at a time serves every budget too"
