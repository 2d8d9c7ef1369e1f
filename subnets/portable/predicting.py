"""A whole source through a predictor: read, run, draw and write at the same time, with a speed meter."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from supernet.data.images.decode import UInt8Image
from supernet.errors import InputError
from supernet.pose.drawing import draw_people
from supernet.pose.people import People

from .frames import Frame, Frames
from .outputs import jpeg, open_outputs
from .predictor import Predictor

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


# People and joints below these scores are in the results but not in the pictures, which they would only
# clutter.
DRAW_SCORE = 0.3
DRAW_JOINT = 0.2
# Weight of the newest frame in the running mean of the meter.
_NEWEST = 0.1


@dataclass
class Summary:
    """What a prediction did.

    Attributes:
        frames: images that were read.
        people: found in all of them, with the drawing score or more.
        weaker: people below it, in the results but not in the pictures.
        draw_score: where the two part.
        seconds: from the first read to the last write.
        busy: seconds that each step worked; they overlap, so their sum may exceed `seconds`.
        failures: what could not be read, one line each.
        interrupted: whether the user stopped it before its end (a camera has none).
        deeper: folders in the source, which are not looked into.
    """

    frames: int = 0
    people: int = 0
    weaker: int = 0
    draw_score: float = DRAW_SCORE
    seconds: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False
    deeper: int = 0

    @property
    def lacking(self) -> list[str]:
        """What of the source is not in the results."""
        return [*self.failures, *["stopped by the user"] * self.interrupted]

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass
class _Item:
    """A frame on its way."""

    frame: Frame
    value: Any = None
    people: People | None = None
    drawn: UInt8Image | bytes | None = None
    failure: str | None = None


def predict(
    frames: Frames,
    predictor: Predictor,
    folder: Path,
    drawn: bool = True,
    meter: bool = False,
    draw_score: float = DRAW_SCORE,
    progress: Callable[[Summary], None] | None = None,
    ours: bool = False,
    asked: Any = None,
) -> Summary:
    """Find the people in every frame and write pictures and results into `folder`.

    Args:
        frames: what to look at.
        predictor: finds the people.
        folder: see `open_outputs`.
        drawn: write pictures (or a video) with the skeletons.
        meter: write the frame rate into the pictures.
        draw_score: people below this score are left out of the pictures (not of the results).
        progress: called after every frame.
        ours, asked: see `open_outputs`.

    Raises:
        InputError: the source gives nothing, a video cannot be looked at, or the folder cannot be written to.
    """
    summary = Summary(failures=frames.failures, draw_score=draw_score, deeper=frames.deeper)
    start = time.perf_counter()
    with open_outputs(folder, frames, ours, asked) as outputs:
        steps = _Steps(predictor, frames.kind, drawn, _Meter() if meter else None, draw_score, summary.busy)
        work = pipeline(
            steps.timed_reading(frames),
            [steps.passed_over(each) for each in (steps.prepare, steps.network, steps.group)],
            depth=1 if frames.kind == "camera" else 4,
            latest=frames.kind == "camera",
        )
        try:
            for item in work:
                if item.failure is not None:
                    summary.failures.append(item.failure)
                    continue
                begin = time.perf_counter()
                outputs.add(item.frame, item.people, item.drawn)
                summary.frames += 1
                strong = int((item.people.scores >= draw_score).sum())
                summary.people += strong
                summary.weaker += len(item.people) - strong
                summary.seconds = time.perf_counter() - start
                steps.count("write", begin)
                if progress is not None:
                    progress(summary)
        except KeyboardInterrupt:
            summary.interrupted = frames.kind != "camera"
        finally:
            work.close()
        outputs.finish(summary.lacking)
    summary.seconds = time.perf_counter() - start
    return summary


class _Steps:
    """The steps of the pipeline, each timed; `busy` is written by one thread per key."""

    def __init__(
        self,
        predictor: Predictor,
        kind: str,
        drawn: bool,
        meter: _Meter | None,
        draw_score: float,
        busy: dict[str, float],
    ) -> None:
        self._predictor = predictor
        self._kind = kind
        self._drawn = drawn
        self._meter = meter
        self._draw_score = draw_score
        self._busy = busy

    def count(self, step: str, begin: float) -> None:
        """Add the time since `begin` to `step`."""
        self._busy[step] = self._busy.get(step, 0.0) + time.perf_counter() - begin

    def timed_reading(self, frames: Iterable[Frame]) -> Iterator[_Item]:
        """The frames, with the time that reading takes counted."""
        source = iter(frames)
        while True:
            begin = time.perf_counter()
            frame = next(source, None)
            self.count("read", begin)
            if frame is None:
                return
            yield _Item(frame)

    def passed_over(self, step: Callable[[_Item], _Item]) -> Callable[[_Item], _Item]:
        """`step`, which in a folder notes what is wrong with an image instead of ending the whole."""

        def guarded(item: _Item) -> _Item:
            if item.failure is not None:
                return item
            try:
                return step(item)
            except (InputError, MemoryError, cv2.error) as error:
                text = f"{item.frame.name}: {' '.join(str(error).split()) or 'not enough memory'}"
                if self._kind != "folder":
                    raise InputError(text) from None
                return _Item(item.frame, failure=text)

        return guarded

    def prepare(self, item: _Item) -> _Item:
        """Frame to network input."""
        begin = time.perf_counter()
        item.value = self._predictor.prepare(item.frame.image)
        self.count("prepare", begin)
        return item

    def network(self, item: _Item) -> _Item:
        """Input to outputs."""
        begin = time.perf_counter()
        item.value = self._predictor.network(item.value)
        self.count("network", begin)
        return item

    def group(self, item: _Item) -> _Item:
        """Outputs to people, and people onto the picture."""
        begin = time.perf_counter()
        item.people, item.value = self._predictor.group(item.value), None
        self.count("group", begin)
        if self._drawn:
            begin = time.perf_counter()
            item.drawn = draw_people(
                item.frame.image, item.people, self._predictor.skeleton, self._draw_score, DRAW_JOINT
            )
            if self._meter is not None:
                self._meter.write(item.drawn)
            if self._kind in ("image", "folder"):
                item.drawn = jpeg(item.drawn, item.frame.name)
            self.count("draw", begin)
        return item


class _Meter:
    """The running mean of frames a second, as text on a picture."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._mean = 0.0

    def write(self, image: UInt8Image) -> None:
        """Count a frame and write the rate into its corner."""
        now = time.perf_counter()
        if self._last is not None:
            gap = now - self._last
            self._mean = gap if not self._mean else (1 - _NEWEST) * self._mean + _NEWEST * gap
        self._last = now
        if self._mean:
            text, place = f"{1 / self._mean:.1f} fps", (8, image.shape[0] - 10)
            cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
