"""`strategy=random`: the honest baseline, uniform draws among the architectures that meet a budget."""

from __future__ import annotations

import numpy as np

from supernet.space import Codes

from .feasible import sample_fitting
from .problem import History
from .problem import Problem


class RandomStrategy:
    """Distinct uniform draws."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(count, G) codes; see `Strategy.ask`."""
        return sample_fitting(self._problem.space, rng, count, self._problem.fits, set(history.known))
