"""One study of an Optuna storage, with patience for a storage that is away for a moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from supernet.errors import InputError

from .storage import hidden_password, patiently


class Claims:
    """Claims by numbered attempts: a thing whose holder has died is claimed again under the next number.

    Args:
        store: where the marks are.
        patience: seconds after which a winner that shows no lease is taken for dead.
    """

    def __init__(self, store: StudyStore, patience: float) -> None:
        self._store = store
        self._patience = patience
        # When this worker first found a mark standing.
        self._lost: dict[str, float] = {}

    def win(self, thing: str, attempt: int) -> int | None:
        """Claim `thing` for that attempt; the number won, or None if another worker was first."""
        while not self._store.mark(f"{thing}, {attempt}"):
            since = self._lost.setdefault(f"{thing}, {attempt}", time.monotonic())
            if time.monotonic() - since < self._patience:
                return None
            # Its winner died before it could write its lease.
            attempt += 1
        return attempt

    def settle(self, thing: str, attempt: int) -> None:
        """Take down the marks of a thing that is done with; its own state keeps others from it."""
        for number in range(1, attempt + 1):
            self._store.unmark(f"{thing}, {number}")

    def release(self, thing: str, attempt: int) -> None:
        """Take down the mark of a claim that was won for nothing."""
        self._store.unmark(f"{thing}, {attempt}")


T = TypeVar("T")
# The key under which Optuna keeps the names of a study's objectives.
METRIC_NAMES = "study:metric_names"


class StudyStore:
    """Reads and writes of one study.

    Args:
        storage: an open storage.
        where: its address, for messages.
        patience: seconds to wait for it when it does not answer.
    """

    def __init__(self, storage: BaseStorage, where: str, patience: float) -> None:
        self._storage = storage
        self._where = where
        self._patience = patience
        self._study = -1
        self._name = ""

    def _call(self, work: Callable[[], T]) -> T:
        return patiently(work, self._where, self._patience)

    def open(self, name: str, facts: Mapping[str, Any], objectives: Sequence[str]) -> None:
        """Make the study, or join the one that is there.

        Args:
            name: of the study.
            facts: kept in the study; joining one with others is refused.
            objectives: the first is made large, the others small.

        Raises:
            InputError: a study of this name has other facts.
        """
        self._name = name
        self._study = self._call(lambda: self._create(name, objectives))
        known = self.study_attributes().get("facts")
        if known is None:
            self.set_study_attribute("facts", dict(facts))
        elif known != dict(facts):
            changed = sorted(key for key in {*known, *facts} if known.get(key) != facts.get(key))
            where = hidden_password(self._where)
            raise InputError(
                f"study {name!r} in {where} has other settings ({', '.join(changed)}); "
                "choose another name=..."
            )

    def _create(self, name: str, objectives: Sequence[str]) -> int:
        with contextlib.suppress(KeyError):
            return self._storage.get_study_id_from_name(name)
        directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * (len(objectives) - 1)
        try:
            study = self._storage.create_new_study(directions, name)
        except DuplicatedStudyError:  # another worker was faster
            return self._storage.get_study_id_from_name(name)
        self._storage.set_study_system_attr(study, METRIC_NAMES, list(objectives))
        return study

    def study_attributes(self) -> dict[str, Any]:
        """The study's own values."""
        return self._call(lambda: self._storage.get_study_user_attrs(self._study))

    def set_study_attribute(self, key: str, value: Any) -> None:
        """Set one of them."""
        self._call(lambda: self._storage.set_study_user_attr(self._study, key, value))

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self._call(lambda: self._storage.get_all_trials(self._study, deepcopy=False))

    def trial(self, trial_id: int) -> FrozenTrial:
        """One trial as it is now."""
        return self._call(lambda: self._storage.get_trial(trial_id))

    def create(self, trial: FrozenTrial) -> None:
        """Add a trial."""
        self._call(lambda: self._storage.create_new_trial(self._study, trial))

    def set_attribute(self, trial_id: int, key: str, value: Any) -> bool:
        """Set a value of a trial; False if the trial is finished."""
        with contextlib.suppress(UpdateFinishedTrialError):
            self._call(lambda: self._storage.set_trial_user_attr(trial_id, key, value))
            return True
        return False

    def set_state(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set a trial's state; False if it is finished, or running already where that was asked for."""
        with contextlib.suppress(UpdateFinishedTrialError):
            return self._call(lambda: self._storage.set_trial_state_values(trial_id, state, values))
        return False

    def mark(self, key: str) -> bool:
        """Put up a mark that only one worker can; False if it stands already.

        It is an empty study beside this one: a study's name is the one thing that every storage keeps
        unique, whoever races (SQLite lets two workers set the same trial to running).
        """

        def create() -> bool:
            try:
                self._storage.create_new_study([StudyDirection.MAXIMIZE], self._mark_name(key))
            except DuplicatedStudyError:
                return False
            return True

        return self._call(create)

    def unmark(self, key: str) -> None:
        """Take a mark down."""
        # Whether it is there at all does not matter.
        with contextlib.suppress(KeyError):
            self._storage.delete_study(self._storage.get_study_id_from_name(self._mark_name(key)))

    def _mark_name(self, key: str) -> str:
        return f"{self._name} claim {key}"
