"""The lock of a journal file: freed when its holder dies, and a torn last line is mended under it."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages.journal._file import BaseJournalFileLock

from supernet.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# How every line of a journal begins.
BEGINNING = b'{"op_code"'


def _require_journal(path: Path) -> None:
    if path.is_file():
        with open(path, "rb") as file:
            found = file.read(len(BEGINNING))
        if not BEGINNING.startswith(found):
            raise InputError(f"file {path} is no journal of a search; choose another search.storage=...")


class JournalLock(BaseJournalFileLock):
    """`flock` on a file beside the journal.

    Optuna's own lock files outlive a killed process, and everyone else then waits for them to grow old. A
    process that dies while it writes leaves half a line, after which nobody could read the journal again;
    whoever takes the lock next cuts it off.

    Raises:
        InputError: the file is there and no journal; nothing of it is touched.
    """

    def __init__(self, journal: Path) -> None:
        _require_journal(journal)
        self._journal = journal
        self._path = journal.with_name(journal.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock and mend the journal's end."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._mend()
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let the lock go."""
        if self._descriptor is not None:
            # Closing the only descriptor of the file releases its lock.
            os.close(self._descriptor)
            self._descriptor = None

    def _mend(self) -> None:
        with open(self._journal, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                return
            file.seek(size - 1)
            if file.read(1) == b"\n":
                return
            end = size
            while end > 0:
                start = max(0, end - 65536)
                file.seek(start)
                cut = file.read(end - start).rfind(b"\n")
                if cut >= 0:
                    file.truncate(start + cut + 1)
                    return
                end = start
            file.truncate(0)
