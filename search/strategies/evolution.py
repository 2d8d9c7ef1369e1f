"""`strategy=evolution`: mutation and crossover of the best measured subnets, on real scores only.

Source: Wang et al., "Lite Pose", CVPR 2022 (section 3.3) after Cai et al., "Once-for-All", ICLR 2020; one
population per budget there, one shared history for all budgets here.
"""

from __future__ import annotations

import numpy as np

from supernet.space import Codes

from ..costs.budgets import Budget
from .contract import History, Problem, number_option, whole_option
from .operators import crossover, mutate, sample_feasible, unique_rows

TRIES = 50


class EvolutionStrategy:
    """Genetic search over real evaluations.

    Args:
        problem: what is searched.
        initial: random architectures before the first generation.
        parents: the best of each budget that have children.
        mutation: share of children by mutation; the others by crossover.
        rate: chance of each gene to change in a mutation.

    Raises:
        InputError: an option is out of its range.
    """

    def __init__(
        self, problem: Problem, initial: int = 40, parents: int = 4, mutation: float = 0.5, rate: float = 0.1
    ) -> None:
        self._problem = problem
        self._initial = whole_option("initial", initial, 1)
        self._parents = whole_option("parents", parents, 1)
        self._mutation = number_option("mutation", mutation, 1.0)
        self._rate = number_option("rate", rate, 1.0, above_zero=True)

    @property
    def initial(self) -> int:
        """Architectures that are drawn before anything is learnt from them."""
        return self._initial

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(m, G) codes; see `Strategy.ask`."""
        space, known = self._problem.space, set(history.known)
        if len(history) < self._initial:
            count = min(count, self._initial - len(history))
            return sample_feasible(space, rng, count, self._problem.feasible, known)
        pools = self._pools(history)
        found: list[Codes] = []
        total = 0
        for _ in range(TRIES):
            children = self._children(pools, count, rng)
            children = children[unique_rows(children, known)][: count - total]
            known.update(row.tobytes() for row in children)
            found.append(children)
            total += len(children)
            if total >= count:
                break
        found.append(sample_feasible(space, rng, count - total, self._problem.feasible, known))
        return np.concatenate(found)

    def _pools(self, history: History) -> list[tuple[Budget | None, Codes]]:
        """Each budget with the best measured architectures within it."""
        pools: list[tuple[Budget | None, Codes]] = []
        for budget in self._problem.budgets:
            inside = np.flatnonzero(budget.feasible(self._problem.costs, history.costs))
            best = inside[np.argsort(-history.ap[inside], kind="stable")][: self._parents]
            if len(best):
                pools.append((budget, history.codes[best]))
        return pools or [(None, history.codes)]

    def _children(
        self, pools: list[tuple[Budget | None, Codes]], count: int, rng: np.random.Generator
    ) -> Codes:
        """(m <= count, G) children of parents of one budget, without those that leave it."""
        space, costs = self._problem.space, self._problem.costs
        children = []
        for _ in range(count):
            budget, pool = pools[rng.integers(len(pools))]
            if rng.random() < self._mutation or len(pool) < 2:
                child = mutate(space, rng, pool[rng.integers(len(pool), size=1)], self._rate)
            else:
                pair = rng.choice(len(pool), size=2, replace=False)
                child = crossover(space, rng, pool[pair[:1]], pool[pair[1:]])
            if budget is None or budget.feasible(costs, costs.predict(child))[0]:
                children.append(child)
        return np.concatenate(children) if children else pools[0][1][:0]
