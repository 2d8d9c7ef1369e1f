"""The end of a search: candidates, front, one network folder per budget, report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from subnets.extract import extract
from subnets.folder import load
from subnets.folder import save

from .candidate import Candidate
from .costs import shown_cost
from .outcome import Outcome
from .report import write_report
from .session import Session
from .study import SearchStudy


def write_results(session: Session, study: SearchStudy, folder: Path) -> Outcome:
    """Write everything that a finished search gives into its run folder; what is there already is kept."""
    outcome = Outcome.of(session.problem, study.candidates(), study.plans())
    outcome.write(folder)
    for budget in session.problem.budgets:
        if budget.name in outcome.chosen:
            save_subnet(session, outcome.chosen[budget.name], budget.name, folder / "subnets" / budget.name)
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    write_report(outcome, session.conditions, (*session.warnings, *outcome.warnings), folder)
    for name, chosen in outcome.chosen.items():
        costs = ", ".join(shown_cost(cost, value) for cost, value in chosen.costs.items())
        print(f"  {name}: AP {chosen.ap:.4f}, {costs}  (arch={folder}:{name})")
    return outcome


def save_subnet(session: Session, candidate: Candidate, budget: str, folder: Path) -> None:
    """Extract a candidate with calibrated batch norms into a folder of its own."""
    arch = session.problem.space.decode(candidate.row[None])[0]
    if folder.is_dir() and load(folder).arch == arch:
        return
    session.evaluate.calibrate(arch)
    about: dict[str, Any] = {
        "budget": budget,
        "costs": dict(candidate.costs),
        "macs_convention": session.problem.costs.convention,
        "val": dict(candidate.stats or {}),
        **session.trained.provenance(),
    }
    save(extract(session.trained.net, arch), folder, about)
