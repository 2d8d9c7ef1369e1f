"""A worker's loop: claim a candidate, evaluate it, record it; plan the next round when none is left."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any, NoReturn, Protocol

import numpy as np

from supernet.family import Architecture

from ..strategies.contract import Strategy
from ..strategies.plan import PlanOptions, next_plan
from ..strategies.problem import History, Problem
from .candidate import Candidate
from .study import SearchStudy

Handler = Callable[[int, object], object] | signal.Handlers


@contextlib.contextmanager
def helpers(count: int, work: Callable[..., object], *arguments: Any) -> Iterator[list[SpawnProcess]]:
    """Run `work(*arguments)` in `count` further processes beside the block, and wait for them at its end.

    An exception in the block, Ctrl-C included, stops them by SIGTERM.
    """
    context = multiprocessing.get_context("spawn")
    found: list[SpawnProcess] = []
    try:
        # A terminal sends Ctrl-C to all processes, but only the first may know when the others are to stop.
        with _handled(signal.SIGINT, signal.SIG_IGN):
            for _ in range(count):
                helper = context.Process(target=work, args=arguments, daemon=False)
                helper.start()
                found.append(helper)
        yield found
    except BaseException:
        for helper in found:
            helper.terminate()
        raise
    finally:
        for helper in found:
            helper.join()


def stopped_by_sigterm() -> contextlib.AbstractContextManager[None]:
    """SIGTERM ends the block by SystemExit, as Ctrl-C does by KeyboardInterrupt."""

    def stop(number: int, _: object) -> NoReturn:
        # A second one must not break what the first one has begun.
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    return _handled(signal.SIGTERM, stop)


@contextlib.contextmanager
def _handled(
    number: signal.Signals, handler: Callable[[int, object], object] | signal.Handlers
) -> Iterator[None]:
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
        """`AP` in [0, 1] and any further figures."""


Evaluate = Callable[[Architecture], Evaluation]
Progress = Callable[[Sequence[Candidate]], None]


def search(
    study: SearchStudy,
    problem: Problem,
    strategy: Strategy,
    evaluate: Evaluate,
    options: PlanOptions,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Take part in a search until it has ended; any number of processes may do so at the same time.

    Args:
        study: the shared record.
        problem: what is searched.
        strategy: says what to evaluate next.
        evaluate: scores one architecture.
        options: how much is evaluated.
        progress: called with all candidates after every evaluation of this worker and now and then while it
            waits.

    Returns:
        all candidates of the finished search.
    """
    while True:
        candidate = study.claim()
        if candidate is not None:
            _evaluate_one(study, problem, candidate, evaluate)
            if progress:
                progress(study.candidates())
            continue
        if _advance(study, problem, strategy, options):
            return study.candidates()
        if progress:
            progress(study.candidates())


def _evaluate_one(study: SearchStudy, problem: Problem, candidate: Candidate, evaluate: Evaluate) -> None:
    arch = problem.space.decode(candidate.row[None])[0]
    begin = time.monotonic()
    with study.working(candidate):
        stats = {name: float(value) for name, value in evaluate(arch).stats.items()}
    study.finish(candidate, stats, time.monotonic() - begin)


def _advance(study: SearchStudy, problem: Problem, strategy: Strategy, options: PlanOptions) -> bool:
    """Plan the next round, or wait for whoever is busy; True once the search has ended."""
    plans = study.plans()
    if plans and plans[-1].kind == "end":
        return True
    candidates = study.candidates()
    planned = sum(len(plan.rows) for plan in plans)
    if len(candidates) == planned and any(c.state in ("planned", "running") for c in candidates):
        time.sleep(study.options.poll)
        return False
    with study.planning(len(plans)) as mine:
        if not mine:
            time.sleep(study.options.poll)
            return False
        # What was read before may have changed until this worker's turn came.
        plans, candidates = study.plans(), study.candidates()
        if study.enqueue(plans, candidates) or any(c.state in ("planned", "running") for c in candidates):
            return False
        plan = next_plan(problem, strategy, options, history_of(problem, candidates), plans)
        study.add_plan(len(plans), plan)
        study.enqueue([*plans, plan], candidates)
        return plan.kind == "end"


def history_of(problem: Problem, candidates: Sequence[Candidate]) -> History:
    """What the candidates tell a strategy."""
    done = [candidate for candidate in candidates if candidate.state == "done"]
    if not done:
        empty = History.empty(problem)
        known = frozenset(candidate.row.tobytes() for candidate in candidates)
        return History(empty.codes, empty.ap, empty.costs, known)
    codes = np.stack([candidate.row for candidate in done])
    ap = np.array([candidate.ap for candidate in done])
    known = frozenset(candidate.row.tobytes() for candidate in candidates)
    return History(codes, ap, problem.costs.predict(codes), known)
