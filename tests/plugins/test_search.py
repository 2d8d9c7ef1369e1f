"""A strategy and an accuracy model from outside, by the real command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supernet import Arch, SearchSpace

pytest.importorskip("torch")
Command = Callable[..., Any]
SMALL = ("search.batch=4", "search.baseline=0", "budgets.macs=[80%]", "supernet=t", "evaluation.images=2")


@pytest.fixture(scope="module")
def supernet(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    data = ["data.render.train=8", "data.render.val=4", "data.render.test=1", "data.render.size=64"]
    small = ["train.steps=1", "train.batch_size=2", "train.sampling.resolutions=[64]", "data.workers=0"]
    command("supernet.train", "name=t", "space=nano", "data=synthetic", *data, *small, cwd=folder)
    return folder


def test_a_strategy(command: Command, supernet: Path) -> None:
    from toy import Cheapest

    from search.strategies.contract import History, Problem, load_strategy

    settings = ("name=s", "strategy=cheapest", "+strategy_options.draws=32", "search.evaluations=6")
    command("search.run", *settings, *SMALL, "search.references=false", cwd=supernet)
    found = json.loads((supernet / "runs" / "search" / "s" / "candidates.json").read_text())
    codes = np.array([candidate["codes"] for candidate in found["candidates"]])
    from search.costs.budgets import BudgetOptions, resolve_budgets
    from search.costs.contract import Costs

    costs = Costs.of(SearchSpace.load("nano"))
    problem = Problem(costs, tuple(resolve_budgets(BudgetOptions({"macs": ("80%",)}), costs)), 14)
    strategy = load_strategy("cheapest", problem, {"draws": 32})
    assert isinstance(strategy, Cheapest)
    history = History.empty(problem)
    for number, count in enumerate((4, 2)):
        asked = strategy.ask(history, count, np.random.default_rng([0, number]))
        assert codes[len(history) :][:count].tolist() == asked.tolist()
        history = History.of(problem, codes[: len(history) + count], np.zeros(len(history) + count))
    assert len(codes) == 6


def test_a_source_of_scores(command: Command, tmp_path: Path) -> None:
    settings = (
        "name=s",
        "strategy=cheapest",
        "budgets.macs=[80%]",
        "search.evaluations=6",
        "search.baseline=0",
    )
    command("search.run", "supernet=sizes:nano", *settings, cwd=tmp_path)
    folder = tmp_path / "runs" / "search" / "s"
    found = json.loads((folder / "candidates.json").read_text())
    space = SearchSpace.load("nano")
    archs = space.decode(np.array([candidate["codes"] for candidate in found["candidates"]]))
    scores = [candidate["stats"]["AP"] for candidate in found["candidates"]]
    assert scores == [arch.resolution / 96 for arch in archs]
    chosen = archs[found["chosen"]["80pct"]]
    assert Arch.load(folder / "subnets" / "80pct" / "arch.yaml") == chosen
    assert "scored on</td><td>nothing" in (folder / "report.html").read_text()


def test_an_accuracy_model(command: Command, supernet: Path) -> None:
    options = ("+strategy_options.models=[nearest]", "+strategy_options.initial=10", "search.evaluations=14")
    command("search.run", "name=m", *options, "+strategy_options.generations=4", *SMALL, cwd=supernet)
    found = json.loads((supernet / "runs" / "search" / "m" / "candidates.json").read_text())
    assert sum(candidate["origin"] == "search" for candidate in found["candidates"]) == 14
    unknown = ("+strategy_options.models=[nowhere]", "search.evaluations=14")
    done = command("search.run", "name=x", *unknown, *SMALL, ok=False, cwd=supernet)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "gp_ard, forest, nearest" in done.stderr
