"""The further worker processes of one host, started, stopped and waited for together with the first one."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from typing import Any
from typing import NoReturn

Handler = Callable[[int, object], object] | signal.Handlers


@contextlib.contextmanager
def helpers(count: int, work: Callable[..., object], *arguments: Any) -> Iterator[list[SpawnProcess]]:
    """Run `work(*arguments)` in `count` further processes beside the block, and wait for them at its end.

    An exception in the block, Ctrl-C included, stops them by SIGTERM.
    """
    context = multiprocessing.get_context("spawn")
    found: list[SpawnProcess] = []
    try:
        # A terminal sends Ctrl-C to all processes, but only the first may know when the others are to stop.
        with _handled(signal.SIGINT, signal.SIG_IGN):
            for _ in range(count):
                helper = context.Process(target=work, args=arguments, daemon=False)
                helper.start()
                found.append(helper)
        yield found
    except BaseException:
        for helper in found:
            helper.terminate()
        raise
    finally:
        for helper in found:
            helper.join()


def stopped_by_sigterm() -> contextlib.AbstractContextManager[None]:
    """SIGTERM ends the block by SystemExit, as Ctrl-C does by KeyboardInterrupt."""

    def stop(number: int, _: object) -> NoReturn:
        # A second one must not break what the first one has begun.
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    return _handled(signal.SIGTERM, stop)


@contextlib.contextmanager
def _handled(
    number: signal.Signals, handler: Callable[[int, object], object] | signal.Handlers
) -> Iterator[None]:
    """`handler` for a signal within the block; only a process's main thread can set one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
