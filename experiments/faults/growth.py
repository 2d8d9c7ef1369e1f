"""Own time of a search per trial, its memory, and the time to open it again: 100, 1,000 and 5,000 trials.

    python experiments/faults/growth.py [--trials 100 1000 5000] [--workers 1 4] [--out growth.json]

The evaluator answers at once, so that all time is the search's own: storage, planning by `strategy=random`
over `space=litepose`, and waiting for the other workers. The processor time a trial is that of the last
tenth, of all workers together; the time by the clock, which depends on the disk, is given beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from search.costs.budgets import BudgetOptions, resolve_budgets
from search.costs.contract import Costs
from search.strategies.contract import Problem, load_strategy
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search
from supernet import Arch, SearchSpace


@dataclass
class Instant:
    """A score that costs nothing; remembers the times, by clock and processor, when it was asked."""

    times: list[tuple[float, float]] = field(default_factory=list)
    stats: dict[str, float] = field(default_factory=lambda: {"AP": 0.5})

    def __call__(self, arch: Arch) -> Instant:
        self.times.append((time.time(), time.process_time()))
        self.stats = {"AP": 0.1 + hash(arch) % 1000 / 2000}
        return self


def opened(where: str) -> tuple[Problem, SearchStudy]:
    """The problem, and the study in its journal."""
    costs = Costs.of(SearchSpace.load("litepose"))
    problem = Problem(costs, tuple(resolve_budgets(BudgetOptions({"macs": (0.5, 1.0)}), costs)), 14)
    return problem, SearchStudy(open_storage(where), "growth", problem, {}, StudyOptions(poll=0.01), where)


def work(
    where: str, trials: int, found: multiprocessing.SimpleQueue[tuple[list[tuple[float, float]], int]]
) -> None:
    """One worker: puts the times of its evaluations and its peak memory in kB into `found`."""
    quiet_optuna()
    problem, study = opened(where)
    evaluate = Instant()
    search(study, problem, load_strategy("random", problem), evaluate, PlanOptions(evaluations=trials))
    # Not getrusage's, which begins with that of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found.put((evaluate.times, int(status["VmHWM"].split()[0])))


def measure(trials: int, workers: int) -> dict[str, float]:
    """A whole search of `trials` by `workers` processes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        where = str(Path(folder) / "study.journal")
        queue: multiprocessing.SimpleQueue[tuple[list[tuple[float, float]], int]] = context.SimpleQueue()
        processes = [context.Process(target=work, args=(where, trials, queue)) for _ in range(workers)]
        for process in processes:
            process.start()
        found = [queue.get() for _ in processes]
        for process in processes:
            process.join()
        begin = time.perf_counter()
        opened(where)[1].candidates()
        again = time.perf_counter() - begin
    times = sorted(moment for moments, _ in found for moment, _ in moments)
    last = times[-max(len(times) // 10, 10) :]
    spent = 0.0
    for moments, _ in found:
        late = [processor for moment, processor in moments if moment >= last[0]]
        spent += late[-1] - late[0] if late else 0.0
    return {
        "trials": trials,
        "workers": workers,
        "processor_ms_per_trial": round(1000 * spent / (len(last) - 1), 2),
        "clock_ms_per_trial": round(1000 * (last[-1] - last[0]) / (len(last) - 1), 2),
        "megabytes": round(max(peak for _, peak in found) / 1024, 1),
        "seconds_to_open_again": round(again, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("growth.json"))
    given = parser.parse_args()
    rows = []
    for workers in given.workers:
        for trials in given.trials:
            rows.append(measure(trials, workers))
            print(json.dumps(rows[-1]), flush=True)
    given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
