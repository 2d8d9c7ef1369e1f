"""When a search ends by itself on the tabular benchmark: `strategy_options.enough`, eight seeds each.

    python experiments/search/stopping.py

Reads nano.npz, writes stopping.json beside this file: evaluations spent, regret in AP points (mean over four
budgets), hypervolume in % of the true front's.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from compare import BUDGETS, HERE, SEARCHED
from tabular import TabularBenchmark

from search.strategies.contract import load_strategy
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy
from search.study.worker import search
from supernet import SearchSpace

ENOUGH = (0.1, 0.05, 0.02, 0.01)
SEEDS = 8


def measure(table: TabularBenchmark, enough: float) -> dict[str, Any]:
    """Means over seeds, and the range of the evaluations."""
    problem, rows = table.problem(SEARCHED), []
    for seed in range(SEEDS):
        study = SearchStudy(open_storage("memory"), "benchmark", problem, {})
        strategy = load_strategy("predictor", problem, {"enough": enough})
        found = search(study, problem, strategy, table, PlanOptions(seed=seed, evaluations=160, batch=8))
        codes = np.stack([one.row for one in found])
        regret = 100 * table.regrets(codes, BUDGETS).mean()
        rows.append((len(found), regret, 100 * table.hypervolume(codes)))
    spent, regrets, volumes = zip(*rows, strict=True)
    return {
        "evaluations": [round(float(np.mean(spent)), 1), min(spent), max(spent)],
        "regret": round(float(np.mean(regrets)), 3),
        "hypervolume": round(float(np.mean(volumes)), 2),
    }


def main() -> None:
    quiet_optuna()
    table = TabularBenchmark.load(HERE / "nano.npz", SearchSpace.load("nano"))
    result = {f"{enough:g}": measure(table, enough) for enough in ENOUGH}
    print(json.dumps(result, indent=1))
    (HERE / "stopping.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
