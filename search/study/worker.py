"""A worker's loop: claim a candidate, evaluate it, record it; plan the next round when none is left."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any, NoReturn, Protocol

import numpy as np

from supernet.family import Architecture

from ..strategies.contract import History, Problem, Strategy
from ..strategies.plan import ALL, FIRST, PlanOptions, next_plan
from .candidate import Candidate
from .study import SearchStudy

Handler = Callable[[int, object], object] | signal.Handlers


@contextlib.contextmanager
def worker_processes(
    count: int, work: Callable[..., object], *arguments: Any
) -> Iterator[list[SpawnProcess]]:
    """Run `work(*arguments)` in `count` further processes beside the block, and wait for them at its end.

    An exception in the block, Ctrl-C included, stops them by SIGTERM.
    """
    context = multiprocessing.get_context("spawn")
    found: list[SpawnProcess] = []
    try:
        # A terminal sends Ctrl-C to all processes, but only the first may know when the others are to stop.
        with _handled(signal.SIGINT, signal.SIG_IGN):
            for _ in range(count):
                process = context.Process(target=work, args=arguments, daemon=False)
                process.start()
                found.append(process)
        yield found
    except BaseException:
        for process in found:
            process.terminate()
        raise
    finally:
        for process in found:
            process.join()


def stopped_by_sigterm() -> contextlib.AbstractContextManager[None]:
    """SIGTERM ends the block by SystemExit, as Ctrl-C does by KeyboardInterrupt."""

    def stop(number: int, _: object) -> NoReturn:
        # A second one must not break what the first one has begun.
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    return _handled(signal.SIGTERM, stop)


@contextlib.contextmanager
def _handled(number: signal.Signals, handler: Handler) -> Iterator[None]:
    """`handler` for a signal within the block; only a process's main thread can set one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


class Evaluation(Protocol):
    """What an evaluation gives."""

    @property
    def stats(self) -> Mapping[str, float]:
        """`AP` in [0, 1] and any further metrics."""


Evaluate = Callable[[Architecture], Evaluation]
Progress = Callable[[int, float], None]


def search(
    study: SearchStudy,
    problem: Problem,
    strategy: Strategy,
    evaluate: Evaluate,
    options: PlanOptions,
    progress: Progress | None = None,
    parts: Mapping[str, Evaluate] | None = None,
) -> list[Candidate]:
    """Take part in a search until it has ended; any number of processes may do so at the same time.

    Args:
        study: the shared record.
        problem: what is searched.
        strategy: says what to evaluate next.
        evaluate: scores one architecture.
        options: how much is evaluated.
        progress: called with the number of finished candidates and their best AP, after every evaluation of
            this worker and now and then while it waits.
        parts: what scores an architecture on other images, by `Row.part`, where `options` plans such.

    Returns:
        all candidates of the finished search.
    """
    told, by_part = Told(problem), {**(parts or {}), ALL: evaluate}
    while True:
        candidate = study.claim()
        if candidate is not None:
            _evaluate_one(study, problem, candidate, by_part[candidate.part])
            if progress:
                progress(study.done, study.best)
            continue
        if _advance(study, told, strategy, options):
            return study.candidates()
        if progress:
            progress(study.done, study.best)


def _evaluate_one(study: SearchStudy, problem: Problem, candidate: Candidate, evaluate: Evaluate) -> None:
    arch = problem.space.decode(candidate.row[None])[0]
    with study.working(candidate):
        stats = {name: float(value) for name, value in evaluate(arch).stats.items()}
    study.finish(candidate, stats)


def _advance(study: SearchStudy, told: Told, strategy: Strategy, options: PlanOptions) -> bool:
    """Plan the next round, or wait for whoever is busy; True once the search has ended."""
    plans = study.plans()
    if plans and plans[-1].kind == "end":
        return True
    if study.is_busy():
        study.wait()
        return False
    with study.planning(len(plans)) as mine:
        if not mine:
            study.wait()
            return False
        # What was read before may have changed until this worker's turn came.
        plans, candidates = study.plans(), study.candidates()
        if study.enqueue(plans, candidates) or not _all_finished(candidates):
            return False
        known = told.histories(candidates)
        plan = next_plan(told.problem, strategy, options, known[ALL], plans, known.get(FIRST))
        study.add_plan(len(plans), plan)
        study.enqueue([*plans, plan], candidates)
        return plan.kind == "end"


def _all_finished(candidates: Sequence[Candidate]) -> bool:
    return all(candidate.state in ("done", "failed") for candidate in candidates)


class Told:
    """What the candidates of a search tell a strategy, each of them taken in once.

    Those on which nobody could be scored (AP -1) tell nothing.

    Args:
        problem: what is searched.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self._seen = problem, 0
        self._histories = {ALL: History.empty(problem)}

    def histories(self, candidates: Sequence[Candidate]) -> Mapping[str, History]:
        """By `Row.part`, the history of all candidates, every one of them finished; the next time there may
        be more.
        """
        fresh = candidates[self._seen :]
        self._seen = len(candidates)
        for part in dict.fromkeys(one.part for one in fresh):
            before = self._histories.get(part, History.empty(self.problem))
            self._histories[part] = self._after(before, [one for one in fresh if one.part == part])
        return self._histories

    def history(self, candidates: Sequence[Candidate]) -> History:
        """That of what was scored on all images."""
        return self.histories(candidates)[ALL]

    def _after(self, before: History, fresh: Sequence[Candidate]) -> History:
        told = [one for one in fresh if one.state == "done" and one.ap >= 0]
        codes = np.array([one.row for one in told], dtype=np.int64).reshape(-1, len(self.problem.space.genes))
        return History(
            np.concatenate([before.codes, codes]),
            np.concatenate([before.ap, [one.ap for one in told]]),
            np.concatenate([before.costs, self.problem.costs.predict(codes)]),
            before.known | {one.row.tobytes() for one in fresh},
        )
