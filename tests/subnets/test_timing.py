"""Interleaved timing: every candidate equally often, its own lead-in before each measured call."""

from __future__ import annotations

from subnets.timing import Timing
from subnets.timing import interleave


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
