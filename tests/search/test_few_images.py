"""Few images first, all for what they favour, and others that choose nothing: plans, beliefs, the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import found_by, run, settings

from search.accuracy.predictor import Few, fit_rounds
from search.costs.budgets import Budget
from search.landscape import Landscape, LandscapeScores
from search.options import SearchCommand
from search.report.outcome import Outcome, Unseen
from search.strategies.contract import History, Problem, load_strategy
from search.strategies.plan import ALL, BASELINE, FIRST, SEARCH, UNSEEN, Plan, PlanOptions, Row, promising
from search.study.candidate import Candidate
from search.study.storage import open_storage
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search
from supernet import InputError, SearchSpace
from supernet.family import Architecture
from supernet.options import EvaluationOptions

FAST = StudyOptions(poll=0.01)
PLAN = PlanOptions(evaluations=32, batch=8, baseline=2, first=0.25, unseen=True)


@pytest.fixture(scope="module")
def scores() -> LandscapeScores:
    return LandscapeScores("nano:3", SearchCommand(evaluation=EvaluationOptions(images=400)))


@pytest.fixture(scope="module")
def problem(scores: LandscapeScores) -> Problem:
    limits = 0.3 * scores.landscape.costs.of_largest()[0], 0.7 * scores.landscape.costs.of_largest()[0]
    return Problem(scores.landscape.costs, tuple(Budget(f"{x:g}", (("macs", x),)) for x in limits))


class Counted:
    """Scores that remember who asked for what, and stop after some."""

    def __init__(self, scores: LandscapeScores, most: int = 10**6) -> None:
        self.scores, self.left = scores, most
        self.asked: list[tuple[str, bytes]] = []
        self.parts = {FIRST: self.of(FIRST, 100), UNSEEN: self.of(UNSEEN, 300, 400)}

    def of(self, part: str, images: int, skip: int = 0) -> Callable[[Architecture], Any]:
        score = self.scores.on(images, skip)

        def counted(arch: Architecture) -> Any:
            if len(self.asked) == self.left:
                raise KeyboardInterrupt
            self.asked.append((part, self.scores.space.encode([arch])[0].tobytes()))
            return score(arch)

        return counted


def found(problem: Problem, counted: Counted, where: str = "memory") -> tuple[list[Candidate], list[Plan]]:
    study = SearchStudy(open_storage(where), "s", problem, {}, FAST, where)
    strategy = load_strategy("predictor", problem, {"population": 64, "generations": 8})
    done = search(study, problem, strategy, counted.of(ALL, 400), PLAN, parts=counted.parts)
    return done, study.plans()


def told(candidates: list[Candidate]) -> list[tuple[object, ...]]:
    return [(c.part, c.codes, c.origin, c.round, c.index, c.ap) for c in candidates]


@pytest.fixture(scope="module")
def whole(problem: Problem, scores: LandscapeScores) -> tuple[list[Candidate], list[Plan], Counted]:
    counted = Counted(scores)
    return *found(problem, counted), counted


def test_all_images_score_what_the_first_favour(
    problem: Problem, scores: LandscapeScores, whole: tuple[list[Candidate], list[Plan], Counted]
) -> None:
    done, plans, counted = whole
    assert len(set(counted.asked)) == len(counted.asked) == len(done)
    kinds = [plan.kind for plan in plans]
    assert kinds == sorted(kinds, key=["search", "promising", "baseline", "unseen", "end"].index)
    first = [one.codes for one in done if one.part == FIRST]
    favoured = [one.codes for one in done if one.part == ALL and one.origin == SEARCH]
    assert len(first) == 32
    assert set(favoured) < set(first)
    for part, images, skip in ((FIRST, 100, 0), (ALL, 400, 0), (UNSEEN, 300, 400)):
        mine = [one for one in done if one.part == part]
        wanted = scores.landscape.scores(np.array([one.codes for one in mine]), images, skip)
        assert [one.ap for one in mine] == pytest.approx(wanted, rel=1e-12)
    outcome = Outcome.of(problem, done, plans, PLAN.first)
    assert {one.codes for one in outcome.chosen.values()} <= set(favoured)
    # Nothing more can be told: another round would be empty.
    few = Few(np.array(first), np.array([one.ap for one in done if one.part == FIRST]), 0.25)
    ap = [one.ap for one in done if one.part == ALL and one.origin == SEARCH]
    history = History.of(problem, np.array(favoured), np.array(ap))
    assert not len(promising(problem, few, history, 8))
    # The front, the chosen and the random ones are scored on unseen images, once each.
    unseen = {one.codes for one in done if one.part == UNSEEN}
    drawn = {row for plan in plans for rows in plan.baseline.values() for row in rows}
    assert {one.codes for one in (*outcome.front, *outcome.chosen.values())} | drawn <= unseen
    assert set(outcome.unseen) == unseen


@pytest.mark.parametrize("kind", ["promising", "unseen"])
def test_a_search_that_breaks_in_any_round_goes_on_to_the_same_end(
    problem: Problem,
    scores: LandscapeScores,
    whole: tuple[list[Candidate], list[Plan], Counted],
    tmp_path: Path,
    kind: str,
) -> None:
    done, plans, _ = whole
    at = next(number for number, plan in enumerate(plans) if plan.kind == kind)
    broken = 1 + sum(len(plan.rows) for plan in plans[:at])
    where = str(tmp_path / "study.journal")
    with pytest.raises(KeyboardInterrupt):
        found(problem, Counted(scores, broken), where)
    rest = Counted(scores)
    again, _ = found(problem, rest, where)
    assert told(again) == told(done)
    assert len(rest.asked) == len(done) - broken


def test_plans_are_kept_as_before_and_with_their_images() -> None:
    old = {"kind": "search", "rows": [[[0, 1], SEARCH, ""]], "baseline": {}, "references": {}}
    plan = Plan.from_dict(old)
    assert (plan.rows[0].part, plan.to_dict()) == (ALL, old)
    rows = (Row((0, 1), SEARCH, part=FIRST), Row((1, 1), BASELINE, "b", UNSEEN))
    assert Plan.from_dict(Plan("search", rows).to_dict()).rows == rows


def test_a_few_images_that_are_harder_are_no_worse_networks() -> None:
    landscape = Landscape(SearchSpace.load("nano"), 3)
    codes = np.unique(landscape.space.sample_codes(np.random.default_rng(0), 120), axis=0)
    true = landscape.points(codes) / 100
    few = Few(codes, true - 0.05, 0.25)
    known = np.arange(0, len(codes), 4)
    mean, _ = fit_rounds(landscape.costs, codes[known], true[known], few).predict(codes)
    assert np.abs(mean - true).max() < 0.01
    # Nothing on all images yet: the few speak for themselves.
    mean, _ = fit_rounds(landscape.costs, codes[:0], true[:0], few).predict(codes)
    assert np.abs(mean - few.ap).max() < 0.01


def test_tau_and_regret_on_unseen_images(problem: Problem) -> None:
    costs = sorted(0.1 * budget.limits[0][1] for budget in problem.budgets)
    codes = np.unique(problem.space.sample_codes(np.random.default_rng(0), 9), axis=0)[:4].tolist()
    own, there = [0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.35, 0.45]
    done = [
        Candidate(i, tuple(row), SEARCH, 0, i, {"macs": costs[0], "params": 1.0}, "done", None, {"AP": ap})
        for i, (row, ap) in enumerate(zip(codes, own, strict=True))
    ]
    others = [replace(one, part=UNSEEN, stats={"AP": ap}) for one, ap in zip(done, there, strict=True)]
    outcome = Outcome.of(problem, [*done, *others], [])
    assert outcome.candidates == tuple(done)
    said = Unseen.of(outcome)
    assert said is not None
    assert said.count == 4
    assert said.tau is not None
    assert said.tau[0] == pytest.approx(2 / 6)
    assert said.regret == pytest.approx({budget.name: 0.1 for budget in problem.budgets})
    assert Unseen.of(Outcome.of(problem, done, [])) is None


def test_the_command_alone_and_with_two_workers(trained: Path, tmp_path: Path) -> None:
    changes = {
        "supernet": "landscape:nano:3",
        "evaluation": EvaluationOptions(images=200),
        "images_first": 50,
        "images_unseen": 100,
        "evaluations": 12,
    }
    for name, workers in (("one", 1), ("two", 2)):
        run(settings(trained, workers=workers, **changes), tmp_path / name)
    one, two = found_by(tmp_path / "one"), found_by(tmp_path / "two")
    for part in ("first", "unseen"):
        assert len(one[part]) >= 4
        assert [(c["codes"], c["stats"]) for c in one[part]] == [(c["codes"], c["stats"]) for c in two[part]]
    assert one["candidates"] == two["candidates"]
    assert one["chosen"] == two["chosen"]
    lines = list(csv.DictReader((tmp_path / "one" / "candidates.csv").read_text().splitlines()))
    assert len(lines) == len({*(tuple(c["codes"]) for c in one["candidates"] + one["first"])})
    assert sum(line["AP"] == "nan" for line in lines) == len(lines) - len(one["candidates"]) > 0
    report = (tmp_path / "one" / "report.html").read_text()
    assert "AP on unseen images" in report
    assert f"images that chose nothing, {len(one['unseen'])} subnets" in report
    about = json.loads((tmp_path / "one" / "candidates.json").read_text())
    assert {"first", "unseen"} <= set(about)


def test_other_images_of_a_split(trained: Path) -> None:
    from search.scores import SupernetScores
    from supernet.evaluation import Evaluator, SupernetEvaluator

    config = settings(trained, images_first=1, images_unseen=2)
    config.evaluation.images = 2
    scores = SupernetScores(config.supernet, config)
    arch = scores.space.smallest()
    for part, (start, stop) in ((scores.on(1), (0, 1)), (scores.on(2, 2), (2, 4)), (scores.evaluate, (0, 2))):
        alone = scores._val_set.subset(range(start, stop))
        same = SupernetEvaluator(
            scores.trained.net, scores._train_set, Evaluator(alone, replace(config.evaluation, images=None))
        )
        assert part.evaluator.image_ids == [record.image_id for record in alone.records]
        assert part(arch).detections == same(arch).detections
    assert scores.on(1).evaluator._prepared is scores.evaluate.evaluator._prepared


@pytest.mark.parametrize(
    ("images", "changes", "words"),
    [
        (4, {"images_first": 4}, "search.images_first=4 must be fewer than the 4 images"),
        (
            None,
            {"images_unseen": 2},
            "search.images_unseen=2 are the images after the first evaluation.images",
        ),
        (3, {"images_unseen": 2}, "has 1 images after the first 3"),
        (
            4,
            {"images_first": 2, "supernet": "landscape:nano"},
            "supernet=landscape:nano cannot score on other images",
        ),
    ],
)
def test_bad_numbers_of_images_leave_nothing_behind(
    trained: Path,
    tmp_path: Path,
    images: int | None,
    changes: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A source as it was before there were other images to score on.
    monkeypatch.delattr(LandscapeScores, "on")
    config = settings(trained, **changes)
    config.evaluation.images = images
    with pytest.raises(InputError, match=words):
        run(config, tmp_path / "s")
    assert not (tmp_path / "s").exists()
