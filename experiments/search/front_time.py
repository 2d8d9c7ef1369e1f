"""Bar 3: how long the evolution of a whole front on a fitted predictor takes, in `space=litepose`.

    taskset -c 0 python experiments/search/front_time.py

The predictor is fitted on 300 random architectures whose AP is a formula of their genes, cost and a fixed
roughness (no supernet of this space was trained here); the work does not depend on where AP comes from.
Writes front_time.json beside this file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from search.accuracy.models import MODELS
from search.accuracy.predictor import AccuracyPredictor, fit_predictor
from search.costs.budgets import BudgetOptions, resolve_budgets
from search.costs.contract import Costs, Floats
from search.strategies.contract import Problem
from search.strategies.front import FrontOptions, evolve_front, front_mask
from supernet import SearchSpace
from supernet.space import Codes

HERE = Path(__file__).resolve().parent
BUDGETS = ["litepose-xs", "litepose-s", "litepose-m", "litepose-l"]
MEASURED = 300
OPTIONS = FrontOptions(population=512, generations=220)


def formula(costs: Costs, codes: Codes) -> Floats:
    """An AP that saturates in the cost, and prefers some genes to others."""
    rng = np.random.default_rng(7)
    x = codes / np.maximum(1, costs.space.num_choices - 1)
    logs = np.log(costs.predict(codes)[:, 0] / costs.of_largest()[0])
    own = x @ rng.normal(0, 1, x.shape[1]) / np.sqrt(x.shape[1])
    rough = np.sin(codes @ np.arange(1, codes.shape[1] + 1) * 1.7)
    return np.asarray(0.6 * np.exp(0.3 * logs) + 0.02 * own + 0.003 * rough)


class Counted:
    """Predicted AP that counts what it was asked for."""

    def __init__(self, predictor: AccuracyPredictor) -> None:
        self._predictor = predictor
        self.candidates = 0

    def __call__(self, codes: Codes) -> Floats:
        self.candidates += len(codes)
        return self._predictor.predict(codes)[0]


def measure(problem: Problem, codes: Codes, ap: Floats, name: str) -> dict[str, Any]:
    """One model's evolution, and as many random draws beside it."""
    score = Counted(fit_predictor(problem.costs, codes, ap, models=(name,)))
    start = time.perf_counter()
    found = evolve_front(problem, score, np.random.default_rng(1), codes, OPTIONS)
    seconds, candidates = time.perf_counter() - start, score.candidates
    drawn = problem.space.sample_codes(np.random.default_rng(2), candidates)
    return {
        "candidates": candidates,
        "seconds": round(seconds, 2),
        "front": int(front_mask(np.column_stack([problem.costs.predict(found)[:, 0], -score(found)])).sum()),
        "best_predicted_ap_by_budget": best(problem, found, score),
        "of_as_many_random_draws": best(problem, drawn, score),
    }


def main() -> None:
    space = SearchSpace.load("litepose")
    costs = Costs.of(space)
    problem = Problem(costs, tuple(resolve_budgets(BudgetOptions({"macs": tuple(BUDGETS)}), costs)), 14)
    codes = space.sample_codes(np.random.default_rng(0), MEASURED)
    ap = formula(costs, codes)
    result: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "measured": MEASURED}
    for name in MODELS.names():
        result[name] = measure(problem, codes, ap, name)
        print(name, json.dumps(result[name]), flush=True)
    (HERE / "front_time.json").write_text(json.dumps(result, indent=1) + "\n")


def best(problem: Problem, codes: Codes, score: Any) -> list[float]:
    """The best predicted AP within each budget."""
    costs, values = problem.costs.predict(codes), score(codes)
    return [round(float(values[b.feasible(problem.costs, costs)].max()), 4) for b in problem.budgets]


if __name__ == "__main__":
    main()
