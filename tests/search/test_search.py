"""The search loop: exact repetition, resume, caching, strategies, plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analytic import Formula, tiny_problem

from search.report.outcome import Outcome, cost_rows
from search.report.page import write_report
from search.strategies.contract import History, Problem, load_strategy
from search.strategies.plan import PlanOptions, next_plan
from search.study.candidate import Candidate
from search.study.storage import open_storage
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search
from supernet import InputError, SearchSpace
from supernet.space import Codes

FAST = StudyOptions(poll=0.01)
FEW = PlanOptions(evaluations=30, batch=6, baseline=3)
SMALL = {"predictor": {"initial": 12, "population": 64, "generations": 8, "models": ["ridge"]}}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return tiny_problem()


def run(
    problem: Problem,
    name: str = "random",
    where: str = "memory",
    evaluate: Formula | None = None,
    options: PlanOptions = FEW,
) -> list[Candidate]:
    study = SearchStudy(open_storage(where), "s", problem, {}, FAST, where)
    strategy = load_strategy(name, problem, SMALL.get(name))
    return search(study, problem, strategy, evaluate or Formula(problem.space), options)


def told(candidates: list[Candidate]) -> list[tuple[object, ...]]:
    return [(c.codes, c.origin, c.round, c.index, c.ap, c.number) for c in candidates]


@pytest.mark.parametrize("name", ["random", "evolution", "predictor"])
def test_one_seed_repeats_exactly_and_nothing_is_evaluated_twice(problem: Problem, name: str) -> None:
    formula = Formula(problem.space)
    first = run(problem, name, evaluate=formula)
    assert told(first) == told(run(problem, name))
    assert told(first) != told(run(problem, name, options=PlanOptions(1, 30, 6, 3)))
    assert len({c.codes for c in first}) == len(first) == formula.calls
    assert sum(c.origin == "search" for c in first) == 30
    searched = [c for c in first if c.origin == "search"]
    assert problem.feasible_costs(cost_rows(problem, searched)).all()


def test_a_broken_search_goes_on_to_the_same_end(problem: Problem, tmp_path: Path) -> None:
    whole = run(problem, "predictor")

    class Stops(Formula):
        def __call__(self, arch):  # type: ignore[no-untyped-def]
            if self.calls == 17:
                raise KeyboardInterrupt
            return super().__call__(arch)

    where = str(tmp_path / "study.journal")
    with pytest.raises(KeyboardInterrupt):
        run(problem, "predictor", where, Stops(problem.space))
    rest = Formula(problem.space)
    assert told(run(problem, "predictor", where, rest)) == told(whole)
    assert rest.calls == len(whole) - 17


def test_predictor_and_evolution_beat_random_draws(problem: Problem) -> None:
    best = {}
    for name in ("random", "evolution", "predictor"):
        found = []
        for seed in range(3):
            outcome = Outcome.of(problem, run(problem, name, options=PlanOptions(seed, 100, 20)), [])
            found += [candidate.ap for candidate in outcome.chosen.values()]
        best[name] = np.mean(found)
    assert best["random"] < best["evolution"]
    assert best["evolution"] < best["predictor"]


def test_baseline_is_near_each_budget_and_warm_start_comes_first(problem: Problem) -> None:
    rows = problem.space.sample_codes(np.random.default_rng(0), 3).tolist()
    named = tuple((f"n{i}", tuple(row)) for i, row in enumerate(rows))
    options = PlanOptions(0, 12, 4, 3, named[:2], (named[0], named[2]))
    where = "memory"
    study = SearchStudy(open_storage(where), "s", problem, {}, FAST)
    search(study, problem, load_strategy("random", problem), Formula(problem.space), options)
    candidates, plans = study.candidates(), study.plans()
    assert [c.origin for c in candidates[:3]] == ["warm start", "warm start", "search"]
    # The first reference was the warm start already.
    assert [c.label for c in candidates if c.origin == "reference"] == ["n2"]
    assert sum(c.origin in ("search", "warm start") for c in candidates) == 12
    outcome = Outcome.of(problem, candidates, plans)
    for budget in problem.budgets:
        drawn = outcome.baseline[budget.name]
        assert len(drawn) == 3
        limit = dict(budget.limits)["macs"]
        assert all(abs(c.costs["macs"] - limit) <= 0.1 * limit for c in drawn)


def test_a_space_that_is_used_up_ends_the_search() -> None:
    whole = SearchSpace.load("tiny").to_dict()
    for stage in whole["stages"]:
        stage.update({key: stage[key][:1] for key in stage})
    whole.update(stem=[8], head=[[16], [16], [16, 24]])
    from search.costs.contract import Costs

    small = Problem(Costs.of(SearchSpace.from_dict(whole)), ())
    assert small.space.size() == 4
    for name in ("random", "evolution", "predictor"):
        assert len(run(small, name, options=PlanOptions(0, 30, 3))) == 4


def test_a_users_own_strategy(problem: Problem) -> None:
    strategy = load_strategy("analytic:MiddleOut", problem, {"extra": 2})
    study = SearchStudy(open_storage("memory"), "s", problem, {}, FAST)
    found = search(study, problem, strategy, Formula(problem.space), PlanOptions(0, 20, 5))
    assert len({c.codes for c in found}) == len(found) == 20


def test_the_strategy_in_the_docs(problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "search.md").read_text()
    (tmp_path / "mystrategies.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    strategy = load_strategy("mystrategies:Neighbours", problem, {"start": 8})
    study = SearchStudy(open_storage("memory"), "s", problem, {}, FAST)
    found = search(study, problem, strategy, Formula(problem.space), PlanOptions(0, 30, 4))
    assert len({c.codes for c in found}) == len(found) == 30
    assert max(c.ap for c in found[8:]) > max(c.ap for c in found[:8])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("best", {}, "choose from predictor, evolution, random"),
        ("no_such_module:Thing", {}, "cannot be imported: .*PYTHONPATH"),
        ("json:dumps", {}, "no class with a method ask"),
        ("evolution", {"depth": 3}, "depth"),
        ("evolution", {"rate": 0.0}, r"strategy_options\.rate=0\.0 must be a number, above 0, 1 at most"),
        ("evolution", {"mutation": -0.5}, r"mutation=-0\.5 must be a number, 0 or more, 1 at most"),
        ("evolution", {"parents": 1.5}, r"parents=1\.5 must be a whole number, 1 or more"),
        ("evolution", {"initial": "40"}, "initial='40' must be a whole number"),
        ("predictor", {"initial": 3}, "initial=3 must be a whole number, 10 or more"),
        ("predictor", {"kappa": float("nan")}, "kappa=nan must be a number"),
        ("predictor", {"kappa": "x"}, "kappa='x' must be a number"),
        ("predictor", {"kappa": [0.5, "x"]}, "kappa='x' must be a number"),
        ("predictor", {"kappa": []}, r"kappa=\[\] must be a number"),
        ("predictor", {"population": 1}, "population=1 must be a whole number, 2 or more"),
        ("predictor", {"generations": -1}, "generations=-1 must be a whole number, 0 or more"),
        ("predictor", {"models": ["nope"]}, r"models=\['nope'\] must be a list of ridge, pairs, gp, "),
        ("predictor", {"models": "ridge"}, "models='ridge' must be a list of"),
    ],
)
def test_bad_strategies(problem: Problem, name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_strategy(name, problem, options)


def test_the_smallest_population_works(problem: Problem) -> None:
    options = {"initial": 10, "population": 2, "generations": 0, "models": ["ridge"]}
    study = SearchStudy(open_storage("memory"), "s", problem, {}, FAST)
    strategy = load_strategy("predictor", problem, options)
    assert len(search(study, problem, strategy, Formula(problem.space), PlanOptions(0, 14, 4))) == 14


PROPOSALS = {
    "short": (
        lambda codes: codes[:, :-1],
        r"what the strategy's ask\(\) returned: .* shape \(N, \d+\)",
    ),
    "one": (lambda codes: codes[0], "integers of shape"),
    "float": (lambda codes: codes + 0.5, "integers of shape .* found float64"),
    "beyond": (lambda codes: codes + 9, "outside the choices"),
    "negative": (lambda codes: codes - 9, "outside the choices"),
    "none": (lambda codes: None, "found object"),
    "ragged": (lambda codes: [[0], [0, 1]], "rows are not equally long"),
}


class Proposes:
    """A strategy of a user's own with a mistake."""

    def __init__(self, problem: Problem, make: Callable[[Codes], Any]) -> None:
        self.space, self.make = problem.space, make

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Any:
        return self.make(self.space.sample_codes(rng, count))


@pytest.mark.parametrize("kind", PROPOSALS)
def test_what_a_users_strategy_returns_is_checked(problem: Problem, kind: str) -> None:
    make, message = PROPOSALS[kind]
    with pytest.raises(InputError, match=message):
        next_plan(problem, Proposes(problem, make), FEW, History.empty(problem), [])


def test_a_strategy_that_proposes_nothing_ends_in_an_empty_report(problem: Problem, tmp_path: Path) -> None:
    study = SearchStudy(open_storage("memory"), "s", problem, {}, FAST)
    assert (
        search(study, problem, Proposes(problem, lambda _: []), Formula(problem.space), PlanOptions(0, 9))
        == []
    )
    outcome = Outcome.of(problem, [], study.plans())
    outcome.write(tmp_path)
    write_report(outcome, {}, [], tmp_path)
    assert "none found" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "candidates.json").read_text())["front"] == []
