"""`strategy=predictor` (default): fit an accuracy predictor, evolve the front on it, evaluate the most
promising, refit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from supernet.space import Codes

from ..accuracy.models import MODELS
from ..accuracy.predictor import FEWEST, AccuracyPredictor, fit_model, fit_predictor
from ..costs.contract import Floats, log_cost
from .contract import History, Problem, names_option, number_option, whole_option
from .front import FrontOptions, evolve_front
from .operators import sample_all_sizes, sample_feasible, unique_rows

# Evaluations for which one kappa serves.
TURN = 8


@dataclass(frozen=True)
class Expected:
    """What a predictor expects of N architectures.

    Attributes:
        mean: (N,) AP.
        deviation: (N,) standard deviation of the mean.
        covariance: (N, N) of measured AP, noise included.
    """

    mean: Floats
    deviation: Floats
    covariance: Floats

    def after(self, index: int) -> Expected:
        """The same once the architecture at `index` has been measured, and found as expected."""
        variance = self.deviation**2
        across, total = self.covariance[index].copy(), max(self.covariance[index, index], 1e-18)
        across[index] = variance[index]
        left = np.sqrt(np.maximum(variance - across**2 / total, 0.0))
        return Expected(self.mean, left, self.covariance - np.outer(across, across / total))


def choose_batch(problem: Problem, history: History, pool: Codes, expected: Expected, count: int) -> Codes:
    """Pick from a pool one after the other, in turns for the whole front and for the budgets.

    A pick for the front is the one that is expected to add most hypervolume; one for a budget is expected to
    improve most on the best known within it. What was picked counts as measured, with its predicted mean, and
    the deviations of the others shrink as far as it would tell about them: so a batch spreads out.

    Args:
        problem: what is searched.
        history: what was measured.
        pool: (N, G) unknown architectures that meet a budget.
        expected: their AP.
        count: how many to pick at most.

    Returns:
        (m, G) codes, m <= count.
    """
    costs = problem.costs.predict(pool)
    logs = log_cost(problem.on_axes(costs))
    known_logs = log_cost(problem.on_axes(history.costs))
    known_ap = history.ap
    known_costs = history.costs
    free = np.ones(len(pool), dtype=bool)
    chosen: list[int] = []
    # Turns go on from round to round, whatever the size of a batch.
    for turn in range(len(history), len(history) + min(count, len(pool))):
        if turn % 2 and problem.budgets:
            budget = problem.budgets[turn // 2 % len(problem.budgets)]
            known = known_ap[budget.feasible(problem.costs, known_costs)]
            value = improvement(expected.mean, expected.deviation, known.max(initial=0.0))
            value = np.where(budget.feasible(problem.costs, costs), value, -1.0)
        else:
            axis = turn // 2 % logs.shape[1]
            value = gains(known_logs[:, axis], known_ap, logs[:, axis], expected.mean, expected.deviation)
        pick = int(np.where(free, value, -np.inf).argmax())
        free[pick] = False
        chosen.append(pick)
        known_logs = np.concatenate([known_logs, logs[pick : pick + 1]])
        known_ap = np.append(known_ap, expected.mean[pick])
        known_costs = np.concatenate([known_costs, costs[pick : pick + 1]])
        expected = expected.after(pick)
    return pool[chosen]


def promise(problem: Problem, history: History, pool: Codes, expected: Expected) -> float:
    """AP by which some architecture of a pool is expected to improve on the best known of a budget, at most;
    a budget that has none yet counts from 0.
    """
    costs, most = problem.costs.predict(pool), 0.0
    for budget in problem.budgets:
        known = history.ap[budget.feasible(problem.costs, history.costs)]
        inside = budget.feasible(problem.costs, costs)
        value = improvement(expected.mean[inside], expected.deviation[inside], known.max(initial=0.0))
        most = max(most, float(value.max(initial=0.0)))
    return most


def improvement(mean: Floats, deviation: Floats, level: float | Floats) -> Floats:
    """What normal values are expected to have above `level` (Jones et al. 1998)."""
    off = (mean - level) / np.maximum(deviation, 1e-12)
    return np.asarray((mean - level) * ndtr(off) + deviation * np.exp(-0.5 * off**2) / np.sqrt(2 * np.pi))


def gains(known_cost: Floats, known_ap: Floats, cost: Floats, mean: Floats, deviation: Floats) -> Floats:
    """(N,) area that each of N points alone is expected to add under the front of the known ones.

    The area lies between the point's cost and the largest cost of all, above the best known AP at each cost.
    """
    order = np.lexsort((-known_ap, known_cost))
    steps, best = known_cost[order], np.maximum.accumulate(known_ap[order])
    floor = min(float(known_ap.min()), float(mean.min())) if len(known_ap) else float(mean.min())
    right = max(float(steps[-1]) if len(steps) else -np.inf, float(cost.max())) + 1e-3
    rises = np.diff(best, prepend=-np.inf) > 0
    starts, level = np.append(-np.inf, steps[rises]), np.append(floor, best[rises])
    ends = np.append(starts[1:], right)
    width = np.maximum(0.0, ends - np.maximum(starts, cost[:, None]))
    return np.asarray((width * improvement(mean[:, None], deviation[:, None], level)).sum(axis=1))


class PredictorStrategy:
    """Rounds of predictor, whole-front evolution on it, and real evaluation of the most promising.

    Args:
        problem: what is searched.
        initial: architectures of the first design, spread over the whole range of cost.
        kappa: standard deviations of the prediction that are added to its mean where the pool evolves; of
            several numbers, each serves 8 evaluations in its turn: a small one brings what is nearly known to
            its end, a large one finds what was underrated.
        population: of the evolution on the predictor.
        generations: of the evolution on the predictor.
        models: names of accuracy models (ridge, gp, gp_ard, forest, those of plugins); of several, the one
            that ranks best in cross-validation is taken each round.
        enough: points of AP; the search ends once no architecture is expected to improve on the best of a
            budget by as much. 0 spends all evaluations.
        levels: what is to be improved on: the best `measured` AP, or the best `believed`, which owes less of
            it to luck.

    Raises:
        InputError: an option is out of its range.
    """

    def __init__(
        self,
        problem: Problem,
        initial: int = 16,
        kappa: float | Sequence[float] = (0.5, 3.0),
        population: int = 256,
        generations: int = 30,
        models: tuple[str, ...] = ("gp_ard",),
        enough: float = 0.0,
        levels: str = "measured",
    ) -> None:
        self._problem = problem
        # What a first fit needs.
        self._initial = whole_option("initial", initial, FEWEST)
        several = kappa if isinstance(kappa, Sequence) and not isinstance(kappa, str) and kappa else [kappa]
        self._kappas = [number_option("kappa", one) for one in several]
        self._front = FrontOptions(
            whole_option("population", population, 2), whole_option("generations", generations, 0)
        )
        self._models = names_option("models", models, MODELS.names())
        (self._levels,) = names_option("levels", [levels], ("measured", "believed"))
        self._enough = number_option("enough", enough, 100.0) / 100

    @property
    def initial(self) -> int:
        """Architectures that are drawn before anything is learnt from them."""
        return self._initial

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(m, G) codes; see `Strategy.ask`."""
        if len(history) < self._initial:
            return self._design(history, min(count, self._initial - len(history)), rng)
        seed = int(rng.integers(2**31))
        predictor = self._fit(history, seed)
        kappa = self._kappas[len(history) // TURN % len(self._kappas)]

        def optimistic(codes: Codes) -> np.ndarray:
            mean, deviation = predictor.predict(codes)
            return mean + kappa * deviation

        pool = evolve_front(self._problem, optimistic, rng, history.codes, self._front)
        pool = pool[unique_rows(pool, set(history.known))]
        expected = Expected(*predictor.predict(pool), predictor.covariance(pool))
        if self._levels == "believed":
            history = replace(history, ap=predictor.predict(history.codes)[0])
        if self._problem.budgets and promise(self._problem, history, pool, expected) < self._enough:
            return pool[:0]
        chosen = choose_batch(self._problem, history, pool, expected, count)
        if len(chosen) < count:
            known = set(history.known) | {row.tobytes() for row in chosen}
            more = sample_feasible(
                self._problem.space, rng, count - len(chosen), self._problem.feasible, known
            )
            chosen = np.concatenate([chosen, more])
        return chosen

    def _fit(self, history: History, seed: int) -> AccuracyPredictor:
        known = (self._problem.costs, history.codes, history.ap, seed)
        if len(self._models) == 1:
            return fit_model(*known, self._models[0])
        return fit_predictor(*known, self._models)

    def _design(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """Random architectures, the whole design evenly spaced in the logarithm of the first cost."""
        space, problem = self._problem.space, self._problem
        pool = np.concatenate([space.sample_codes(rng, 2048), sample_all_sizes(space, rng, 2048)])
        pool = pool[problem.feasible(pool)]
        pool = pool[unique_rows(pool, set(history.known))]
        if len(pool) <= count:
            return sample_feasible(space, rng, count, problem.feasible, set(history.known))
        cost = log_cost(problem.on_axes(problem.costs.predict(pool))[:, 0])
        order = scattered(self._initial)[len(history) : len(history) + count]
        free = np.ones(len(pool), dtype=bool)
        chosen = []
        for value in np.linspace(cost.min(), cost.max(), self._initial)[order]:
            nearest = int(np.where(free, np.abs(cost - value), np.inf).argmin())
            free[nearest] = False
            chosen.append(nearest)
        return pool[chosen]


def scattered(count: int) -> list[int]:
    """0 to count - 1 in an order whose every start is spread over the whole: van der Corput's, base 2."""
    width = max(count - 1, 1).bit_length()
    order = (int(f"{number:0{width}b}"[::-1], 2) for number in range(2**width))
    return [number for number in order if number < count]
