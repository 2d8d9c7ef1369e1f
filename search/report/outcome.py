"""What a search found: the front, each budget's subnet, the files that tell; and what it tells besides: the
quality of the predictor, the weight of the genes, progress.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from supernet.pose.protocols import main_metric
from supernet.runs.files import write_json, write_text
from supernet.space import Codes

from ..accuracy.predictor import (
    AccuracyPredictor,
    Few,
    RatedPredictor,
    believed,
    fit_predictor,
    is_enough,
    measure_quality,
)
from ..costs.contract import Floats, log_cost
from ..strategies.contract import Problem
from ..strategies.front import front_mask, hypervolume_2d
from ..strategies.operators import unique_rows
from ..strategies.plan import ALL, BASELINE, FIRST, UNSEEN, Plan, best_within
from ..study.candidate import Candidate

SCHEMA = 1
# Architectures over which the effect of a gene is averaged.
SAMPLES = 2000


@dataclass(frozen=True)
class Outcome:
    """The result of a search.

    Attributes:
        problem: what was searched.
        candidates: every one that was scored on all images that may choose.
        front: those that no other beats on AP and all axes' costs, from cheap to costly. The random baseline
            is there to be compared with: it is neither on a front nor chosen.
        chosen: by budget, the one within it that is believed to be best (`choose`).
        baseline: by budget, its random architectures.
        references: by name, the released architectures, however they came to be evaluated.
        failed: those that were given up.
        first: what was scored on the first images, before some of it was on all.
        unseen: by architecture, the score on images that chose nothing.
    """

    problem: Problem
    candidates: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    chosen: Mapping[str, Candidate]
    baseline: Mapping[str, Sequence[Candidate]]
    references: Mapping[str, Candidate] = field(default_factory=dict)
    failed: tuple[Candidate, ...] = ()
    first: tuple[Candidate, ...] = ()
    unseen: Mapping[tuple[int, ...], Candidate] = field(default_factory=dict)

    @classmethod
    def of(
        cls, problem: Problem, candidates: Sequence[Candidate], plans: Sequence[Plan], share: float = 1.0
    ) -> Outcome:
        """The outcome of what was evaluated so far; `share` of the images scored first."""
        of_part: dict[str, list[Candidate]] = {ALL: [], FIRST: [], UNSEEN: []}
        for candidate in candidates:
            if candidate.state == "done":
                of_part[candidate.part].append(candidate)
        done, first = tuple(of_part[ALL]), tuple(of_part[FIRST])
        unseen = {one.codes: one for one in of_part[UNSEEN] if _is_scored(one)}
        by_codes = {candidate.codes: candidate for candidate in done}
        draws = {name: codes for plan in plans for name, codes in plan.baseline.items()}
        baseline = {name: [by_codes[row] for row in rows if row in by_codes] for name, rows in draws.items()}
        named = {name: row for plan in plans for name, row in plan.references.items() if row in by_codes}
        references = {name: by_codes[row] for name, row in named.items()}
        front = front_of(problem, done, problem.axes)
        failed = tuple(candidate for candidate in candidates if candidate.state == "failed")
        chosen = choose(problem, done, first, share)
        return cls(problem, done, front, chosen, baseline, references, failed, first, unseen)

    def front_on(self, axis: str) -> tuple[Candidate, ...]:
        """Those that no other beats on AP and the one cost `axis`, from cheap to costly."""
        return front_of(self.problem, self.candidates, (axis,))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user ought to know about these results."""
        found = []
        if self.failed:
            numbers = ", ".join(str(candidate.number) for candidate in self.failed)
            found.append(
                f"given up, since worker after worker died over them: candidates {numbers}; the results are "
                "those of the others"
            )
        unscored = sum(not _is_scored(candidate) for candidate in self.candidates)
        if unscored:
            found.append(
                f"{unscored} of {len(self.candidates)} networks have no score ({self.metric} below 0: the "
                "images have nobody to find); they are never chosen"
            )
        scores = {candidate.ap for candidate in self.candidates}
        if len(self.candidates) > 1 and len(scores) == 1:
            found.append(
                f"all {len(self.candidates)} networks score {self.metric} {scores.pop():.4f}: nothing can be "
                "chosen among equals; train the supernet longer, or score on more images"
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain form: `candidates.json`."""
        problem = self.problem
        return {
            "schema": SCHEMA,
            "space": problem.space.to_dict(),
            "num_joints": problem.num_joints,
            "macs_convention": problem.costs.settings.convention,
            "axes": list(problem.axes),
            "budgets": [{"name": b.name, "limits": dict(b.limits)} for b in problem.budgets],
            "chosen": {name: candidate.number for name, candidate in self.chosen.items()},
            "front": [candidate.number for candidate in self.front],
            "baseline": {name: [c.number for c in found] for name, found in self.baseline.items()},
            "references": {name: candidate.number for name, candidate in self.references.items()},
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "failed": [candidate.to_dict() for candidate in self.failed],
            # Not there where all that was scored was scored on the same images.
            **({"first": [candidate.to_dict() for candidate in self.first]} if self.first else {}),
            **({"unseen": [one.to_dict() for one in self.unseen.values()]} if self.unseen else {}),
        }

    @property
    def learnt(self) -> tuple[Candidate, ...]:
        """What the strategy learnt from, all of it scored on the same images, and whatever else was."""
        return self.first or self.candidates

    @property
    def metric(self) -> str:
        """The name of what networks are chosen by."""
        stats = next((one.stats for one in self.candidates if one.stats), None)
        return main_metric(stats)[0] if stats else "AP"

    def write(self, folder: Path) -> None:
        """Write `candidates.json` and `candidates.csv`."""
        write_json(folder / "candidates.json", self.to_dict())
        write_text(folder / "candidates.csv", self.to_csv())

    def to_csv(self) -> str:
        """One line per architecture: number, origin, its metrics, other images', costs, marks, genes."""
        genes = [gene.name for gene in self.problem.space.genes]
        metrics = list(self.candidates[0].stats or {}) if self.candidates else [self.metric]
        beside = {"first": {one.codes: one for one in self.first}, "unseen": self.unseen}
        beside = {part: known for part, known in beside.items() if known}
        everywhere = {one.codes for one in self.candidates}
        waiting = [replace(one, stats={}) for one in self.first if one.codes not in everywhere]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        marks = ["on_front", "chosen_for"]
        writer.writerow(
            ["number", "origin", "label", "round", *metrics]
            + [f"{self.metric}_{part}" for part in beside]
            + [*self.problem.costs.names, *marks, *genes]
        )
        front = {candidate.number for candidate in self.front}
        for one in (*self.candidates, *waiting):
            chosen = " ".join(name for name, candidate in self.chosen.items() if candidate == one)
            choices = zip(self.problem.space.genes, one.codes, strict=True)
            writer.writerow(
                [one.number, one.origin, one.label, one.round]
                + [f"{(one.stats or {}).get(metric, float('nan')):.6g}" for metric in metrics]
                + [f"{known[one.codes].ap:.6g}" if one.codes in known else "" for known in beside.values()]
                + [f"{one.costs[name]:.10g}" for name in self.problem.costs.names]
                + [int(one.number in front), chosen]
                + [gene.shown(gene.choices[code]) for gene, code in choices]
            )
        return text.getvalue()


def cost_rows(problem: Problem, candidates: Sequence[Candidate]) -> Floats:
    """(N, C) costs as recorded."""
    rows = [[candidate.costs[name] for name in problem.costs.names] for candidate in candidates]
    return np.array(rows, dtype=np.float64).reshape(len(candidates), len(problem.costs.names))


def eligible(done: Sequence[Candidate]) -> list[Candidate]:
    """All that could be scored but the random baseline."""
    return [one for one in done if one.origin != BASELINE and _is_scored(one)]


def _is_scored(one: Candidate) -> bool:
    return one.ap >= 0


def front_of(problem: Problem, done: Sequence[Candidate], axes: Sequence[str]) -> tuple[Candidate, ...]:
    """The eligible ones that no other eligible one beats on AP and the costs `axes`, by the first of them."""
    found = eligible(done)
    points = np.array([[*(one.costs[axis] for axis in axes), -one.ap] for one in found])
    mask = front_mask(points.reshape(len(found), len(axes) + 1))
    front = (one for one, on in zip(found, mask, strict=True) if on)
    return tuple(sorted(front, key=lambda one: one.costs[axes[0]]))


def choose(
    problem: Problem, done: Sequence[Candidate], first: Sequence[Candidate] = (), share: float = 1.0
) -> dict[str, Candidate]:
    """By budget, the eligible one within it that is `believed` to be best, the cheapest of equals; budgets
    none meets are left out. `first` were scored on a `share` of the images.
    """
    found, scored = eligible(done), eligible(first)
    few = Few(*_told(problem, scored), share) if scored else None
    worth = believed(problem.costs, *_told(problem, found), few)
    return {name: found[i] for name, i in best_within(problem, cost_rows(problem, found), worth).items()}


def _told(problem: Problem, found: Sequence[Candidate]) -> tuple[Codes, Floats]:
    """(N, G) codes and (N,) AP."""
    codes = np.array([one.codes for one in found], dtype=np.int64).reshape(-1, len(problem.space.genes))
    return codes, np.array([one.ap for one in found], dtype=np.float64)


@dataclass(frozen=True)
class Unseen:
    """What images that chose nothing say of the search.

    Attributes:
        count: architectures that were scored on both.
        tau: Kendall tau between both scores, with its 90% bootstrap interval; None for fewer than three.
        regret: by budget, AP that the chosen one lacks there to the best within the budget.
    """

    count: int
    tau: tuple[float, tuple[float, float]] | None
    regret: Mapping[str, float]

    @classmethod
    def of(cls, outcome: Outcome) -> Unseen | None:
        """None where nothing was scored on such images."""
        both = [one for one in outcome.candidates if one.codes in outcome.unseen and _is_scored(one)]
        if not both:
            return None
        there = np.array([outcome.unseen[one.codes].ap for one in both])
        quality = measure_quality(np.array([one.ap for one in both]), there) if len(both) > 2 else None
        costs, regret = cost_rows(outcome.problem, both), {}
        for budget in outcome.problem.budgets:
            chosen = outcome.chosen.get(budget.name)
            if chosen is not None and chosen.codes in outcome.unseen:
                best = there[budget.feasible(outcome.problem.costs, costs)].max()
                regret[budget.name] = float(best - outcome.unseen[chosen.codes].ap)
        tau = (quality.tau, quality.tau_interval) if quality else None
        return cls(len(both), tau, regret)


@dataclass(frozen=True)
class GeneEffect:
    """How AP and the first cost move with one group of genes, other genes drawn at random.

    Attributes:
        name: a gene, or all of a stage's kernels or expansions together.
        ap: largest minus smallest mean predicted AP over its choices.
        cost: the same of the first cost, as a share of the space's range.
    """

    name: str
    ap: float
    cost: float


def fit_all(outcome: Outcome, seed: int = 0) -> tuple[RatedPredictor, Floats] | None:
    """A predictor fitted on all that scored on the same images, and their measured AP; None if they are too
    few, or all score the same.
    """
    if not outcome.learnt:
        return None
    codes, ap = measured(outcome.learnt)
    if not is_enough(ap):
        return None
    return fit_predictor(outcome.problem.costs, codes, ap, seed), ap


def gene_effects(problem: Problem, predictor: AccuracyPredictor, seed: int = 0) -> list[GeneEffect]:
    """Effects by predicted AP, the largest first."""
    rng = np.random.default_rng(seed)
    sample = problem.space.sample_codes(rng, SAMPLES)
    low, high = (values[0] for values in (problem.costs.of_smallest(), problem.costs.of_largest()))
    found = []
    for name, columns in gene_groups(problem).items():
        scores, costs = [], []
        for choice in range(max(problem.space.num_choices[columns])):
            moved = sample.copy()
            moved[:, columns] = np.minimum(choice, problem.space.num_choices[columns] - 1)
            moved = problem.space.canonical(moved)
            scores.append(float(predictor.predict(moved)[0].mean()))
            costs.append(float(problem.costs.predict(moved)[:, 0].mean()))
        found.append(GeneEffect(name, float(np.ptp(scores)), float(np.ptp(costs) / max(high - low, 1e-12))))
    return sorted(found, key=lambda effect: -effect.ap)


def gene_groups(problem: Problem) -> dict[str, list[int]]:
    """Columns by name: kernels and expansions of a stage together, everything else alone."""
    groups: dict[str, list[int]] = {}
    for column, gene in enumerate(problem.space.genes):
        if problem.space.num_choices[column] < 2:
            continue
        groups.setdefault(gene.label, []).append(column)
    return groups


def hypervolumes(problem: Problem, candidates: Sequence[Candidate]) -> Floats:
    """(N,) area under the front of the first 1, 2, ... candidates, as a share of the last.

    The axes are the logarithm of the first cost and AP; the reference point is the space's largest cost and
    no AP.
    """
    cost = log_cost(cost_rows(problem, candidates)[:, problem.costs.column(problem.axes[0])])
    points = np.column_stack([cost, [-candidate.ap for candidate in candidates]])
    ends = log_cost([problem.costs.of_smallest(), problem.costs.of_largest()])
    right = max(float(ends[:, problem.costs.column(problem.axes[0])].max()), float(cost.max()) + 1e-9)
    areas = np.array([hypervolume_2d(points[: i + 1], (right, 0.0)) for i in range(len(points))])
    return np.asarray(areas / areas[-1] if len(areas) and areas[-1] > 0 else areas)


def measured(candidates: Sequence[Candidate]) -> tuple[Codes, Floats]:
    """(N, G) codes and (N,) AP."""
    codes = np.stack([candidate.row for candidate in candidates])
    keep = unique_rows(codes)
    ap = np.array([candidate.ap for candidate in candidates])
    return codes[keep], ap[keep]
