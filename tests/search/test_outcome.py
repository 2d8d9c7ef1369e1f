"""What a search found: fronts, references and failures, from candidates with made-up scores."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from analytic import tiny_problem

from search.accuracy.predictor import believed
from search.costs.budgets import Budget
from search.landscape import Landscape
from search.report.outcome import Outcome
from search.strategies.contract import History, Problem, load_strategy
from search.strategies.plan import BASELINE, REFERENCE, SEARCH, WARM, Plan, PlanOptions, next_plan
from search.study.candidate import Candidate
from search.study.worker import Told
from supernet import SearchSpace


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Budgets of 20 MACs and of 20 parameters."""
    budgets = (Budget("macs", (("macs", 20.0),)), Budget("params", (("params", 20.0),)))
    return replace(tiny_problem(), budgets=budgets)


def evaluated(
    number: int, codes: tuple[int, ...], origin: str, costs: dict[str, float], ap: float = 0.1
) -> Candidate:
    return Candidate(number, codes, origin, 0, number, costs, "done", None, {"AP": ap})


def candidates(problem: Problem, *rows: tuple[str, float, float, float]) -> list[Candidate]:
    """Candidates of (origin, MACs, parameters, AP)."""
    codes = problem.space.sample_codes(np.random.default_rng(0), len(rows)).tolist()
    return [
        Candidate(
            i, tuple(codes[i]), origin, 0, i, {"macs": macs, "params": params}, "done", None, {"AP": ap}
        )
        for i, (origin, macs, params, ap) in enumerate(rows)
    ]


def numbers(found: tuple[Candidate, ...]) -> list[int]:
    return [candidate.number for candidate in found]


def test_the_random_baseline_is_on_no_front(problem: Problem) -> None:
    rows = [(SEARCH, 10, 10, 0.3), (BASELINE, 5, 5, 0.9), (WARM, 15, 15, 0.4), (REFERENCE, 19, 19, 0.5)]
    outcome = Outcome.of(problem, candidates(problem, *rows), [])
    assert numbers(outcome.front) == [0, 2, 3]
    assert {name: one.number for name, one in outcome.chosen.items()} == {"macs": 3, "params": 3}
    marks = [line["on_front"] for line in csv.DictReader(io.StringIO(outcome.to_csv()))]
    assert marks == ["1", "0", "1", "1"]
    only = Outcome.of(problem, candidates(problem, (BASELINE, 1, 1, 0.5)), [])
    assert (only.front, only.chosen) == ((), {})


def test_equal_scores_are_told(problem: Problem) -> None:
    rows = [(SEARCH, 10, 10, 0.0), (BASELINE, 5, 5, 0.0)]
    (told,) = Outcome.of(problem, candidates(problem, *rows), []).warnings
    assert told.startswith("all 2 networks score AP 0.0000: nothing can be chosen among equals")
    assert not Outcome.of(problem, candidates(problem, *rows, (SEARCH, 3, 3, 0.1)), []).warnings


def test_who_could_not_be_scored_is_never_chosen(problem: Problem) -> None:
    rows = [(SEARCH, 5, 5, -1.0), (SEARCH, 10, 10, 0.0), (SEARCH, 8, 8, float("nan"))]
    found = candidates(problem, *rows)
    outcome = Outcome.of(problem, found, [])
    assert numbers(outcome.front) == [1]
    assert {one.number for one in outcome.chosen.values()} == {1}
    assert [text.split()[:3] for text in outcome.warnings] == [["2", "of", "3"]]
    history = Told(problem).history(found)
    assert (history.ap.tolist(), len(history.known)) == ([0.0], 3)
    none = Outcome.of(problem, found[:1], [])
    assert (none.front, none.chosen) == ((), {})


def test_each_cost_has_a_front_of_its_own(problem: Problem) -> None:
    rows = [(SEARCH, 10, 40, 0.5), (SEARCH, 20, 30, 0.4), (SEARCH, 30, 20, 0.3), (SEARCH, 40, 25, 0.2)]
    outcome = Outcome.of(problem, candidates(problem, *rows), [])
    assert numbers(outcome.front) == [0, 1, 2]
    # By MACs alone the first beats all; by parameters a higher AP costs more.
    assert numbers(outcome.front_on("macs")) == [0]
    assert numbers(outcome.front_on("params")) == [2, 1, 0]


def test_references_are_marked_however_they_were_found() -> None:
    problem = tiny_problem()
    rows = [tuple(row) for row in problem.space.sample_codes(np.random.default_rng(1), 3).tolist()]
    references = (("litepose-xs", rows[0]), ("litepose-s", rows[1]), ("litepose-m", rows[2]))
    options = PlanOptions(evaluations=2, warm_start=references[:2], references=references)
    strategy = load_strategy("random", problem)
    first = next_plan(problem, strategy, options, History.empty(problem), [])
    history = History.of(problem, np.array(rows[:2]), np.array([0.1, 0.2]))
    plan = next_plan(problem, strategy, options, history, [first])
    assert [(row.label, row.origin) for row in plan.rows] == [("litepose-m", REFERENCE)]
    assert Plan.from_dict(plan.to_dict()) == plan
    costs = {"macs": 1.0, "params": 1.0}
    origins = (WARM, SEARCH, REFERENCE)
    done = [evaluated(i, row, origins[i], costs) for i, row in enumerate(rows)]
    outcome = Outcome.of(problem, done, [first, plan])
    wanted = {"litepose-xs": 0, "litepose-s": 1, "litepose-m": 2}
    assert {name: one.number for name, one in outcome.references.items()} == wanted
    assert outcome.to_dict()["references"] == wanted
    # One that could not be evaluated is left out.
    assert set(Outcome.of(problem, done[:2], [first, plan]).references) == {"litepose-xs", "litepose-s"}


def test_what_is_believed_is_nearer_to_the_truth_and_chosen() -> None:
    landscape = Landscape(SearchSpace.load("nano"), 3)
    costs, codes = landscape.costs, landscape.space.sample_codes(np.random.default_rng(0), 150)
    codes = np.unique(codes, axis=0)
    ap, true = landscape.scores(codes, 100), landscape.scores(codes)
    worth = believed(costs, codes, ap)
    # Images that are hard for all are no luck of one.
    shared = (ap - true).mean()
    assert np.abs(worth - shared - true).mean() < 0.6 * np.abs(ap - shared - true).mean()
    budgets = tuple(Budget(str(limit), (("macs", limit),)) for limit in (1.2e7, 4e7))
    problem, paid = Problem(costs, budgets), costs.predict(codes)[:, 0]
    found = [
        evaluated(i, tuple(row), SEARCH, {"macs": macs, "params": 1.0}, score)
        for i, (row, macs, score) in enumerate(zip(codes.tolist(), paid.tolist(), ap.tolist(), strict=True))
    ]
    for budget in budgets:
        inside = np.where(paid <= budget.limits[0][1], worth, 0)
        assert Outcome.of(problem, found, []).chosen[budget.name].number == inside.argmax()
    few = Outcome.of(problem, found[:9], []).chosen[budgets[-1].name]
    assert few.ap == ap[:9].max()
