"""The pipeline: order, overlap, bounded queues, failures, early ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from subnets.portable.predicting import pipeline


def test_results_keep_their_order() -> None:
    steps = [lambda x: x + 1, lambda x: (time.sleep(0.001 * (x % 3)), x)[1], lambda x: 2 * x]
    assert list(pipeline(range(50), steps)) == [2 * (x + 1) for x in range(50)]
    assert list(pipeline([], steps)) == []
    assert list(pipeline(range(3), [])) == [0, 1, 2]


def test_steps_work_at_the_same_time() -> None:
    second_item_is_in_the_first_step = threading.Event()

    def first(x: int) -> int:
        if x == 1:
            second_item_is_in_the_first_step.set()
        return x

    def second(x: int) -> bool:
        # Waits for ever if the first step does not go on with the next item meanwhile.
        return second_item_is_in_the_first_step.wait(20)

    assert list(pipeline(range(3), [first, second], depth=1)) == [True, True, True]


def test_waiting_items_are_bounded() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for x in range(1, 1001):
            made = x
            yield x

    results = pipeline(items(), [lambda x: x, lambda x: x], depth=2)
    assert next(results) == 1
    time.sleep(0.3)
    # Three queues of two, one item in the hands of each of the three threads, one taken out.
    assert made <= 3 * 2 + 3 + 1
    results.close()


def test_a_failing_step_is_raised_in_its_place_and_ends_the_threads() -> None:
    def fail(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    before = threading.active_count()
    results = pipeline(range(1000), [fail, lambda x: x])
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() == before


def test_a_failing_source_is_raised_after_what_it_gave() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    results = pipeline(items(), [lambda x: x])
    assert next(results) == 1
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_leaving_early_ends_the_threads_and_closes_the_source() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    before = threading.active_count()
    for x in pipeline(items(), [lambda x: x]):
        if x == 5:
            break
    assert threading.active_count() == before
    assert closed.wait(5)


def test_the_latest_item_wins_when_asked_for() -> None:
    first = threading.Event()
    fed = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        first.wait(10)
        yield from range(1, 50)
        fed.set()

    def slow(x: int) -> int:
        first.set()
        if x == 0:
            fed.wait(10)
        return x

    found = list(pipeline(items(), [slow], depth=1, latest=True))
    assert found[0] == 0
    assert found[-1] == 49
    assert len(found) <= 4
