"""Advisory locks that the system frees when their holder dies; where it has none, nothing is held."""

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
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
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
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / RUN_LOCK, "a") as file:
        if fcntl is not None:
            try:
                # A record lock: a worker that outlives this process does not inherit it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise InputError(
                        f"another process works in run folder {folder}; wait until it has ended, "
                        "or choose another name=..."
                    ) from None
        yield
