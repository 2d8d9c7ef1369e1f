"""Our strategies beside Optuna's samplers on the tabular benchmark, in one run.

    python experiments/search/peers.py [--seeds 5]

Reads nano.npz, writes peers.json beside this file: hypervolume in % of the true front's after 25, 50 and 100
evaluations, regret in AP points after 100 (mean over the four budgets), and own processor seconds a search.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from compare import BUDGETS, HERE, run_strategy
from tabular import TabularBenchmark

from search.study.storage import quiet_optuna
from supernet import SearchSpace

STRATEGIES = (
    "predictor",
    "evolution",
    "random",
    "optuna:NSGAIISampler",
    "optuna:TPESampler",
    "optuna:GPSampler",
)
AT = (25, 50, 100)


def measure(table: TabularBenchmark, name: str, seeds: int) -> dict[str, Any]:
    """The row of one strategy: means over seeds, and the range of the hypervolume after 100."""
    start = time.process_time()
    runs = [run_strategy(table, name, seed) for seed in range(seeds)]
    spent = (time.process_time() - start) / seeds
    volumes = np.array([[100 * table.hypervolume(run[:at]) for at in AT] for run in runs])
    regrets = [100 * table.regrets(run, BUDGETS).mean() for run in runs]
    return {
        "hypervolume": dict(zip(map(str, AT), volumes.mean(axis=0).round(2).tolist(), strict=True)),
        "range_at_100": [round(float(volumes[:, -1].min()), 2), round(float(volumes[:, -1].max()), 2)],
        "regret": round(float(np.mean(regrets)), 3),
        "processor_seconds": round(spent, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    quiet_optuna()
    table = TabularBenchmark.load(HERE / "nano.npz", SearchSpace.load("nano"))
    result: dict[str, Any] = {"seeds": seeds}
    for name in STRATEGIES:
        result[name] = measure(table, name, seeds)
        print(name, json.dumps(result[name]), flush=True)
        (HERE / "peers.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
