"""Progress of long work on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

QUIET_SECONDS = 15.0


class ProgressBar:
    """`with ProgressBar("training", total) as bar: bar.update(done, "loss 0.1")`.

    Args:
        title: what is being done.
        total: how many parts there are.
        shown: False prints nothing (ranks other than the first).
    """

    def __init__(self, title: str, total: int, done: int = 0, shown: bool = True) -> None:
        self._title = title
        self._total = total
        self._shown = shown
        self._live: Progress | None = None
        self._note = ""
        if shown and sys.stderr.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            texts = (TextColumn("{task.description}"), TextColumn("{task.fields[note]}"))
            self._live = Progress(texts[0], *columns, texts[1], console=Console(stderr=True))
            self._task = self._live.add_task(title, total=total, completed=done, note="")
        self._started = self._printed = time.monotonic()
        self._first = done

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` parts are finished."""
        if self._live is not None:
            self._note = note or self._note
            self._live.update(self._task, completed=done, note=self._note)
            return
        now = time.monotonic()
        if self._shown and (done >= self._total or now - self._printed >= QUIET_SECONDS):
            self._printed = now
            speed = (done - self._first) / max(1e-9, now - self._started)
            left = (self._total - done) / speed if speed else 0.0
            text = f"{self._title} {done}/{self._total}, {now - self._started:.0f} s, {left:.0f} s left"
            print(f"{text}  {note}".rstrip(), file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressBar:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
