"""Steps that run one after the other for each item and at the same time for different items."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from typing import Any

_END = object()
_POLL_SECONDS = 0.1


class _Failure:
    """An exception on its way to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def pipeline(
    items: Iterable[Any], steps: Iterable[Callable[[Any], Any]], depth: int = 4, latest: bool = False
) -> Generator[Any, None, None]:
    """Pass `items` through `steps`, a thread for the items and one for each step; results keep their order.

    At most `depth` results wait between two threads, so memory does not grow with the number of items.
    OpenCV, numpy and the runtimes release Python's lock while they work, so the threads really overlap.

    Args:
        items: the input; iterated in a thread of its own.
        steps: functions of the previous step's result.
        depth: length of each queue.
        latest: when the first step lags behind, drop waiting items and keep the newest (a camera's)
            instead of waiting.

    Raises:
        whatever `items` or a step raises, at the place of the item in the order; the threads then end.
    """
    stop = threading.Event()
    source: queue.Queue[Any] = queue.Queue(depth)
    threads = [threading.Thread(target=_feed, args=(items, source, stop, latest), daemon=True)]
    for step in steps:
        target: queue.Queue[Any] = queue.Queue(depth)
        threads.append(threading.Thread(target=_work, args=(step, source, target, stop), daemon=True))
        source = target
    for thread in threads:
        thread.start()
    try:
        while (item := source.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        # The consumer may leave early: threads that wait for room in a queue must see it.
        stop.set()
        for thread in threads:
            thread.join()


def _feed(items: Iterable[Any], target: queue.Queue[Any], stop: threading.Event, latest: bool) -> None:
    try:
        for item in items:
            while latest and not target.empty():
                with contextlib.suppress(queue.Empty):
                    target.get_nowait()
            if not _put(target, item, stop):
                return
    except BaseException as error:
        _put(target, _Failure(error), stop)
        return
    _put(target, _END, stop)


def _work(
    step: Callable[[Any], Any], source: queue.Queue[Any], target: queue.Queue[Any], stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            item = source.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if item is not _END and not isinstance(item, _Failure):
            try:
                item = step(item)
            except BaseException as error:
                item = _Failure(error)
        last = item is _END or isinstance(item, _Failure)
        if not _put(target, item, stop) or last:
            return


def _put(target: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Wait for room; False if the pipeline was stopped meanwhile."""
    while not stop.is_set():
        try:
            target.put(item, timeout=_POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False
