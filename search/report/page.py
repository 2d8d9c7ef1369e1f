"""The report of a search: one HTML file that needs no other, and its pictures as PNG."""

from __future__ import annotations

import base64
import html
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from supernet.family import Architecture
from supernet.runs.files import write_bytes, write_text

from ..accuracy.predictor import RatedPredictor
from ..costs.contract import SCORED_MACS, format_cost
from ..session import Session
from ..strategies.contract import Problem
from ..strategies.plan import SEARCH, WARM
from ..study.candidate import Candidate
from ..study.study import SearchStudy
from .outcome import Outcome, Unseen, fit_all, gene_effects, hypervolumes
from .plots import accuracy_against_cost, gene_bars, predicted_against_measured, progress

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2430}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}img{max-width:100%;height:auto}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid
#dde2e8;text-align:right}
td:first-child,th:first-child{text-align:left}.warning{background:#fff3cd;padding:.5rem
.8rem;border-radius:4px} .note{color:#5a6572}
"""


def write_report(
    outcome: Outcome,
    environment: Mapping[str, Any],
    warnings: Sequence[str],
    folder: Path,
) -> None:
    """Write `report.html` and the pictures that it shows into `folder`."""
    parts = [f"<h1>Search {html.escape(folder.name)}</h1>"]
    parts += [f'<p class="warning">{html.escape(warning)}</p>' for warning in warnings]
    for axis in outcome.problem.axes:
        picture = accuracy_against_cost(outcome, axis)
        write_bytes(folder / f"accuracy_{axis}.png", picture)
        parts.append(image(picture, f"{outcome.metric} against {axis} of every candidate"))
    parts += ["<h2>Chosen subnets</h2>", chosen_table(outcome), *unseen_parts(outcome)]
    parts += analysis_parts(outcome, folder)
    parts += ["<h2>Environment</h2>", environment_table(environment, outcome)]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{html.escape(folder.name)}</title><style>{STYLE}</style>'
    page = f'<!doctype html><html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'
    write_text(folder / "report.html", page)


def analysis_parts(outcome: Outcome, folder: Path) -> list[str]:
    """Progress, predictor and genes, as far as the candidates are enough to tell."""
    searched = [one for one in outcome.learnt if one.origin in (SEARCH, WARM)]
    pictures: dict[str, tuple[bytes, str]] = {}
    metric = outcome.metric
    parts: list[str] = []
    if searched:
        volumes = hypervolumes(outcome.problem, searched)
        picture = progress(volumes, [one.round for one in searched])
        pictures["progress"] = (picture, "Progress of the front's hypervolume")
    fitted = fit_all(outcome)
    if fitted is not None:
        picture = predicted_against_measured(*fitted, metric)
        pictures["predictor"] = (
            picture,
            f"Predicted against measured {metric}, by models that had not seen them",
        )
        effects = gene_effects(outcome.problem, fitted[0])
        picture = gene_bars(effects, outcome.problem.costs.names[0], metric)
        pictures["genes"] = (picture, f"What the genes move, by predicted {metric}")
    for name, (picture, text) in pictures.items():
        write_bytes(folder / f"{name}.png", picture)
        parts += [f"<h2>{html.escape(text)}</h2>", image(picture, text)]
        if name == "predictor" and fitted is not None:
            parts.append(quality_table(fitted[0]))
    return parts


def quality_table(predictor: RatedPredictor) -> str:
    """Cross-validated quality of every model, the chosen one first."""
    rows = []
    for name, quality in sorted(predictor.qualities.items(), key=lambda item: item[0] != predictor.model):
        low, high = quality.tau_interval
        least, most = quality.mae_interval
        error = f"{100 * quality.mae:.2f} ({100 * least:.2f} to {100 * most:.2f})"
        rows.append([name, f"{quality.tau:.3f} ({low:.3f} to {high:.3f})", error])
    return table(["model", "Kendall tau (90% interval)", "mean absolute error, points"], rows)


def image(picture: bytes, text: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(picture).decode("ascii")
    return f'<p><img alt="{html.escape(text)}" src="data:image/png;base64,{data}"></p>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; cells are escaped."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def chosen_table(outcome: Outcome) -> str:
    """Budget, main metric, costs and the random baseline of each chosen subnet."""
    costs = outcome.problem.costs.names
    shown = SCORED_MACS.name not in costs
    head = [
        "budget",
        "limit",
        outcome.metric,
        *([f"{outcome.metric} on unseen images"] if outcome.unseen else []),
        *costs,
        *(["MACs as scored"] if shown else []),
        "random near it: median",
        "best",
        "above random's median",
    ]
    rows = []
    for budget in outcome.problem.budgets:
        chosen = outcome.chosen.get(budget.name)
        if chosen is None:
            rows.append([budget.name, budget.shown(), "none found", *[""] * (len(head) - 3)])
            continue
        drawn = [candidate.ap for candidate in outcome.baseline.get(budget.name, ())]
        compared = ["", "", ""]
        if drawn:
            median = float(np.median(drawn))
            compared = [_percent(median), _percent(max(drawn)), f"{100 * (chosen.ap - median):+.2f}"]
        own = [_cost(chosen, name) for name in costs]
        own += [SCORED_MACS.format(_scored(outcome.problem, _arch(outcome.problem, chosen)))] if shown else []
        scores = [_percent(chosen.ap)]
        if outcome.unseen:
            there = outcome.unseen.get(chosen.codes)
            scores.append(_percent(there.ap) if there else "")
        rows.append([budget.name, budget.shown(), *scores, *own, *compared])
    return table(head, rows)


def unseen_parts(outcome: Outcome) -> list[str]:
    """What images that chose nothing say of the choice."""
    found = Unseen.of(outcome)
    if found is None:
        return []
    told = f"On images that chose nothing, {found.count} subnets were scored as well"
    if found.tau:
        tau, (low, high) = found.tau
        told += f"; both scores rank them with Kendall tau {tau:.3f} (90% interval {low:.3f} to {high:.3f})"
    lacks = [f"{name} {100 * value:.2f}" for name, value in found.regret.items()]
    if lacks:
        told += (
            ". Points that the chosen ones lack there to the best of these within the budget, which owes "
            f"some of them to luck: {', '.join(lacks)}"
        )
    return [f'<p class="note">{html.escape(told)}.</p>']


def _arch(problem: Problem, candidate: Candidate) -> Architecture:
    arch: Architecture = problem.space.decode(candidate.row[None])[0]
    return arch


def _scored(problem: Problem, arch: Architecture) -> float:
    """What the test that gave its score ran for an image."""
    return SCORED_MACS.of_arch(arch, problem.space, problem.costs.settings)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _cost(candidate: Candidate, name: str) -> str:
    return format_cost(name, candidate.costs[name])


def environment_table(environment: Mapping[str, Any], outcome: Outcome) -> str:
    """How the scores came about."""
    seconds = [candidate.seconds for candidate in outcome.candidates]
    rows = {**environment, "evaluations": len(outcome.candidates)}
    if outcome.first:
        rows["evaluations on the first images"] = len(outcome.first)
    if outcome.failed:
        rows["given up"] = len(outcome.failed)
    if seconds:
        rows["seconds per evaluation"] = f"{np.median(seconds):.2f} (median)"
    return table(["environment", ""], [[key, str(value)] for key, value in rows.items()])


def write_results(session: Session, study: SearchStudy, folder: Path) -> Outcome:
    """Write everything that a finished search gives into its run folder; what is there already is kept."""
    outcome = Outcome.of(session.problem, study.candidates(), study.plans(), session.options.first)
    outcome.write(folder)
    for budget in session.problem.budgets:
        if budget.name in outcome.chosen:
            one = outcome.chosen[budget.name]
            arch = _arch(session.problem, one)
            about = {
                "budget": budget.name,
                "costs": dict(one.costs),
                "macs_convention": session.problem.costs.settings.convention,
                "scored_macs": _scored(session.problem, arch),
                "val": dict(one.stats or {}),
            }
            if one.codes in outcome.unseen:
                about["unseen"] = dict(outcome.unseen[one.codes].stats or {})
            session.scores.save(arch, about, folder / "subnets" / budget.name)
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    write_report(outcome, session.environment, (*session.warnings, *outcome.warnings), folder)
    for name, chosen in outcome.chosen.items():
        costs = ", ".join(format_cost(cost, value) for cost, value in chosen.costs.items())
        print(f"  {name}: {outcome.metric} {chosen.ap:.4f}, {costs}  (arch={folder}:{name})")
    return outcome
