"""Advisory locks, which the system frees when their holder dies; where it has none, nothing is held."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RUN_LOCK = ".lock"


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait for every other process that is within this block for the same folder."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from the same run folder until the block, or this process, ends.

    Raises:
        InputError: another process works in it.
    """
    if fcntl is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RUN_LOCK
    descriptor = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path) -> int:
    """The lock file, open and locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # A record lock: a worker process that outlives this one does not inherit it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return descriptor  # some network file systems have no locks
            os.close(descriptor)
            raise InputError(
                f"another process works in run folder {path.parent}; wait until it has ended, "
                "or choose another name=..."
            ) from None
        # Its last holder may have removed it between the opening and the locking.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)
