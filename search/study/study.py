"""The shared record of a search: every evaluation is one Optuna trial, planned in rounds and leased."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from supernet.pose.protocols import main_metric

from ..strategies.plan import Plan
from ..strategies.problem import Problem
from .candidate import Candidate, Lease, Worker
from .store import Claims, StudyStore
from .trials import SCHEMA, as_candidate, as_trial, lease_of


@dataclass
class StudyOptions:
    """How a search shares its record.

    Attributes:
        lease: seconds for which a worker may be silent before others take its candidate; a worker whose
            process is seen to be dead on the same host loses it at once.
        attempts: workers that may die over a candidate before it is given up as failed; those that were
            stopped do not count.
        patience: seconds to wait for a storage that does not answer.
        poll: seconds between looks at a round that others are finishing.
    """

    lease: float = 60.0
    attempts: int = 3
    patience: float = 30.0
    poll: float = 0.5


class SearchStudy:
    """One search in a storage.

    Args:
        storage: an open storage (`open_storage`).
        name: of the study.
        problem: what is searched.
        facts: settings that results depend on; a study of that name with others is refused.
        options: leases and waiting.
        where: the storage's address, for messages.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        problem: Problem,
        facts: Mapping[str, Any],
        options: StudyOptions | None = None,
        where: str = "memory",
    ) -> None:
        self.options = options or StudyOptions()
        self.worker = Worker.this()
        self._problem = problem
        self._store = StudyStore(storage, where, self.options.patience)
        self._claims = Claims(self._store, self.options.lease)
        self._store.open(name, {"schema": SCHEMA, **facts}, ["AP", *problem.axes])

    # Reading

    def candidates(self) -> list[Candidate]:
        """Everything planned so far, in the order of planning."""
        return [as_candidate(trial) for trial in self._trials()]

    def _trials(self) -> list[FrozenTrial]:
        """The planned trials in their order; one that a storage made twice (a lost answer) counts once."""
        found: dict[tuple[int, int], FrozenTrial] = {}
        for trial in self._store.trials():
            if "codes" in trial.user_attrs:
                found.setdefault((trial.user_attrs["round"], trial.user_attrs["index"]), trial)
        return [found[place] for place in sorted(found)]

    def plans(self) -> list[Plan]:
        """The rounds planned so far."""
        attributes = self._store.study_attributes()
        found: list[Plan] = []
        while (value := attributes.get(f"plan:{len(found)}")) is not None:
            found.append(Plan.from_dict(value))
        return found

    # Planning: by one worker at a time

    @contextlib.contextmanager
    def planning(self, number: int) -> Iterator[bool]:
        """Whether this worker may plan round `number` now; others wait meanwhile."""
        held = self._planner()
        if held is not None and not held.is_over():
            yield False
            return
        round_name = f"round {number}"
        attempt = self._claims.win(round_name, held.attempt + 1 if held else 1)
        if attempt is None:
            yield False
            return
        try:
            # What was read before may be out of date: the round may be planned by now.
            if len(self.plans()) != number or self._planner() != held:
                yield False
                return
            with self._renewing(lambda: self._write_planner(self._new_lease(attempt))):
                self._write_planner(self._new_lease(attempt))
                yield True
        finally:
            self._write_planner(None)
            self._claims.settle(round_name, attempt)

    def _planner(self) -> Lease | None:
        value = self._store.study_attributes().get("planner")
        return Lease.from_dict(value) if value else None

    def _write_planner(self, lease: Lease | None) -> None:
        self._store.set_study_attribute("planner", lease.to_dict() if lease else None)

    def add_plan(self, number: int, plan: Plan) -> None:
        """Record round `number`; call only while `planning()`."""
        self._store.set_study_attribute(f"plan:{number}", plan.to_dict())

    def enqueue(self, plans: Sequence[Plan], candidates: Sequence[Candidate]) -> int:
        """Make the trials that the plans have and the storage lacks; call only while `planning()`.

        Returns:
            how many were made.
        """
        there = {(candidate.round, candidate.index) for candidate in candidates}
        places = [(number, index) for number, plan in enumerate(plans) for index in range(len(plan.rows))]
        missing = [place for place in places if place not in there]
        for number, index in missing:
            self._store.create(as_trial(self._problem, plans[number].rows[index], number, index))
        return len(missing)

    # Evaluating

    def claim(self) -> Candidate | None:
        """A candidate for this worker: a planned one, else one whose lease is over; None if there is none."""
        trials = self._trials()
        for state, take in ((TrialState.WAITING, self._take), (TrialState.RUNNING, self._take_over)):
            for trial in trials:
                if trial.state == state and (lease := take(trial)) is not None:
                    return replace(as_candidate(trial), state="running", lease=lease)
        return None

    def _take(self, trial: FrozenTrial) -> Lease | None:
        attempt = self._claims.win(f"trial {trial.number}", 1)
        if attempt is None:
            return None
        if self._store.set_state(trial._trial_id, TrialState.RUNNING):
            return self._write_lease(trial, attempt)
        # What was read before was out of date.
        return None

    def _take_over(self, trial: FrozenTrial) -> Lease | None:
        lease = lease_of(trial)
        if lease is None:
            # Its worker is about to write the lease, or died before it did.
            started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
            if time.time() - started < self.options.lease:
                return None
        elif not lease.is_over():
            return None
        returned = lease.returned if lease else 0
        attempt = self._claims.win(f"trial {trial.number}", (lease.attempt if lease else 1) + 1)
        if attempt is None:
            return None
        if lease_of(self._store.trial(trial._trial_id)) != lease:
            # What was read before was out of date: its worker was slow, and lives.
            self._claims.release(f"trial {trial.number}", attempt)
            return None
        if attempt - returned > self.options.attempts:
            self._store.set_state(trial._trial_id, TrialState.FAIL)
            self._claims.settle(f"trial {trial.number}", attempt)
            return None
        return self._write_lease(trial, attempt, returned)

    def _write_lease(self, trial: FrozenTrial, attempt: int, returned: int = 0) -> Lease | None:
        lease = self._new_lease(attempt, returned)
        return lease if self._store.set_attribute(trial._trial_id, "lease", lease.to_dict()) else None

    def _holds(self, trial_id: int) -> bool:
        trial = self._store.trial(trial_id)
        lease = lease_of(trial)
        return trial.state == TrialState.RUNNING and lease is not None and lease.worker == self.worker

    def _new_lease(self, attempt: int, returned: int = 0) -> Lease:
        return Lease(self.worker, time.time() + self.options.lease, attempt, returned)

    @contextlib.contextmanager
    def _renewing(self, write: Callable[[], object]) -> Iterator[None]:
        """Renew a lease from a thread until the block ends."""
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(self.options.lease / 4):
                # A storage that is away is the main thread's to report.
                with contextlib.suppress(Exception):
                    write()

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextlib.contextmanager
    def working(self, candidate: Candidate) -> Iterator[None]:
        """Keep the lease of `candidate` alive; an exception inside gives it back at once.

        Being stopped (KeyboardInterrupt, SystemExit) is not the candidate's fault and counts for nothing.
        """
        assert candidate.lease is not None
        attempt, returned = candidate.lease.attempt, candidate.lease.returned

        def write(lease: Lease) -> None:
            if self._holds(candidate.trial_id):
                self._store.set_attribute(candidate.trial_id, "lease", lease.to_dict())

        try:
            with self._renewing(lambda: write(self._new_lease(attempt, returned))):
                yield
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            with contextlib.suppress(Exception):
                write(Lease(self.worker, 0.0, attempt, returned + stopped))
            raise

    def finish(self, candidate: Candidate, stats: Mapping[str, float], seconds: float) -> bool:
        """Record the evaluation of `candidate`; False if another worker had taken it over meanwhile."""
        trial_id = candidate.trial_id
        if not self._holds(trial_id):
            return False
        values = [main_metric(stats)[1], *(candidate.costs[axis] for axis in self._problem.axes)]
        for key, value in (("stats", dict(stats)), ("AP", values[0]), ("seconds", seconds)):
            self._store.set_attribute(trial_id, key, value)
        done = self._store.set_state(trial_id, TrialState.COMPLETE, values)
        assert candidate.lease is not None
        self._claims.settle(f"trial {candidate.number}", candidate.lease.attempt)
        return done
