"""Strategies on landscapes over `space=litepose`, 2e22 architectures, seed by seed.

    python experiments/search/real_size.py LANDSCAPE ... [--seeds 10] [--peer-seeds 3] [--strategies NAME ...]
        [--out FILE]

`predictor+pairs` is the default strategy with the model `pairs`.
Without a landscape: processor seconds of choosing 8 at 100 to 5,000 evaluations, least of three.

Writes FILE (real_size.json) beside this file after every search; what is there already is not repeated. By
search: hypervolume in % of the true front's after 50, 100, 250 evaluations, regret in AP points of the final
choice (mean over four budgets) by what is measured and by what is believed, all in AP without noise; seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from compare import HERE

from search.accuracy.predictor import believed
from search.costs.budgets import BudgetOptions, resolve_budgets
from search.costs.contract import Floats
from search.landscape import Landscape, LandscapeScores
from search.options import SearchCommand
from search.strategies.contract import History, Problem, load_strategy
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy
from search.study.worker import search
from supernet import SearchSpace

BUDGETS = (0.1, 0.3, 0.5, 0.9)
PEERS = ("random", "evolution", "optuna:NSGAIISampler", "optuna:TPESampler")
AT = (50, 100, 250)


def regret(landscape: Landscape, problem: Problem, costs: Floats, worth: Floats, true: Floats) -> float:
    """Points that the choice by `worth` lacks to the best there is, mean over the four budgets."""
    limits = [dict(budget.limits)["macs"] for budget in problem.budgets[:-1]]
    best = landscape.best(limits)
    inside = [np.where(budget.feasible(problem.costs, costs), worth, -1.0) for budget in problem.budgets[:-1]]
    return float(np.mean([top - true[one.argmax()] for top, one in zip(best, inside, strict=True)]))


def measure(landscape: Landscape, number: int, name: str, seed: int) -> dict[str, Any]:
    """One search of 250 evaluations of 500 images each."""
    costs = landscape.costs
    problem = problem_of(landscape)
    scores = LandscapeScores(f"litepose:{number}", SearchCommand())
    study = SearchStudy(open_storage("memory"), "benchmark", problem, {})
    start = time.process_time()
    options = PlanOptions(seed=seed, evaluations=AT[-1], batch=8)
    strategy, _, model = name.partition("+")
    settings = {"models": (model,)} if model else {}
    found = search(study, problem, load_strategy(strategy, problem, settings), scores, options)
    seconds = time.process_time() - start
    codes, ap = np.stack([one.row for one in found]), np.array([one.ap for one in found])
    row: dict[str, Any] = {"seconds": round(seconds, 1)}
    for at in AT:
        paid, true = costs.predict(codes[:at]), landscape.points(codes[:at])
        worth = {"measured": ap[:at], "believed": believed(costs, codes[:at], ap[:at])}
        row[str(at)] = {
            "hypervolume": round(100 * landscape.hypervolume(codes[:at]), 3),
            **{key: round(regret(landscape, problem, paid, one, true), 3) for key, one in worth.items()},
        }
    return row


def problem_of(landscape: Landscape) -> Problem:
    """The four budgets, and the whole range."""
    options = BudgetOptions({"macs": (*BUDGETS, 1.0)})
    return Problem(landscape.costs, tuple(resolve_budgets(options, landscape.costs)))


def choosing(landscape: Landscape) -> dict[str, float]:
    """Processor seconds of a round of the default strategy, by evaluations before it."""
    problem, found = problem_of(landscape), {}
    strategy = load_strategy("predictor", problem)
    for count in (100, 250, 500, 1000, 5000):
        codes = landscape.space.sample_codes(np.random.default_rng(0), count)
        history, spent = History.of(problem, codes, landscape.scores(codes, 500)), []
        for seed in range(3):
            start = time.process_time()
            strategy.ask(history, 8, np.random.default_rng(seed))
            spent.append(time.process_time() - start)
        found[str(count)] = round(min(spent), 2)
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, and the range of each."""
    found: dict[str, Any] = {
        "searches": len(rows),
        "seconds": np.mean([row["seconds"] for row in rows]).round(1),
    }
    for at in map(str, AT):
        for key in rows[0][at]:
            values = [row[at][key] for row in rows]
            found[f"{key} {at}"] = [round(float(of(values)), 2) for of in (np.mean, np.min, np.max)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("landscapes", type=int, nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--peer-seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="+", default=["predictor", *PEERS])
    parser.add_argument("--out", default="real_size.json")
    given = parser.parse_args()
    quiet_optuna()
    file = HERE / given.out
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"searches": {}}
    rows = result["searches"]
    space = SearchSpace.load("litepose")
    if not given.landscapes:
        result["seconds a round"] = choosing(Landscape(space))
        file.write_text(json.dumps(result, indent=1) + "\n")
    landscapes = {number: Landscape(space, number) for number in given.landscapes}
    # Seed by seed, so that whatever is there when time is up is balanced.
    for seed in range(max(given.seeds, given.peer_seeds)):
        for name in given.strategies:
            for number, landscape in landscapes.items():
                key = f"{name} {number} {seed}"
                if key in rows or seed >= (given.seeds if "predictor" in name else given.peer_seeds):
                    continue
                rows[key] = measure(landscape, number, name, seed)
                print(key, json.dumps(rows[key]), flush=True)
                names = dict.fromkeys(one.split()[0] for one in rows)
                result["summary"] = {
                    one: summary([row for of, row in rows.items() if of.split()[0] == one]) for one in names
                }
                file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
