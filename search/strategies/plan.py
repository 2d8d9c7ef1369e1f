"""One round of a search: what to evaluate next, decided by what is finished and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from supernet.space import Codes

from .contract import History, Problem, Strategy
from .operators import as_codes, sample_feasible, unique_rows

# How a candidate came to be evaluated.
SEARCH, WARM, BASELINE, REFERENCE = "search", "warm start", "baseline", "reference"
WITHIN = 0.10
ASKED = "what the strategy's ask() returned"


@dataclass(frozen=True)
class Row:
    """An architecture to evaluate, and why."""

    codes: tuple[int, ...]
    origin: str
    label: str = ""

    def array(self) -> Codes:
        """(G,) codes."""
        return np.array(self.codes, dtype=np.int64)


@dataclass(frozen=True)
class Plan:
    """A round.

    Attributes:
        kind: `search`, `baseline` (random draws near each budget, and references) or `end`.
        rows: what to evaluate; nothing in it was planned before.
        baseline: by budget, the codes of its random draws, those that were known already too.
        references: by name, the codes to compare with, those that were known already too.
    """

    kind: str
    rows: tuple[Row, ...] = ()
    baseline: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)
    references: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, kept in the study."""
        rows = [[list(row.codes), row.origin, row.label] for row in self.rows]
        baseline = {name: [list(codes) for codes in draws] for name, draws in self.baseline.items()}
        references = {name: list(codes) for name, codes in self.references.items()}
        return {"kind": self.kind, "rows": rows, "baseline": baseline, "references": references}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict` described."""
        rows = tuple(Row(tuple(codes), origin, label) for codes, origin, label in value["rows"])
        baseline = {name: [tuple(codes) for codes in draws] for name, draws in value["baseline"].items()}
        references = {name: tuple(codes) for name, codes in value.get("references", {}).items()}
        return cls(value["kind"], rows, baseline, references)


@dataclass(frozen=True)
class PlanOptions:
    """How much is evaluated.

    Attributes:
        seed: of everything random.
        evaluations: real evaluations of the strategy, warm start included.
        batch: evaluations per round.
        baseline: random architectures per budget, within 10% of its limit, for comparison.
        warm_start: architectures to evaluate first, by name.
        references: architectures to evaluate for comparison, by name.
    """

    seed: int = 0
    evaluations: int = 100
    batch: int = 8
    baseline: int = 0
    warm_start: tuple[tuple[str, tuple[int, ...]], ...] = ()
    references: tuple[tuple[str, tuple[int, ...]], ...] = ()


def next_plan(
    problem: Problem, strategy: Strategy, options: PlanOptions, history: History, plans: Sequence[Plan]
) -> Plan:
    """The round after `plans`, all of which are finished.

    It follows from its arguments alone, so that any worker, at any time, plans the same.
    """
    number = len(plans)
    rng = np.random.default_rng([options.seed, number])
    kind = plans[-1].kind if plans else ""
    if kind in ("baseline", "end"):
        return Plan("end")
    spent = sum(len(plan.rows) for plan in plans)
    if not plans and options.warm_start:
        return Plan("search", _named(options.warm_start, WARM, set()))
    if spent < options.evaluations:
        count = min(options.batch, options.evaluations - spent)
        codes = problem.space.canonical(as_codes(problem.space, strategy.ask(history, count, rng), ASKED))
        codes = codes[unique_rows(codes, set(history.known))][:count]
        if len(codes):
            return Plan("search", tuple(Row(tuple(row), SEARCH) for row in codes.tolist()))
    return _comparison(problem, options, history, rng)


def _comparison(problem: Problem, options: PlanOptions, history: History, rng: np.random.Generator) -> Plan:
    """The random draws near each budget, and the references, as far as they are not known yet."""
    known = set(history.known)
    rows = list(_named(options.references, REFERENCE, known))
    known |= {row.array().tobytes() for row in rows}
    baseline: dict[str, list[tuple[int, ...]]] = {}
    for budget in problem.budgets if options.baseline else ():

        def near(codes: Codes, limits: tuple[tuple[str, float], ...] = budget.limits) -> Any:
            costs = problem.costs.predict(codes)
            inside = np.ones(len(codes), dtype=bool)
            for cost, limit in limits:
                values = costs[:, problem.costs.column(cost)]
                inside &= np.abs(values - limit) <= WITHIN * limit
            return inside

        draws = sample_feasible(problem.space, rng, options.baseline, near)
        baseline[budget.name] = [tuple(row) for row in draws.tolist()]
        fresh = draws[unique_rows(draws, known)]
        known |= {row.tobytes() for row in fresh}
        rows += [Row(tuple(row), BASELINE, budget.name) for row in fresh.tolist()]
    return Plan("baseline", tuple(rows), baseline, dict(options.references))


def _named(named: Sequence[tuple[str, tuple[int, ...]]], origin: str, known: set[bytes]) -> tuple[Row, ...]:
    rows: dict[tuple[int, ...], Row] = {}
    for label, codes in named:
        row = Row(tuple(codes), origin, label)
        if row.array().tobytes() not in known:
            rows.setdefault(row.codes, row)
    return tuple(rows.values())
