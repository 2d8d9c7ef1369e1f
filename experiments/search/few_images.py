"""Bar 5: few images first against all images at once, on landscapes over `space=litepose`, seed by seed.

    python experiments/search/few_images.py LANDSCAPE ... [--seeds 10] [--evaluations 250] [--first 125]

Writes few_images.json beside this file after every search; what is there already is not repeated. By search:
regret in AP points without noise, mean over four budgets, of what the search chooses; hypervolume in % of the
true front's of what was scored on all images; how many image evaluations that took; own processor seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from compare import HERE
from real_size import problem_of, regret

from search.landscape import Landscape, LandscapeScores
from search.options import SearchCommand
from search.report.outcome import Outcome
from search.strategies.contract import load_strategy
from search.strategies.plan import ALL, FIRST, PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy
from search.study.worker import search
from supernet import SearchSpace
from supernet.options import EvaluationOptions


def measure(landscape: Landscape, number: int, seed: int, evaluations: int, first: int, images: int) -> Any:
    """One search; `first` equal to `images` is all images at once."""
    problem = problem_of(landscape)
    config = SearchCommand(evaluation=EvaluationOptions(images=images))
    scores = LandscapeScores(f"litepose:{number}", config)
    scores.landscape = landscape
    study = SearchStudy(open_storage("memory"), "benchmark", problem, {})
    options = PlanOptions(seed=seed, evaluations=evaluations, batch=8, first=first / images)
    start = time.process_time()
    strategy = load_strategy("predictor", problem)
    found = search(study, problem, strategy, scores, options, parts={FIRST: scores.on(first)})
    outcome = Outcome.of(problem, found, study.plans(), options.first)
    seconds = time.process_time() - start
    chosen = np.stack([outcome.chosen[budget.name].row for budget in problem.budgets[:-1]])
    best = landscape.best([dict(budget.limits)["macs"] for budget in problem.budgets[:-1]])
    full = np.stack([one.row for one in found if one.part == ALL])
    codes = np.stack([one.row for one in found])
    true = landscape.points(codes)
    return {
        "regret": round(float((best - landscape.points(chosen)).mean()), 3),
        "regret of the truth": round(
            regret(landscape, problem, landscape.costs.predict(codes), true, true), 3
        ),
        "hypervolume": round(100 * landscape.hypervolume(full), 2),
        "on all images": len(full),
        "images": len(full) * images + (len(found) - len(full)) * first,
        "seconds": round(seconds, 1),
    }


def interval(values: list[float]) -> list[float]:
    """Mean and its 90% bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    return [round(float(one), 3) for one in (np.mean(values), *np.quantile(draws, (0.05, 0.95)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("landscapes", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=250)
    parser.add_argument("--first", type=int, default=125)
    parser.add_argument("--images", type=int, default=500)
    given = parser.parse_args()
    quiet_optuna()
    file = HERE / "few_images.json"
    rows: dict[str, Any] = json.loads(file.read_text())["searches"] if file.exists() else {}
    space = SearchSpace.load("litepose")
    landscapes = {number: Landscape(space, number) for number in given.landscapes}
    for seed in range(given.seeds):
        for number, landscape in landscapes.items():
            for first in (given.images, given.first):
                key = f"{given.evaluations} {first}/{given.images} {number} {seed}"
                if key not in rows:
                    size = (given.evaluations, first, given.images)
                    rows[key] = measure(landscape, number, seed, *size)
                    print(key, json.dumps(rows[key]), flush=True)
                    file.write_text(json.dumps({"searches": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
