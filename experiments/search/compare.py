"""Bar 1: strategies on the tabular benchmark, seed by seed, and the paper's scheme beside them.

    python experiments/search/compare.py [--metric AP] [--seeds 10]

Reads nano.npz, writes compare.json and compare.png beside this file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tabular import TabularBenchmark

from search.costs.contract import Floats
from search.strategies.contract import load_strategy
from search.strategies.operators import crossover, mutate, sample_feasible
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy
from search.study.worker import search
from supernet import SearchSpace
from supernet.space import Codes

HERE = Path(__file__).resolve().parent
COLORS = {"predictor": "#1f6feb", "evolution": "#e8710a", "random": "#8a929c"}
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
    everything = population = sample_feasible(space, rng, POPULATION, problem.feasible)
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
            some = some[problem.feasible(some)][: POPULATION // 2]
            children = np.concatenate([children, some])[:POPULATION]
        everything = np.concatenate([everything, children])
        population = np.concatenate([parents, children])
    return everything


def paper_curve(table: TabularBenchmark, runs: list[Codes]) -> Floats:
    """(41, 2) after every generation: distinct evaluations over all budgets, and mean regret in AP points.

    All budgets' searches run side by side; an architecture that several of them evaluate counts once.
    """
    curve = []
    for steps in range(POPULATION, POPULATION * (GENERATIONS + 1) + 1, POPULATION):
        count = len(np.unique(np.concatenate([run[:steps] for run in runs]), axis=0))
        each = [table.regrets(run[:steps], [b])[0] for run, b in zip(runs, BUDGETS, strict=True)]
        curve.append([count, 100 * np.mean(each)])
    return np.array(curve)


def first_at_most(counts: Floats, regrets: Floats, regret: float) -> int | None:
    """Evaluations at which (N,) regrets first are at most that; None if they never are."""
    reached = counts[regrets <= regret + 1e-9]
    return int(reached[0]) if len(reached) else None


def stats(values: Floats | list[float]) -> dict[str, float]:
    """Mean, median and range."""
    array = np.array(values)
    return {
        "mean": float(array.mean()),
        "median": float(np.median(array)),
        "min": float(array.min()),
        "max": float(array.max()),
    }


def compare(table: TabularBenchmark, seeds: int) -> tuple[dict[str, Any], dict[str, tuple[Floats, ...]]]:
    """The metrics, and by name the curves: evaluations (N,), hypervolumes and regrets (seeds, N)."""
    result: dict[str, Any] = {"architectures": len(table.codes), "seeds": seeds, "evaluations": EVALUATIONS}
    curves: dict[str, tuple[Floats, ...]] = {}
    counts = np.arange(1, EVALUATIONS + 1)
    for name in COLORS:
        start = time.process_time()
        runs = [run_strategy(table, name, seed) for seed in range(seeds)]
        spent = time.process_time() - start
        volumes = np.array([[100 * table.hypervolume(run[:i]) for i in counts] for run in runs])
        regrets = np.array([[100 * table.regrets(run[:i], BUDGETS).mean() for i in counts] for run in runs])
        curves[name] = (counts, volumes, regrets)
        result[name] = {
            "hypervolume": stats(volumes[:, -1]),
            "gap": float(100 - volumes[:, -1].mean()),
            "evaluations_to_99": [first_at_most(counts, 100 - v, 1.0) for v in volumes],
            "regret": stats(regrets[:, -1]),
            "processor_seconds_per_search": spent / seeds,
        }
        print(name, json.dumps(result[name]), flush=True)
    paper = []
    for seed in range(seeds):
        runs = [run_paper(table, share, np.random.default_rng([seed, i])) for i, share in enumerate(BUDGETS)]
        paper.append(paper_curve(table, runs))
    counts_of = np.array([curve[:, 0] for curve in paper])
    regrets_of = np.array([curve[:, 1] for curve in paper])
    wanted, mean = result["predictor"]["regret"]["mean"], curves["predictor"][2].mean(axis=0)
    # The same regret is the worse of the two ends, which both reach.
    last = max(regrets_of[:, -1].mean(), wanted)
    reached = first_at_most(counts, mean, last)
    papers = first_at_most(counts_of.mean(axis=0), regrets_of.mean(axis=0), last)
    levels = {
        level: [
            first_at_most(counts, mean, level),
            first_at_most(counts_of.mean(axis=0), regrets_of.mean(axis=0), level),
        ]
        for level in (0.5, 0.3, 0.2, 0.1)
    }
    result["paper"] = {
        "regret_at_the_end": stats(regrets_of[:, -1]),
        "distinct_at_the_end": stats(counts_of[:, -1]),
        "distinct_for_the_predictors_last_mean_regret": [
            first_at_most(one, regret, wanted) for one, regret in zip(counts_of, regrets_of, strict=True)
        ],
        "same_mean_regret": last,
        "distinct_for_the_same_mean_regret": papers,
        "predictors_evaluations_for_the_same_mean_regret": reached,
        "predictors_and_papers_evaluations_for_mean_regrets": levels,
        "times_fewer": papers / reached if papers and reached else None,
    }
    print("paper", json.dumps(result["paper"]))
    curves["paper"] = (counts_of, regrets_of)
    return result, curves


def draw(curves: dict[str, tuple[Floats, ...]], seeds: int, path: Path) -> None:
    """Hypervolume and regret over evaluations."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), dpi=110, layout="constrained")
    for name, color in COLORS.items():
        counts, volumes, regrets = curves[name]
        left.plot(counts, volumes.mean(axis=0), color=color, label=name)
        left.fill_between(counts, *np.quantile(volumes, (0, 1), axis=0), color=color, alpha=0.15)
        right.plot(counts, regrets.mean(axis=0), color=color, label=name)
    counts, regrets = curves["paper"]
    right.plot(counts.mean(axis=0), regrets.mean(axis=0), color="#2e9e5b", label="paper's scheme, 4 searches")
    left.axhline(99, color="#444", linewidth=0.8, linestyle=":")
    left.set(xlabel="distinct evaluations", ylabel="hypervolume, % of the true front's", ylim=(55, 100.5))
    right.set(
        xlabel="distinct evaluations, all budgets together", ylabel="mean AP regret of four budgets, points"
    )
    right.set(xscale="log", ylim=(-0.05, 3.2), xlim=(8, None))
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(
            title=f"mean of {seeds} seeds" + (", range shaded" if axes is left else ""),
            fontsize=9,
            loc="lower right" if axes is left else "upper right",
        )
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--metric", default="AP")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    quiet_optuna()
    table = TabularBenchmark.load(HERE / "nano.npz", SearchSpace.load("nano"), given.metric)
    result, curves = compare(table, given.seeds)
    suffix = "" if given.metric == "AP" else f"_{given.metric}"
    draw(curves, given.seeds, HERE / f"compare{suffix}.png")
    (HERE / f"compare{suffix}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
