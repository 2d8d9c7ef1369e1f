"""What is searched: a space, its costs and the budgets; and what is known so far about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from supernet.space import Codes, SearchSpace

from ..costs.budgets import Budget
from ..costs.contract import Costs, Floats
from .operators import Mask


@dataclass(frozen=True)
class Problem:
    """A search: raise AP at every cost up to the loosest budget.

    Attributes:
        costs: the costs of the space's architectures.
        budgets: what to pick from the front.
        num_joints: J, the number of joints.
    """

    costs: Costs
    budgets: tuple[Budget, ...]
    num_joints: int = 14

    @property
    def space(self) -> SearchSpace:
        """The space."""
        return self.costs.space

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The costs that budgets limit, the most often limited one first: the front's axes besides AP."""
        named = [cost for budget in self.budgets for cost, _ in budget.limits] or ["macs"]
        return tuple(sorted(dict.fromkeys(named), key=lambda cost: -named.count(cost)))

    def on_axes(self, costs: Floats) -> Floats:
        """(N, A) the columns of (N, C) costs that are axes of the front."""
        return costs[:, [self.costs.column(name) for name in self.axes]]

    def feasible_costs(self, costs: Floats) -> Mask:
        """(N,) which of (N, C) costs meet at least one budget."""
        inside = np.zeros(len(costs), dtype=bool)
        for budget in self.budgets:
            inside |= budget.feasible(self.costs, costs)
        return inside if self.budgets else np.ones(len(costs), dtype=bool)

    def feasible(self, codes: Codes) -> Mask:
        """(N,) which of (N, G) codes meet at least one budget."""
        return self.feasible_costs(self.costs.predict(codes))


@dataclass(frozen=True)
class History:
    """The finished evaluations, in the order in which they were planned.

    Attributes:
        codes: (N, G) architectures.
        ap: (N,) measured AP in [0, 1].
        costs: (N, C) their costs.
        known: bytes of every row that was planned, finished or not; none is evaluated twice.
    """

    codes: Codes
    ap: Floats
    costs: Floats
    known: frozenset[bytes]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def empty(cls, problem: Problem) -> History:
        """Nothing known."""
        genes, columns = len(problem.space.genes), len(problem.costs.names)
        return cls(np.zeros((0, genes), dtype=np.int64), np.zeros(0), np.zeros((0, columns)), frozenset())

    @classmethod
    def of(cls, problem: Problem, codes: Codes, ap: Floats) -> History:
        """The history of (N, G) codes that scored (N,) AP."""
        known = frozenset(row.tobytes() for row in np.ascontiguousarray(codes))
        return cls(codes, np.asarray(ap, dtype=np.float64), problem.costs.predict(codes), known)
