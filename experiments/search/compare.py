"""Bar 1: strategies on the tabular benchmark, seed by seed, and the paper's scheme beside them.

    python experiments/search/compare.py [seeds]

Reads nano.npz, writes compare.json and compare.png beside this file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from search.feasible import sample_fitting
from search.operators import crossover
from search.operators import mutate
from search.plan import PlanOptions
from search.storage import open_storage
from search.storage import quiet_optuna
from search.strategy import load_strategy
from search.study import SearchStudy
from search.tabular import TabularBenchmark
from search.worker import search
from supernet import SearchSpace
from supernet.space import Codes

HERE = Path(__file__).resolve().parent
BUDGETS = (0.3, 0.45, 0.65, 0.85)
# The whole front is searched, so the largest subnet is a budget as well.
SEARCHED = (*BUDGETS, 1.0)
EVALUATIONS = 100
POPULATION, GENERATIONS, PARENTS, RATE = 40, 40, 10, 0.1


def run_strategy(table: TabularBenchmark, name: str, seed: int) -> Codes:
    """(100, G) evaluated architectures in their order."""
    problem = table.problem(SEARCHED)
    study = SearchStudy(open_storage("memory"), "benchmark", problem, {})
    options = PlanOptions(seed=seed, evaluations=EVALUATIONS, batch=8)
    found = search(study, problem, load_strategy(name, problem), table, options)
    return np.stack([candidate.row for candidate in found])


def run_paper(table: TabularBenchmark, share: float, rng: np.random.Generator) -> Codes:
    """(1640, G) evaluations, with repetitions, of the paper's search for one budget, in their order.

    40 random architectures, then 40 generations of 40 children, half by mutation, half by crossover, of the
    best 10 so far; children over the budget are drawn again.
    """
    problem = table.problem([share])
    space = problem.space
    everything = population = sample_fitting(space, rng, POPULATION, problem.fits)
    for _ in range(GENERATIONS):
        parents = population[np.argsort(-table.lookup(population), kind="stable")[:PARENTS]]
        children = np.zeros((0, population.shape[1]), dtype=np.int64)
        while len(children) < POPULATION:
            pairs = rng.integers(len(parents), size=(2, POPULATION))
            some = (
                mutate(space, rng, parents[pairs[0]], RATE)
                if len(children) < POPULATION // 2
                else crossover(space, rng, parents[pairs[0]], parents[pairs[1]])
            )
            some = some[problem.fits(some)][: POPULATION // 2]
            children = np.concatenate([children, some])[:POPULATION]
        everything = np.concatenate([everything, children])
        population = np.concatenate([parents, children])
    return everything


def distinct_until(table: TabularBenchmark, runs: list[Codes], regret: float) -> tuple[float, float]:
    """Distinct evaluations over all budgets until their mean regret is at most `regret`; the last regret.

    All budgets' searches run side by side, generation by generation; an architecture counts once per budget,
    since the scheme searches every budget by itself. Infinite if they never get there.
    """
    counts, regrets = [], []
    for steps in range(POPULATION, POPULATION * (GENERATIONS + 1) + 1, POPULATION):
        counts.append(sum(len(np.unique(run[:steps], axis=0)) for run in runs))
        each = [table.regrets(run[:steps], [b])[0] for run, b in zip(runs, BUDGETS, strict=True)]
        regrets.append(float(np.mean(each)))
    reached = [count for count, value in zip(counts, regrets, strict=True) if value <= regret]
    return (min(reached) if reached else float("inf")), regrets[-1]


def main(seeds: int = 10) -> None:
    quiet_optuna()
    table = TabularBenchmark.load(HERE / "nano.npz", SearchSpace.load("nano"))
    result: dict[str, object] = {
        "architectures": len(table.codes),
        "seeds": seeds,
        "evaluations": EVALUATIONS,
    }
    figure, axes = plt.subplots(figsize=(7, 4.4), dpi=120, layout="constrained")
    regret_of = {}
    for name, color in (("predictor", "#1f6feb"), ("evolution", "#e8710a"), ("random", "#8a929c")):
        start = time.process_time()
        runs = [run_strategy(table, name, seed) for seed in range(seeds)]
        spent = time.process_time() - start
        volumes = np.array([[table.hypervolume(run[:i]) for i in range(1, len(run) + 1)] for run in runs])
        regrets = np.array([100 * table.regrets(run, BUDGETS).mean() for run in runs])
        regret_of[name] = regrets
        result[name] = {
            "hypervolume": stats(100 * volumes[:, -1]),
            "gap": float(100 - 100 * volumes[:, -1].mean()),
            "regret": stats(regrets),
            "processor_seconds_per_search": spent / seeds,
        }
        print(name, json.dumps(result[name]), flush=True)
        axes.plot(np.arange(1, EVALUATIONS + 1), 100 * volumes.mean(axis=0), color=color, label=name)
        axes.fill_between(
            np.arange(1, EVALUATIONS + 1),
            *100 * np.quantile(volumes, (0, 1), axis=0),
            color=color,
            alpha=0.15,
        )
    needed, ends = [], []
    for seed in range(seeds):
        runs = [run_paper(table, share, np.random.default_rng([seed, i])) for i, share in enumerate(BUDGETS)]
        count, end = distinct_until(table, runs, regret_of["predictor"].mean() / 100)
        needed.append(count)
        ends.append(100 * end)
    result["paper"] = {
        "distinct_for_the_predictors_regret": sorted(needed),
        "times_more": float(np.median(needed)) / EVALUATIONS,
        "regret_at_the_end": stats(np.array(ends)),
    }
    print("paper", json.dumps(result["paper"]))
    axes.axhline(99, color="#444", linewidth=0.8, linestyle=":")
    axes.set(xlabel="distinct evaluations", ylabel="hypervolume, % of the true front's", ylim=(80, 100.2))
    axes.grid(alpha=0.25)
    axes.legend(title=f"mean and range of {seeds} seeds")
    figure.savefig(HERE / "compare.png")
    (HERE / "compare.json").write_text(json.dumps(result, indent=1) + "\n")


def stats(values: np.ndarray) -> dict[str, float]:
    """Mean and range."""
    return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
