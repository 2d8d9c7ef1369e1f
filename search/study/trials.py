"""Candidates as Optuna trials and back; the parameters are the genes that have an effect."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..strategies.plan import Row
from ..strategies.problem import Problem
from .candidate import Candidate, Lease, State

SCHEMA = 1
STATES: dict[TrialState, State] = {
    TrialState.WAITING: "planned",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "done",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "failed",
}


def as_trial(problem: Problem, row: Row, number: int, index: int) -> FrozenTrial:
    """The waiting trial of row `index` of round `number`."""
    space, codes = problem.space, row.array()[None]
    values = problem.costs.predict(codes)[0].tolist()
    active = space.active(codes)[0]
    shown = [(gene, code) for gene, code, on in zip(space.genes, row.codes, active, strict=True) if on]
    return create_trial(
        state=TrialState.WAITING,
        params={gene.name: gene.choices[code] for gene, code in shown},
        distributions={gene.name: CategoricalDistribution(gene.choices) for gene, _ in shown},
        user_attrs={
            "schema": SCHEMA,
            "codes": list(row.codes),
            "arch": space.decode(codes)[0].to_dict(),
            "costs": dict(zip(problem.costs.names, values, strict=True)),
            "origin": row.origin,
            "label": row.label,
            "round": number,
            "index": index,
        },
    )


def as_candidate(trial: FrozenTrial) -> Candidate:
    """The candidate of a trial that `as_trial` made."""
    attributes = trial.user_attrs
    return Candidate(
        number=trial.number,
        codes=tuple(attributes["codes"]),
        origin=attributes["origin"],
        round=attributes["round"],
        index=attributes["index"],
        costs=attributes["costs"],
        state=STATES[trial.state],
        lease=lease_of(trial),
        stats=attributes.get("stats"),
        seconds=attributes.get("seconds", 0.0),
        label=attributes.get("label", ""),
        trial_id=trial._trial_id,
    )


def lease_of(trial: FrozenTrial) -> Lease | None:
    """The lease kept in a trial."""
    value = trial.user_attrs.get("lease")
    return Lease.from_dict(value) if value else None
