"""The journal file of a search: Optuna's records, one a line, each with a checksum over all before it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from optuna.storages.journal import BaseJournalBackend

from supernet.errors import InputError
from supernet.runs.reading import read_bytes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# How every line begins, and how it ends: eight hexadecimal digits between these two.
BEGINNING, KEY, END = b'{"op_code"', b',"crc32":"', b'"}\n'
TAIL = len(KEY) + 8 + len(END)


class Journal(BaseJournalBackend):
    """What Optuna's `JournalFileBackend` is and can read, with three things added.

    - The lock is `flock` on a file beside the journal: Optuna's own lock files outlive a killed process, and
      everyone else then waits for them to grow old.
    - A process that dies while it writes leaves half a line; whoever writes next cuts it off.
    - A checksum in every record tells when something was changed, left out or doubled.

    Args:
        path: the file; made where it is missing.
        repair: give up a damaged line and all that follows it; the file as it was is kept as `NAME.damaged`.

    Raises:
        InputError: the file is there and no journal; nothing of it is touched.
    """

    def __init__(self, path: Path, repair: bool = False) -> None:
        self._path = path
        self._lock = path.with_name(path.name + ".lock")
        # Where reading goes on (record, byte, checksum of all before), and where writing does.
        self._read, self._written = (0, 0, 0), (0, 0)
        if path.is_symlink():
            raise InputError(f"journal {path} is a link; give the file itself as search.storage=...")
        if path.exists():
            found = read_bytes(path, "journal", len(BEGINNING))
            if not BEGINNING.startswith(found):
                raise InputError(f"file {path} is no journal of a search; choose another search.storage=...")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if repair:
            self._repair()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The records from that number on.

        Raises:
            InputError: a line is damaged; the message names it.
        """
        number, start, crc = self._read if self._read[0] == log_number_from else (0, 0, 0)
        with open(self._path, "rb") as file:
            if os.fstat(file.fileno()).st_size < start:
                raise InputError(f"journal {self._path} was cut while it was in use; start again")
            for line in _whole_lines(file, start):
                record = _checked(line, crc)
                if record is None and not number and not self._has_checksums():
                    raise InputError(
                        f"journal {self._path} was written by an older version; choose another name=..., "
                        "search.warm_start=[.../candidates.json] takes its front along"
                    )
                if record is None:
                    raise InputError(
                        f"journal {self._path} is damaged in line {number + 1}; search.repair=true keeps the "
                        f"{number} lines before it, evaluates the rest again, and leaves a copy"
                    )
                number, start, crc = number + 1, start + len(line), zlib.crc32(line, crc)
                if number > log_number_from:
                    self._read = (number, start, crc)
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the records, all of them or, should the process die, some."""
        with self._locked(), open(self._path, "rb+") as file:
            start, crc = self._written
            for line in _whole_lines(file, start):
                start, crc = start + len(line), zlib.crc32(line, crc)
            file.seek(start)
            file.truncate()
            for log in logs:
                line = _line(log, crc)
                file.write(line)
                start, crc = start + len(line), zlib.crc32(line, crc)
            file.flush()
            os.fsync(file.fileno())
            self._written = (start, crc)

    def _has_checksums(self) -> bool:
        with open(self._path, "rb") as file:
            return any(KEY in line for line in _whole_lines(file, 0))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # Closing the only descriptor of the file releases its lock.
            os.close(descriptor)

    def _repair(self) -> None:
        with self._locked(), open(self._path, "rb+") as file:
            end = crc = 0
            for line in _whole_lines(file, 0):
                if _checked(line, crc) is None:
                    shutil.copyfile(self._path, self._path.with_name(self._path.name + ".damaged"))
                    file.truncate(end)
                    return
                end, crc = end + len(line), zlib.crc32(line, crc)


def _whole_lines(file: IO[bytes], start: int) -> Iterator[bytes]:
    """The lines from byte `start` on; one that has no end yet is being written, or torn."""
    file.seek(start)
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield line


def _line(log: dict[str, Any], before: int) -> bytes:
    text = json.dumps(log, separators=(",", ":")).encode()
    return text[:-1] + KEY + b"%08x" % zlib.crc32(text, before) + END


def _checked(line: bytes, before: int) -> dict[str, Any] | None:
    """The record of a line, or None if its checksum is another one."""
    text, tail = line[:-TAIL] + b"}", line[-TAIL:]
    if tail != KEY + b"%08x" % zlib.crc32(text, before) + END:
        return None
    record: dict[str, Any] = json.loads(text)
    return record
