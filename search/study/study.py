"""The shared record of a search: every evaluation is one Optuna trial, planned in rounds and leased."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from supernet.errors import InputError
from supernet.pose.protocols import main_metric

from ..strategies.contract import Problem
from ..strategies.plan import Plan
from .candidate import (
    SCHEMA,
    Candidate,
    Lease,
    Worker,
    as_candidate,
    as_trial,
    place_of,
    slim,
    state_of,
    tries_of,
)
from .storage import PatientStorage


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

    Two rules of every Optuna storage keep its workers apart: a waiting trial becomes a running one for a
    single caller, and an unfinished one a finished one for a single caller. So whoever takes a candidate over
    ends its trial as failed and makes another; the latest one counts.

    Args:
        storage: an open storage (`open_storage`).
        name: of the study.
        problem: what is searched.
        fingerprint: settings that results depend on; a study of that name with others is refused.
        options: leases and waiting.
        where: the storage's address, for messages.

    Attributes:
        done: candidates that are finished, given up ones left out, when it was last looked.
        best: the highest AP among them, or 0.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        problem: Problem,
        fingerprint: Mapping[str, Any],
        options: StudyOptions | None = None,
        where: str = "memory",
    ) -> None:
        self.options = options or StudyOptions()
        self.worker = Worker.this()
        self.done, self.best = 0, 0.0
        self._storage = PatientStorage(storage, where, self.options.patience)
        self._name, self._problem = name, problem
        self._study = self._storage.join(name, ["AP", *problem.axes])
        self._require_same({"schema": SCHEMA, **fingerprint})
        # What was read: finished trials are not looked at again.
        self._settled, self._looking = 0, 0.0  # seconds of the last look
        self._open: dict[tuple[int, int], FrozenTrial] = {}
        self._candidates: dict[tuple[int, int], Candidate] = {}
        self._counted: set[int] = set()
        self._turned = 0
        # The rounds, and how many candidates there are before each.
        self._plans: list[Plan] = []
        self._starts = [0]
        # What was seen of each trial of others, and when this process first saw it, by its own clock.
        self._watched: dict[int, tuple[tuple[bool, Lease | None] | None, float]] = {}

    def _require_same(self, fingerprint: dict[str, Any]) -> None:
        attributes = self._storage.attributes(self._study)
        known = attributes.get("fingerprint")
        if known is None and not attributes:
            self._storage.keep(self._study, "fingerprint", fingerprint)
        elif known != fingerprint:
            known = known or {}
            changed = sorted(key for key in {*known, *fingerprint} if known.get(key) != fingerprint.get(key))
            what = ", ".join(changed) if known else "those of an older version"
            raise InputError(
                f"study {self._name!r} in {self._storage.shown} has other settings ({what}); "
                "choose another name=..."
            )

    # Reading

    def candidates(self) -> list[Candidate]:
        """Everything planned so far, in the order of planning."""
        self._look()
        return [self._candidates[place] for place in sorted(self._candidates)]

    @property
    def planned(self) -> int:
        """How many candidates the rounds known so far have."""
        return self._starts[-1]

    def is_busy(self) -> bool:
        """Whether at the last look all that was planned had its trial, and some of them were not finished."""
        return bool(self._open) and len(self._candidates) == self._starts[-1]

    def wait(self) -> None:
        """Sleep until the next look is worth it: however many trials there are, most of a wait is sleep."""
        time.sleep(max(self.options.poll, 20 * self._looking))

    def _look(self) -> None:
        """Take in what has changed since the last look."""
        began = time.perf_counter()
        trials = self._storage.trials(self._study)
        for trial in trials[self._settled :]:
            if "codes" not in trial.user_attrs:
                continue  # not of this search: someone tried something in Optuna
            place = place_of(trial)
            before = self._candidates.get(place)
            if before is None or trial._trial_id == before.trial_id or _replaces(trial, before):
                self._take_in(place, trial)
            elif trial.state == TrialState.WAITING:
                # Two workers saw the same one die, or a storage's answer was lost.
                self._storage.set(trial._trial_id, "double", True)
                self._storage.move(trial._trial_id, TrialState.FAIL)
        while self._settled < len(trials) and trials[self._settled].state.is_finished():
            slim(trials[self._settled])
            self._settled += 1
        self._looking = time.perf_counter() - began

    def _take_in(self, place: tuple[int, int], trial: FrozenTrial) -> None:
        if self._open.get(place) is trial:
            return
        if place[0] >= len(self._plans):
            self.plans()
        rows = self._plans[place[0]].rows if place[0] < len(self._plans) else ()
        if place[1] >= len(rows) or list(rows[place[1]].codes) != trial.user_attrs["codes"]:
            raise self._foreign(f"trial {trial.number} is not what its round planned")
        candidate = as_candidate(trial, self._starts[place[0]] + place[1], self._problem)
        self._candidates[place] = candidate
        if candidate.state not in ("done", "failed"):
            self._open[place] = trial
            return
        self._open.pop(place, None)
        if candidate.state == "done":
            self._count(candidate.number, candidate.ap)

    def _foreign(self, what: str) -> InputError:
        where = f"study {self._name!r} in {self._storage.shown}"
        return InputError(f"{where} holds what no search wrote: {what}; choose another name=...")

    def _count(self, number: int, ap: float) -> None:
        if number not in self._counted:
            self._counted.add(number)
            self.done, self.best = self.done + 1, max(self.best, ap)

    def plans(self) -> list[Plan]:
        """The rounds planned so far."""
        attributes = self._storage.attributes(self._study)
        while (value := attributes.get(f"plan:{len(self._plans)}")) is not None:
            try:
                self._plans.append(Plan.from_dict(value))
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self._foreign(f"round {len(self._plans)} is no plan") from None
            self._starts.append(self._starts[-1] + len(self._plans[-1].rows))
        return list(self._plans)

    # Planning: by one worker at a time

    @contextlib.contextmanager
    def planning(self, number: int) -> Iterator[bool]:
        """Whether this worker may plan round `number` now; others wait meanwhile.

        The turn is a trial as well, in a study beside this one that is gone when the round is planned.
        """
        try:
            taken = self._turn(self._storage.join(self._turn_name(number), ["AP"]))
        except KeyError:  # it was planned meanwhile, and the turn is gone
            taken = None
        if taken is None:
            yield False
            return
        with self._keeping(*taken):
            # What was read before may be out of date: the round may be planned by now.
            yield len(self.plans()) == number
            # The turn of the round before is there still if its worker died just before this.
            for name in (self._turn_name(number), self._turn_name(number - 1)):
                with contextlib.suppress(KeyError):
                    self._storage.delete(name)

    def _turn_name(self, number: int) -> str:
        return f"{self._name} round {number}"

    def _turn(self, study: int) -> tuple[int, Lease] | None:
        trials = self._storage.trials(study)
        if not trials:
            self._storage.create(study, create_trial(state=TrialState.WAITING))
            trials = self._storage.trials(study)
        # Two workers may have made one each: the first that is not lost counts.
        counts = next((trial for trial in trials if state_of(trial) != "lost"), trials[-1])
        return self._take(study, counts)

    def add_plan(self, number: int, plan: Plan) -> None:
        """Record round `number`; call only while `planning()`."""
        self._storage.keep(self._study, f"plan:{number}", plan.to_dict())

    def enqueue(self, plans: Sequence[Plan], candidates: Sequence[Candidate]) -> int:
        """Make the trials that the last plan has and the storage lacks; call only while `planning()`.

        Returns:
            how many were made.
        """
        number, rows = len(plans) - 1, plans[-1].rows if plans else ()
        there = {candidate.index for candidate in candidates if candidate.round == number}
        missing = [index for index in range(len(rows)) if index not in there]
        for index in missing:
            self._storage.create(self._study, as_trial(self._problem, rows[index], number, index))
        return len(missing)

    # Evaluating

    def claim(self) -> Candidate | None:
        """A candidate for this worker: a planned one, else one whose lease is over; None if there is none."""
        # What is known may be out of date; as long as it serves, nothing is read.
        for place, trial in self._in_state("planned")[:1]:
            if (candidate := self._claimed(place, trial)) is not None:
                return candidate
            # Others are here too: from now on not all try the same one.
            self._turned = int(self.worker.key, 16)
        self._look()
        for state in ("planned", "running", "lost"):
            for place, trial in self._in_state(state):
                if (candidate := self._claimed(place, trial)) is not None:
                    return candidate
        return None

    def _in_state(self, state: str) -> list[tuple[tuple[int, int], FrozenTrial]]:
        found = [(place, trial) for place, trial in self._open.items() if state_of(trial) == state]
        turned = self._turned % max(len(found), 1)
        return found[turned:] + found[:turned]

    def _claimed(self, place: tuple[int, int], trial: FrozenTrial) -> Candidate | None:
        taken = self._take(self._study, trial, self.options.attempts)
        if taken is None:
            return None
        self._open.pop(place)
        return replace(self._candidates[place], state="running", trial_id=taken[0], lease=taken[1])

    def _take(self, study: int, trial: FrozenTrial, attempts: int | None = None) -> tuple[int, Lease] | None:
        """The trial that this worker may work on now, and its lease: `trial`, or the one that replaces it."""
        trial_id = trial._trial_id
        if trial.state == TrialState.WAITING:
            return self._start(trial_id)
        if not self._is_silent(trial):
            return None
        attempt, returned = tries_of(trial)
        if trial.state == TrialState.RUNNING:
            if Lease.of(self._storage.trial(trial_id)) != Lease.of(trial):
                return None  # its worker is slow, and lives
            given_up = attempts is not None and attempt - returned >= attempts
            if given_up:
                self._storage.set(trial_id, "given_up", True)
            if not self._storage.move(trial_id, TrialState.FAIL) or given_up:
                return None
        kept = {key: value for key, value in trial.user_attrs.items() if key != "lease"}
        again = create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**kept, "tries": [attempt + 1, returned]},
        )
        return self._start(self._storage.create(study, again))

    def _start(self, trial_id: int) -> tuple[int, Lease] | None:
        if not self._storage.move(trial_id, TrialState.RUNNING):
            return None
        lease = Lease(self.worker, self.options.lease, *tries_of(self._storage.trial(trial_id)))
        return (trial_id, lease) if self._storage.set(trial_id, "lease", lease.to_dict()) else None

    def _is_silent(self, trial: FrozenTrial) -> bool:
        """Whether a trial's worker was not heard of for as long as its lease lasts, or is seen to be dead."""
        lease, running = Lease.of(trial), trial.state == TrialState.RUNNING
        if running and lease is not None and lease.worker.is_dead():
            return True
        now, seen = time.monotonic(), (running, lease)
        known, since = self._watched.get(trial._trial_id, (None, now))
        if known != seen:
            self._watched[trial._trial_id] = (seen, now)
            return False
        return now - since >= (lease.seconds if running and lease else self.options.lease)

    def _holds(self, trial_id: int) -> bool:
        with contextlib.suppress(KeyError):
            trial = self._storage.trial(trial_id)
            lease = Lease.of(trial)
            return trial.state == TrialState.RUNNING and lease is not None and lease.worker == self.worker
        return False

    @contextlib.contextmanager
    def _keeping(self, trial_id: int, lease: Lease, attempts: int | None = None) -> Iterator[None]:
        """Renew a lease from a thread until the block ends; an exception inside gives the trial back."""
        stop = threading.Event()

        def renew() -> None:
            beat = lease.beat
            while not stop.wait(lease.seconds / 4):
                beat += 1
                # A storage that is away is the main thread's to report.
                with contextlib.suppress(Exception):
                    if self._holds(trial_id):
                        self._storage.set(trial_id, "lease", replace(lease, beat=beat).to_dict())

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        except BaseException as error:
            stop.set()
            thread.join()
            with contextlib.suppress(Exception):
                self._give_back(trial_id, lease, isinstance(error, KeyboardInterrupt | SystemExit), attempts)
            raise
        finally:
            stop.set()
            thread.join()

    def _give_back(self, trial_id: int, lease: Lease, stopped: bool, attempts: int | None) -> None:
        if not self._holds(trial_id):
            return
        if not stopped and attempts is not None and lease.attempt - lease.returned >= attempts:
            self._storage.set(trial_id, "given_up", True)
            self._storage.move(trial_id, TrialState.FAIL)
            return
        self._storage.set(trial_id, "tries", [lease.attempt + 1, lease.returned + stopped])
        self._storage.set(trial_id, "lease", None)
        self._storage.move(trial_id, TrialState.WAITING)

    def working(self, candidate: Candidate) -> contextlib.AbstractContextManager[None]:
        """Keep the lease of `candidate` alive; an exception inside gives it back at once.

        Being stopped (KeyboardInterrupt, SystemExit) is not the candidate's fault and counts for nothing.
        """
        assert candidate.lease is not None
        return self._keeping(candidate.trial_id, candidate.lease, self.options.attempts)

    def finish(self, candidate: Candidate, stats: Mapping[str, float]) -> bool:
        """Record the evaluation of `candidate`; False if another worker had taken it over meanwhile."""
        trial_id = candidate.trial_id
        if not self._holds(trial_id):
            return False
        self._storage.set(trial_id, "stats", dict(stats))
        values = [main_metric(stats)[1], *(candidate.costs[axis] for axis in self._problem.axes)]
        if not self._storage.move(trial_id, TrialState.COMPLETE, values):
            return False
        self._count(candidate.number, values[0])
        return True


def _replaces(trial: FrozenTrial, lost: Candidate) -> bool:
    return lost.state == "lost" and trial._trial_id > lost.trial_id and "double" not in trial.user_attrs
