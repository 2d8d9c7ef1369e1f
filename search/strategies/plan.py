"""One round of a search: what to evaluate next, decided by what is finished and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from supernet.space import Codes

from ..accuracy.predictor import Few, believed, fit_rounds, is_enough
from ..costs.contract import Floats
from .contract import History, Problem, Strategy
from .front import front_mask
from .operators import as_codes, sample_feasible, unique_rows

# How a candidate came to be evaluated.
SEARCH, WARM, BASELINE, REFERENCE = "search", "warm start", "baseline", "reference"
# Which images score a candidate: all that may choose, the first of them, or others that choose nothing.
ALL, FIRST, UNSEEN = "", "first", "unseen"
WITHIN = 0.10
# Chance of being a budget's best below which an architecture is not scored on all images, and how many are
# compared with the best of a budget at once.
DOUBT, RIVALS = 0.1, 64
ASKED = "what the strategy's ask() returned"


@dataclass(frozen=True)
class Row:
    """An architecture to evaluate, and why."""

    codes: tuple[int, ...]
    origin: str
    label: str = ""
    part: str = ALL

    def array(self) -> Codes:
        """(G,) codes."""
        return np.array(self.codes, dtype=np.int64)


@dataclass(frozen=True)
class Plan:
    """A round.

    Attributes:
        kind: `search`, `promising` (what the first images favour, on all of them), `baseline` (random draws
            near each budget, and references), `unseen` (what may be chosen, on other images) or `end`.
        rows: what to evaluate; nothing in it was planned before on the same images.
        baseline: by budget, the codes of its random draws, those that were known already too.
        references: by name, the codes to compare with, those that were known already too.
    """

    kind: str
    rows: tuple[Row, ...] = ()
    baseline: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)
    references: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, kept in the study."""
        rows = [[list(row.codes), row.origin, row.label, *filter(None, [row.part])] for row in self.rows]
        baseline = {name: [list(codes) for codes in draws] for name, draws in self.baseline.items()}
        references = {name: list(codes) for name, codes in self.references.items()}
        return {"kind": self.kind, "rows": rows, "baseline": baseline, "references": references}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict` described."""
        rows = tuple(Row(tuple(codes), origin, label, *part) for codes, origin, label, *part in value["rows"])
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
        first: share of the images that score what the strategy proposes; what they favour is then scored on
            all. 1: all images at once.
        unseen: whether what may be chosen, and the baseline, are scored on other images at the end.
    """

    seed: int = 0
    evaluations: int = 100
    batch: int = 8
    baseline: int = 0
    warm_start: tuple[tuple[str, tuple[int, ...]], ...] = ()
    references: tuple[tuple[str, tuple[int, ...]], ...] = ()
    first: float = 1.0
    unseen: bool = False


def next_plan(
    problem: Problem,
    strategy: Strategy,
    options: PlanOptions,
    history: History,
    plans: Sequence[Plan],
    first: History | None = None,
) -> Plan:
    """The round after `plans`, all of which are finished.

    It follows from its arguments alone, so that any worker, at any time, plans the same.

    Args:
        problem: what is searched.
        strategy: says what to evaluate next.
        options: how much is evaluated.
        history: what was scored on all images that may choose.
        plans: the rounds before.
        first: what was scored on the first images.
    """
    rng = np.random.default_rng([options.seed, len(plans)])
    kind = plans[-1].kind if plans else ""
    few = first if first is not None else History.empty(problem)
    if kind in ("", "search"):
        asked = (few, FIRST) if options.first < 1 else (history, ALL)
        rows = _proposed(problem, strategy, options, *asked, plans, rng)
        if rows:
            return Plan("search", rows)
    if kind in ("", "search", "promising") and options.first < 1:
        codes = promising(problem, Few(few.codes, few.ap, options.first), history, options.batch)
        if len(codes):
            return Plan("promising", tuple(Row(tuple(row), SEARCH) for row in codes.tolist()))
    if kind in ("", "search", "promising"):
        return _comparison(problem, options, history, rng)
    if kind == "baseline" and options.unseen:
        return Plan("unseen", _unseen(problem, Few(few.codes, few.ap, options.first), history, plans))
    return Plan("end")


def _proposed(
    problem: Problem,
    strategy: Strategy,
    options: PlanOptions,
    history: History,
    part: str,
    plans: Sequence[Plan],
    rng: np.random.Generator,
) -> tuple[Row, ...]:
    """What the strategy, having seen `history`, wants to be scored on `part`; first of all the warm start."""
    spent = sum(len(plan.rows) for plan in plans)
    if not plans and options.warm_start:
        return _named(options.warm_start, WARM, set(), part)
    if spent >= options.evaluations:
        return ()
    count = min(options.batch, options.evaluations - spent)
    codes = problem.space.canonical(as_codes(problem.space, strategy.ask(history, count, rng), ASKED))
    codes = codes[unique_rows(codes, set(history.known))][:count]
    return tuple(Row(tuple(row), SEARCH, part=part) for row in codes.tolist())


def promising(problem: Problem, few: Few, history: History, count: int) -> Codes:
    """(m, G) architectures to score on all images, m <= count; none once they would tell nothing more.

    First those that are believed to be a budget's best (without a budget, the front); then, the likeliest
    first, those that are better than the best of a budget with a chance of `DOUBT` or more. Two are compared
    by what the same images gave both.

    Args:
        problem: what is searched.
        few: what was scored on the first images.
        history: what was scored on all.
        count: how many at most.
    """
    costs = problem.costs.predict(few.codes)
    open_ = np.array([row.tobytes() not in history.known for row in np.ascontiguousarray(few.codes)])
    if not len(open_):
        return few.codes
    predictor = fit_rounds(problem.costs, history.codes, history.ap, few) if is_enough(few.ap) else None
    mean, deviation = predictor.predict(few.codes) if predictor else (few.ap, np.zeros(len(few.ap)))
    best = np.zeros(len(mean), dtype=bool)
    best[list(best_within(problem, costs, mean).values())] = True
    if not problem.budgets:
        best = front_mask(np.column_stack([problem.on_axes(costs), -mean]))
    if (best & open_).any() or predictor is None:
        first: Codes = few.codes[best & open_][:count]
        return first
    chance = np.zeros(len(mean))
    for budget in problem.budgets:
        inside = budget.feasible(problem.costs, costs)
        known = np.flatnonzero(inside & ~open_)
        if not len(known):
            continue
        top = known[mean[known].argmax()]
        rivals = np.flatnonzero(inside & open_)
        rivals = rivals[np.argsort(-(mean + 2 * deviation)[rivals], kind="stable")[:RIVALS]]
        covariance = predictor.covariance(few.codes[[top, *rivals]])
        variance = deviation[rivals] ** 2 + deviation[top] ** 2 - 2 * covariance[0, 1:]
        off = (mean[rivals] - mean[top]) / np.sqrt(np.maximum(variance, 1e-18))
        chance[rivals] = np.maximum(chance[rivals], ndtr(off))
    order = np.argsort(-chance, kind="stable")
    likely: Codes = few.codes[order[chance[order] >= DOUBT][:count]]
    return likely


def best_within(problem: Problem, costs: Floats, worth: Floats) -> dict[str, int]:
    """By budget, which of N architectures within it is worth most, the cheapest of equals, then the first;
    budgets that none meets are left out.

    Args:
        problem: what is searched.
        costs: (N, C) their costs.
        worth: (N,) what is to be large.
    """
    found = {}
    for budget in problem.budgets:
        inside = np.flatnonzero(budget.feasible(problem.costs, costs))
        if len(inside):
            axis = problem.costs.column(budget.limits[0][0])
            found[budget.name] = int(max(inside, key=lambda i: (worth[i], -costs[i, axis], -i)))
    return found


def _unseen(problem: Problem, few: Few, history: History, plans: Sequence[Plan]) -> tuple[Row, ...]:
    """Whatever can be chosen and what it is compared with, on images that choose nothing."""
    drawn = {tuple(codes) for plan in plans for draws in plan.baseline.values() for codes in draws}
    drawn -= {row.codes for plan in plans for row in plan.rows if row.part == ALL and row.origin != BASELINE}
    own = np.array([tuple(row) not in drawn for row in history.codes.tolist()], dtype=bool)
    codes, ap, costs = history.codes[own], history.ap[own], history.costs[own]
    worth = believed(problem.costs, codes, ap, few if len(few.codes) else None)
    points = [np.column_stack([problem.on_axes(costs), -value]) for value in (ap, worth)]
    wanted = front_mask(points[0]) | front_mask(points[1])
    wanted[list(best_within(problem, costs, worth).values())] = True
    every = np.concatenate([codes[wanted], history.codes[~own]])
    return tuple(
        Row(tuple(row), BASELINE if tuple(row) in drawn else SEARCH, part=UNSEEN) for row in every.tolist()
    )


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


def _named(
    named: Sequence[tuple[str, tuple[int, ...]]], origin: str, known: set[bytes], part: str = ALL
) -> tuple[Row, ...]:
    rows: dict[tuple[int, ...], Row] = {}
    for label, codes in named:
        row = Row(tuple(codes), origin, label, part)
        if row.array().tobytes() not in known:
            rows.setdefault(row.codes, row)
    return tuple(rows.values())
