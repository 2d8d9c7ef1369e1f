"""A search problem whose accuracy is a formula, so that tests need no network."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from search.costs.budgets import BudgetOptions, resolve_budgets
from search.costs.contract import Costs
from search.strategies.contract import History, Problem
from search.strategies.predictor import Expected
from supernet import Arch, SearchSpace
from supernet.space import Codes

FRACTIONS = (0.3, 0.45, 0.65, 0.85)


@dataclass
class Scored:
    stats: dict[str, float]


class Formula:
    """AP grows with every gene, with a saturation, one interaction and a fixed roughness.

    `delay` seconds pass per call; each call is appended to `log` (a file) where that is given.
    """

    def __init__(
        self, space: SearchSpace, delay: float = 0.0, log: str | None = None, rough: float = 0.01
    ) -> None:
        self.space = space
        self.delay = delay
        self.log = log
        self.rough = rough
        self.weights = np.random.default_rng(7).uniform(0.2, 1.0, len(space.genes))
        self.calls = 0

    def __call__(self, arch: Arch) -> Scored:
        codes = self.space.encode([arch])
        self.calls += 1
        if self.log:
            with open(self.log, "a") as file:
                file.write(",".join(map(str, codes[0])) + "\n")
        time.sleep(self.delay)
        return Scored({"AP": float(self.ap(codes)[0]), "AP50": 0.5})

    def ap(self, codes: np.ndarray) -> np.ndarray:
        x = codes / np.maximum(1, self.space.num_choices - 1)
        size = x @ self.weights / self.weights.sum()
        texture = np.sin(codes @ np.arange(1, codes.shape[1] + 1) * 1.7)
        return 0.1 + 0.5 * (1 - np.exp(-2 * size)) + 0.05 * x[:, 0] * x[:, 1] + self.rough * texture


def tiny_problem(fractions: tuple[float, ...] = FRACTIONS, space: str = "tiny") -> Problem:
    costs = Costs.of(SearchSpace.load(space))
    options = BudgetOptions({"macs": tuple(fractions)})
    return Problem(costs, tuple(resolve_budgets(options, costs)), 14)


class MiddleOut:
    """A strategy of a user's own: draws, and proposes what it was told again, which has to be ignored."""

    def __init__(self, problem: Problem, extra: int = 0) -> None:
        self._space = problem.space
        self._extra = extra

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        return np.concatenate([history.codes[-2:], self._space.sample_codes(rng, count + self._extra)])


def certain(mean: np.ndarray) -> Expected:
    """What a predictor expects that knows everything."""
    return Expected(mean, np.zeros(len(mean)), np.zeros((len(mean), len(mean))))
