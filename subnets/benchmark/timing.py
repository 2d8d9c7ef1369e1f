"""Latencies measured side by side: every candidate once per round, in a new order each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
    """Time all `candidates` side by side, in another order every round.

    A slow phase of the machine then hits all of them alike, and none always runs in the wake of another.

    Args:
        candidates: what to call, by name.
        rounds: measured calls of each; >= 1.
        warmup: rounds before that, not counted.
        seed: of the order within rounds.
        lead_in: calls of the same candidate right before each measured one. Threads of a runtime go on
            spinning for a while after a call and would take a core from the next candidate.
    """
    names = list(candidates)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warmup + rounds):
        for index in np.random.default_rng([seed, number]).permutation(len(names)):
            call = candidates[names[index]]
            for _ in range(lead_in):
                call()
            start = time.perf_counter()
            call()
            taken[names[index]].append(1000 * (time.perf_counter() - start))
    return [Timing(name, tuple(values[warmup:])) for name, values in taken.items()]
