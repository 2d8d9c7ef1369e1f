"""Latencies measured side by side: every candidate once per round, in a new order each time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one candidate, one value per round.

    Attributes:
        name: the candidate's.
        milliseconds: in the order of the rounds.
    """

    name: str
    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return float(np.median(self.milliseconds))

    @property
    def best(self) -> float:
        """The fastest round: nearest to what the machine can do when nothing disturbs it."""
        return min(self.milliseconds)

    @property
    def low(self) -> float:
        """10th percentile."""
        return float(np.percentile(self.milliseconds, 10))

    @property
    def high(self) -> float:
        """90th percentile."""
        return float(np.percentile(self.milliseconds, 90))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "median": self.median,
            "best": self.best,
            "p10": self.low,
            "p90": self.high,
            "rounds": len(self.milliseconds),
        }


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 3,
    seed: int = 0,
    lead_in: int = 0,
) -> list[Timing]:
    """Time all `candidates` side by side.

    Args:
        candidates: what to call, by name.
        rounds: measured calls of each; >= 1.
        warmup: rounds before that, not counted.
        seed, lead_in: see `timed_rounds`.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    endless = timed_rounds(candidates, seed, lead_in)
    for found in itertools.islice(endless, warmup, warmup + rounds):
        for name, milliseconds in found.items():
            taken[name].append(milliseconds)
    return [Timing(name, tuple(values)) for name, values in taken.items()]


def timed_rounds(
    candidates: Mapping[str, Callable[[], object]],
    seed: int = 0,
    lead_in: int = 0,
    *,
    settle: float = 0.0,
    every: Mapping[str, int] | None = None,
) -> Iterator[dict[str, float]]:
    """Milliseconds of one call of each of `candidates`, round after round, for as long as they are taken.

    A slow phase of the machine then hits all of them alike, and none always runs in the wake of another.

    Args:
        candidates: what to call, by name.
        seed: of the order within rounds.
        lead_in: calls of the same candidate right before each measured one. Threads of a runtime go on
            spinning for a while after a call and would take a core from the next candidate.
        settle: seconds that these calls take at least, for which more of them are made.
        every: candidates that run in every n-th round only, the first one included, with their n.
    """
    names = list(candidates)
    for round_ in itertools.count():
        found = {}
        for index in np.random.default_rng([seed, round_]).permutation(len(names)):
            name = names[index]
            if round_ % (every or {}).get(name, 1):
                continue
            call, ready = candidates[name], time.perf_counter() + settle
            for _ in range(lead_in):
                call()
            while lead_in and time.perf_counter() < ready:
                call()
            start = time.perf_counter()
            call()
            found[name] = 1000 * (time.perf_counter() - start)
        yield found
