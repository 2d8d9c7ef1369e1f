"""Where a search keeps its trials: a journal file, a database, or a gRPC proxy of one."""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import (
    BaseStorage,
    GrpcStorageProxy,
    InMemoryStorage,
    JournalStorage,
    RDBStorage,
    get_storage,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from supernet.errors import InputError

from .journal import Journal

T = TypeVar("T")

_PASSWORD_OPTION = re.compile(r"([?&]\w*(?:password|passwd|pwd)=)[^&]*", re.IGNORECASE)
# What to say of a storage that has answered before.
KEPT = "what it holds is kept, the same command goes on once it is back"
# The key under which Optuna keeps the names of a study's objectives.
METRIC_NAMES = "study:metric_names"
FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0


def open_storage(where: str | os.PathLike[str], patience: float = 30.0, repair: bool = False) -> BaseStorage:
    """Open the storage at `where`, waiting up to `patience` seconds for a server that does not answer yet.

    Args:
        where: `memory`, `grpc://host:port` (a server started by `optuna.storages.run_grpc_proxy_server`), a
            database URL (`postgresql+psycopg://...`), or the path of a journal file.
        patience: seconds.
        repair: cut a damaged journal before its first damaged line.

    Raises:
        InputError: it cannot be opened.
    """
    text = os.fspath(where)
    mend = "check search.storage; if it is right, the same command goes on once the storage answers"
    return patiently(lambda: _open(text, repair), text, patience, mend)


def _open(where: str, repair: bool) -> BaseStorage:
    if where == "memory":
        return InMemoryStorage()
    if where.startswith("grpc://"):
        host, _, port = where.removeprefix("grpc://").rstrip("/").rpartition(":")
        if not host or not port.isdigit() or "@" in host:
            raise InputError(
                f"storage {hidden_password(where)}: write grpc://host:port (the proxy knows no passwords)"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            proxy = GrpcStorageProxy(host=host, port=int(port))
        proxy.wait_server_ready(timeout=10)
        return proxy
    if "://" in where:
        # The wrapper keeps finished trials in memory, as Optuna itself does for a URL.
        return get_storage(RDBStorage(where))
    journal = Journal(Path(where).absolute(), repair)
    try:
        return JournalStorage(journal)
    except (KeyError, TypeError, AttributeError, AssertionError, UpdateFinishedTrialError) as error:
        # None of its records is of this process: whatever Optuna refuses stands in the file.
        raise InputError(
            f"journal {where} holds what no search wrote ({error!r}); choose another name=..."
        ) from None


def patiently(work: Callable[[], T], where: str, patience: float, mend: str = KEPT) -> T:
    """`work()`, tried again while the storage fails, for at most `patience` seconds.

    Raises:
        InputError: it still fails; what it said in one line.
    """
    end = time.monotonic() + patience
    wait = FIRST_WAIT
    while True:
        try:
            return work()
        except InputError:
            raise
        except _failures() as error:
            text = str(error).partition("(Background on")[0].replace(where, hidden_password(where))
            text = " ".join(text.split())[:300] or type(error).__name__
            if isinstance(error, ValueError):
                raise InputError(
                    f"storage {hidden_password(where)} cannot be read ({text}); is it damaged, or no storage?"
                ) from None
            if time.monotonic() >= end or _is_hopeless(error):
                raise InputError(
                    f"storage {hidden_password(where)} does not answer ({text}); {mend}"
                ) from None
        time.sleep(min(wait, max(0.0, end - time.monotonic())))
        wait = min(2 * wait, LONGEST_WAIT)


class PatientStorage:
    """Studies and trials of a storage; every call waits for it as `patiently` does.

    Args:
        storage: an open storage.
        where: its address, for messages.
        patience: seconds.
    """

    def __init__(self, storage: BaseStorage, where: str, patience: float) -> None:
        self._storage, self._where, self._patience = storage, where, patience

    @property
    def shown(self) -> str:
        """The address without its password."""
        return hidden_password(self._where)

    def _call(self, work: Callable[[], T]) -> T:
        return patiently(work, self._where, self._patience)

    def join(self, name: str, objectives: Sequence[str]) -> int:
        """The study of that name, made where it is missing: the first objective is made large."""

        def join() -> int:
            with contextlib.suppress(KeyError):
                return self._storage.get_study_id_from_name(name)
            directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * (len(objectives) - 1)
            try:
                study = self._storage.create_new_study(directions, name)
            except DuplicatedStudyError:  # another worker was faster
                return self._storage.get_study_id_from_name(name)
            self._storage.set_study_system_attr(study, METRIC_NAMES, list(objectives))
            return study

        return self._call(join)

    def delete(self, name: str) -> None:
        """Delete the study of that name; KeyError if there is none."""
        self._call(lambda: self._storage.delete_study(self._storage.get_study_id_from_name(name)))

    def attributes(self, study: int) -> dict[str, Any]:
        """What was kept with a study."""
        return self._call(lambda: self._storage.get_study_user_attrs(study))

    def keep(self, study: int, key: str, value: Any) -> None:
        """Keep a value with a study."""
        self._call(lambda: self._storage.set_study_user_attr(study, key, value))

    def trials(self, study: int) -> list[FrozenTrial]:
        """All trials of a study."""
        return self._call(lambda: self._storage.get_all_trials(study, deepcopy=False))

    def trial(self, trial_id: int) -> FrozenTrial:
        """One trial as it is now; KeyError if there is none."""
        return self._call(lambda: self._storage.get_trial(trial_id))

    def create(self, study: int, trial: FrozenTrial) -> int:
        """Add a trial like this one."""
        return self._call(lambda: self._storage.create_new_trial(study, trial))

    def set(self, trial_id: int, key: str, value: Any) -> bool:
        """Set a value of a trial; False if the trial is finished."""
        with contextlib.suppress(UpdateFinishedTrialError):
            self._call(lambda: self._storage.set_trial_user_attr(trial_id, key, value))
            return True
        return False

    def move(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set a trial's state; False if it is finished, or running already where that was asked for."""
        with contextlib.suppress(UpdateFinishedTrialError):
            return self._call(lambda: self._storage.set_trial_state_values(trial_id, state, values))
        return False


def _failures() -> tuple[type[Exception], ...]:
    """What a storage raises when it is away or damaged."""
    from optuna.exceptions import StorageInternalError

    found: list[type[Exception]] = [StorageInternalError, OSError, ValueError, ImportError]
    with contextlib.suppress(ImportError):
        import grpc

        found.append(grpc.RpcError)
    with contextlib.suppress(ImportError):
        import sqlalchemy

        found.append(sqlalchemy.exc.SQLAlchemyError)
    return tuple(found)


def _is_hopeless(error: Exception) -> bool:
    """Whether waiting cannot help: no permission, no such folder, an unknown kind of database."""
    kinds: tuple[type[Exception], ...] = (PermissionError, FileNotFoundError, IsADirectoryError, ImportError)
    with contextlib.suppress(ImportError):
        import sqlalchemy

        kinds += (sqlalchemy.exc.ArgumentError,)
    return isinstance(error, kinds)


def hidden_password(where: str) -> str:
    """A database URL without its password, be it before the host or among the options."""
    where = _PASSWORD_OPTION.sub(r"\1***", where)
    head, at, tail = where.rpartition("@")
    scheme, separator, user = head.partition("://")
    name, colon, _ = user.partition(":")
    if not at or not separator or not colon:
        return where
    return f"{scheme}://{name}:***@{tail}"


def quiet_optuna() -> None:
    """Leave out the lines that Optuna prints on stderr for every study and trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
