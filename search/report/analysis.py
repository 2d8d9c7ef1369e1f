"""What a search tells besides its front: quality of the predictor, weight of the genes, progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from supernet.space import Codes

from ..accuracy.predictor import FEWEST, AccuracyPredictor, RatedPredictor, fit_predictor
from ..costs.contract import Floats, log_cost
from ..strategies.contract import Problem
from ..strategies.front import hypervolume_2d
from ..strategies.operators import unique_rows
from ..study.candidate import Candidate
from .outcome import Outcome, cost_rows

SAMPLES = 2000


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
    """A predictor fitted on all candidates, and their measured AP; None if they are too few, or all score
    the same.
    """
    if not outcome.candidates:
        return None
    codes, ap = measured(outcome.candidates)
    if len(codes) < 2 * FEWEST or np.ptp(ap) == 0:
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
