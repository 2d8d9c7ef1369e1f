"""`strategy=predictor` (default): fit an accuracy predictor, evolve the front on it, evaluate the most
promising, refit.
"""

from __future__ import annotations

import numpy as np

from supernet.space import Codes

from .accuracy import FEWEST
from .accuracy import fit_predictor
from .acquisition import choose_batch
from .feasible import sample_all_sizes
from .feasible import sample_fitting
from .front_evolution import FrontOptions
from .front_evolution import evolve_front
from .models import MODELS
from .operators import unique_rows
from .problem import History
from .problem import Problem
from .strategy_checks import names_option
from .strategy_checks import number_option
from .strategy_checks import whole_option


class PredictorStrategy:
    """Rounds of predictor, whole-front evolution on it, and real evaluation of the most promising.

    Args:
        problem: what is searched.
        initial: architectures of the first design, spread over the whole range of cost.
        kappa: standard deviations of the prediction that are added to its mean when candidates are compared.
        population: of the evolution on the predictor.
        generations: of the evolution on the predictor.
        models: the models to choose from, of ridge, gp, gp_ard and forest (default all).

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
        models: tuple[str, ...] = (),
    ) -> None:
        self._problem = problem
        # What a first fit needs.
        self._initial = whole_option("initial", initial, FEWEST)
        self._kappa = number_option("kappa", kappa)
        self._front = FrontOptions(
            whole_option("population", population, 2), whole_option("generations", generations, 0)
        )
        self._models = names_option("models", models, MODELS)

    @property
    def initial(self) -> int:
        """Architectures that are drawn before anything is learnt from them."""
        return self._initial

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(m, G) codes; see `Strategy.ask`."""
        if len(history) < self._initial:
            return self._design(history, min(count, self._initial - len(history)), rng)
        seed = int(rng.integers(2**31))
        predictor = fit_predictor(self._problem.costs, history.codes, history.ap, seed, self._models)

        def optimistic(codes: Codes) -> np.ndarray:
            mean, deviation = predictor.predict(codes)
            return mean + self._kappa * deviation

        pool = evolve_front(self._problem, optimistic, rng, history.codes, self._front)
        pool = pool[unique_rows(pool, set(history.known))]
        chosen = choose_batch(self._problem, history, pool, *predictor.predict(pool), count, self._kappa)
        if len(chosen) < count:
            known = set(history.known) | {row.tobytes() for row in chosen}
            more = sample_fitting(self._problem.space, rng, count - len(chosen), self._problem.fits, known)
            chosen = np.concatenate([chosen, more])
        return chosen

    def _design(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """Random architectures, the whole design evenly spaced in the logarithm of the first cost."""
        space, problem = self._problem.space, self._problem
        pool = np.concatenate([space.sample_codes(rng, 2048), sample_all_sizes(space, rng, 2048)])
        pool = pool[problem.fits(pool)]
        pool = pool[unique_rows(pool, set(history.known))]
        if len(pool) <= count:
            return sample_fitting(space, rng, count, problem.fits, set(history.known))
        cost = np.log(problem.on_axes(problem.costs.predict(pool))[:, 0])
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
