"""Strategies on landscapes over `space=litepose`, 2e22 architectures, seed by seed.

    python experiments/search/real_size.py LANDSCAPE ... [--seeds 10] [--peer-seeds 3] [--strategies NAME ...]
        [--images 500] [--out FILE]

`predictor+pairs` and `predictor+believed` are the default with other options; `predictor/125x400` searches
400 architectures, on the first 125 of the 500 images, and scores on all what these favour.
Without a landscape: processor seconds of choosing 8 at 100 to 5,000 evaluations, least of three.

Writes FILE (real_size.json) beside this file after every search; what is there already is not repeated. By
search: hypervolume in % of the true front's after 50, 100, 250 evaluations, regret in AP points of the final
choice (mean over four budgets) by what is measured and by what is believed, all in AP without noise; seconds;
the regret of what the search itself chooses at its end, and the images scored until then.
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
from search.report.outcome import Outcome
from search.strategies.contract import History, Problem, load_strategy
from search.strategies.plan import ALL, FIRST, PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy
from search.study.worker import search
from supernet import SearchSpace
from supernet.options import EvaluationOptions

BUDGETS = (0.1, 0.3, 0.5, 0.9)
PEERS = ("random", "evolution", "optuna:NSGAIISampler", "optuna:TPESampler")
AT = (50, 100, 250)
OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "pairs": {"models": ("pairs",)},
    "believed": {"levels": "believed"},
}


def regret(landscape: Landscape, problem: Problem, costs: Floats, worth: Floats, true: Floats) -> float:
    """Points that the choice by `worth` lacks to the best there is, mean over the four budgets."""
    limits = [dict(budget.limits)["macs"] for budget in problem.budgets[:-1]]
    best = landscape.best(limits)
    inside = [np.where(budget.feasible(problem.costs, costs), worth, -1.0) for budget in problem.budgets[:-1]]
    return float(np.mean([top - true[one.argmax()] for top, one in zip(best, inside, strict=True)]))


def measure(landscape: Landscape, number: int, name: str, seed: int, images: int = 500) -> dict[str, Any]:
    """One search of 250 architectures on `images` images each or, for `NAME/FIRSTxCOUNT`, of COUNT on few
    first.
    """
    costs = landscape.costs
    problem = problem_of(landscape)
    scores = LandscapeScores(f"litepose:{number}", SearchCommand(evaluation=EvaluationOptions(images=images)))
    study = SearchStudy(open_storage("memory"), "benchmark", problem, {})
    start = time.process_time()
    strategy, _, few = name.partition("/")
    first, evaluations = map(int, few.split("x")) if few else (scores.images, AT[-1])
    options = PlanOptions(seed=seed, evaluations=evaluations, batch=8, first=first / scores.images)
    strategy, _, named = strategy.partition("+")
    settings: dict[str, Any] = OPTIONS[named]
    work = load_strategy(strategy, problem, settings), scores, options
    found = search(study, problem, *work, parts={FIRST: scores.on(first)})
    chosen = Outcome.of(problem, found, study.plans(), options.first).chosen
    seconds = time.process_time() - start
    asked = [one for one in found if one.part == (FIRST if few else ALL)]
    fully = sum(one.part == ALL for one in found)
    codes, ap = np.stack([one.row for one in asked]), np.array([one.ap for one in asked])
    best = landscape.best([dict(budget.limits)["macs"] for budget in problem.budgets[:-1]])
    own = landscape.points(np.stack([chosen[budget.name].row for budget in problem.budgets[:-1]]))
    row: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "images": fully * scores.images + (len(found) - fully) * first,
        "on all images": fully,
        "chosen": round(float((best - own).mean()), 3),
    }
    for at in (at for at in AT if at <= len(asked)):
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
    for key in ("chosen", "images", "on all images"):
        if all(key in row for row in rows):
            found[key] = round(float(np.mean([row[key] for row in rows])), 3)
    for at in (str(at) for at in AT if all(str(at) in row for row in rows)):
        for key in rows[0][at]:
            values = [row[at][key] for row in rows]
            found[f"{key} {at}"] = [round(float(of(values)), 2) for of in (np.mean, np.min, np.max)]
    return found


def beside(rows: dict[str, Any], name: str, other: str) -> dict[str, Any]:
    """What `name` has more than `other` after 100 and 250 evaluations, on the same landscapes and seeds.

    Mean and 90% bootstrap interval of the regret of what each chooses; times the images of `other`, likewise.
    """
    keys = [key.split(" ", 1)[1] for key in rows if key.split()[0] == name and "chosen" in rows[key]]
    both = [(rows[f"{name} {key}"], rows[f"{other} {key}"]) for key in keys if f"{other} {key}" in rows]
    found: dict[str, Any] = {"searches": len(both)}
    # Few images are cheaper: they are compared with fewer architectures as well.
    for at in (AT[1:] if "/" in name else AT[-1:]) if len(both) > 1 else ():
        regrets = [mine["chosen"] - its[str(at)]["believed"] for mine, its in both]
        images = [mine["images"] / (at * 500) for mine, _ in both]
        for key, values in ((f"regret {at}", regrets), (f"images {at}", images)):
            means = np.random.default_rng(0).choice(values, (4000, len(values))).mean(axis=1)
            found[key] = [round(float(x), 3) for x in (np.mean(values), *np.quantile(means, (0.05, 0.95)))]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("landscapes", type=int, nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--peer-seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="+", default=["predictor", *PEERS])
    parser.add_argument("--images", type=int, default=500)
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
                if key in rows or seed >= (given.peer_seeds if name in PEERS else given.seeds):
                    continue
                rows[key] = measure(landscape, number, name, seed, given.images)
                print(key, json.dumps(rows[key]), flush=True)
                names = dict.fromkeys(one.split()[0] for one in rows)
                result["summary"] = {
                    one: {
                        **summary([row for of, row in rows.items() if of.split()[0] == one]),
                        f"more than {given.strategies[0]}": beside(rows, one, given.strategies[0]),
                    }
                    for one in names
                }
                file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
