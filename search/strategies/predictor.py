"""`strategy=predictor` (default): fit an accuracy predictor, evolve the front on it, evaluate the most
promising, refit.
"""

from __future__ import annotations

import numpy as np

from supernet.space import Codes

from ..accuracy.models import MODELS
from ..accuracy.predictor import FEWEST, AccuracyPredictor, fit_model, fit_predictor
from ..costs.contract import Floats, log_cost
from .contract import History, Problem, names_option, number_option, whole_option
from .front import FrontOptions, evolve_front
from .operators import sample_all_sizes, sample_feasible, unique_rows


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
    logs = log_cost(problem.on_axes(costs))
    hope = mean + kappa * deviation
    known_logs = log_cost(problem.on_axes(history.costs))
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
            inside = budget.feasible(problem.costs, costs)
            known = known_ap[budget.feasible(problem.costs, known_costs)]
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


class PredictorStrategy:
    """Rounds of predictor, whole-front evolution on it, and real evaluation of the most promising.

    Args:
        problem: what is searched.
        initial: architectures of the first design, spread over the whole range of cost.
        kappa: standard deviations of the prediction that are added to its mean when candidates are compared.
        population: of the evolution on the predictor.
        generations: of the evolution on the predictor.
        models: names of accuracy models (ridge, gp, gp_ard, forest, those of plugins); of several, the one
            that ranks best in cross-validation is taken each round.

    Raises:
        InputError: an option is out of its range.
    """

    def __init__(
        self,
        problem: Problem,
        initial: int = 16,
        kappa: float = 1.0,
        population: int = 256,
        generations: int = 60,
        models: tuple[str, ...] = ("gp_ard",),
    ) -> None:
        self._problem = problem
        # What a first fit needs.
        self._initial = whole_option("initial", initial, FEWEST)
        self._kappa = number_option("kappa", kappa)
        self._front = FrontOptions(
            whole_option("population", population, 2), whole_option("generations", generations, 0)
        )
        self._models = names_option("models", models, MODELS.names())

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

        def optimistic(codes: Codes) -> np.ndarray:
            mean, deviation = predictor.predict(codes)
            return mean + self._kappa * deviation

        pool = evolve_front(self._problem, optimistic, rng, history.codes, self._front)
        pool = pool[unique_rows(pool, set(history.known))]
        chosen = choose_batch(self._problem, history, pool, *predictor.predict(pool), count, self._kappa)
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
