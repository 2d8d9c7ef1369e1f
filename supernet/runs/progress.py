"""Long work: how far it is, told on stderr, and SIGTERM and SIGINT as a polite request to stop.

The step in hand is finished and saved first.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

QUIET_SECONDS = 15.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}"),
            )
            self._live = progress.Progress(*columns, console=Console(stderr=True))
            self._task = self._live.add_task(title, total=total, completed=done, note="")
        self._started = self._printed = time.monotonic()
        self._first = done

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Say that `done` parts are finished, of `total` by now."""
        self._total = total or self._total
        if self._live is not None:
            self._note = note or self._note
            self._live.update(self._task, completed=done, total=self._total, note=self._note)
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


class StopRequest:
    """`with StopRequest() as stop:` notes the first signal in `stop.signal`; a second one interrupts at once.

    Attributes:
        signal: the number of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        # Only the main thread may set handlers; a job in another thread is stopped by its parent.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def exit_if_stopped(number: int, folder: Path) -> None:
    """End the process as that signal would, telling where the saved run goes on; 0 is no signal."""
    if number:
        print(f"stopped and saved; the same command goes on from there ({folder})", file=sys.stderr)
        sys.exit(128 + number)
