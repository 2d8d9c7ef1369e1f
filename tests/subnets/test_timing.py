"""Interleaved timing: every candidate equally often, its own lead-in before each measured call."""

from __future__ import annotations

import itertools
import time

from experiments.paper_claims.latency import timed_rounds
from subnets.benchmark.timing import Timing, interleave


def test_candidates_take_turns_in_changing_order() -> None:
    calls: list[str] = []
    timings = interleave({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=20, warmup=2)
    assert [(timing.name, len(timing.milliseconds)) for timing in timings] == [
        ("a", 20),
        ("b", 20),
        ("c", 20),
    ]
    rounds = ["".join(calls[start : start + 3]) for start in range(0, 66, 3)]
    assert len(rounds) == 22
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 3


def test_a_lead_in_is_the_candidates_own() -> None:
    calls: list[str] = []
    timings = interleave(
        {name: lambda name=name: calls.append(name) for name in "ab"}, rounds=5, warmup=0, lead_in=1
    )
    assert [len(timing.milliseconds) for timing in timings] == [5, 5]
    assert all(first == second for first, second in zip(calls[::2], calls[1::2], strict=True))
    assert calls.count("a") == calls.count("b") == 10


def test_figures() -> None:
    timing = Timing("x", (4.0, 1.0, 2.0, 3.0, 100.0))
    assert (timing.median, timing.best) == (3.0, 1.0)
    assert timing.low < timing.median < timing.high < 100.0


def test_slow_candidates_take_part_in_some_rounds_only() -> None:
    calls = {name: lambda: None for name in "abc"}
    found = list(itertools.islice(timed_rounds(calls, every={"c": 3}), 7))
    assert [set(round_) for round_ in found] == [
        {"a", "b", "c"} if number % 3 == 0 else {"a", "b"} for number in range(7)
    ]


def test_a_short_candidate_is_called_until_others_have_settled() -> None:
    calls: list[str] = []

    def call(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    candidates = {"short": lambda: call("short", 0.002), "long": lambda: call("long", 0.03)}
    found = next(timed_rounds(candidates, lead_in=1, settle=0.02))
    assert set(found) == {"short", "long"}
    assert calls.count("long") == 2
    assert calls.count("short") > 2
