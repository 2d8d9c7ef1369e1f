"""Where a search keeps its trials: a journal file, a database, or a gRPC proxy of one."""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from optuna.exceptions import ExperimentalWarning
from optuna.storages import (
    BaseStorage,
    GrpcStorageProxy,
    InMemoryStorage,
    JournalStorage,
    RDBStorage,
    get_storage,
)

from supernet.errors import InputError

from .journal import Journal

T = TypeVar("T")

_PASSWORD_OPTION = re.compile(r"([?&]\w*(?:password|passwd|pwd)=)[^&]*", re.IGNORECASE)
# What to say of a storage that has answered before.
KEPT = "what it holds is kept, the same command goes on once it is back"
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
    return JournalStorage(Journal(Path(where).absolute(), repair))


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
