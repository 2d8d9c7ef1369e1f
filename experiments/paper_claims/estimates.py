"""Costs, latencies and ratios with intervals, from measured rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from experiments.paper_claims.rounds import JOINTS, NAMES, Rounds
from supernet.cost import count_macs, count_params
from supernet.errors import InputError
from supernet.family import load_arch

CONFIDENCE = 0.95
# Pairs that the paper sets side by side: theirs, LitePose, the MACs (G) it gives for both, and its latencies
# (ms) on Jetson Nano, Snapdragon 855 and Raspberry Pi 4; None where its repository gives none.
PAIRS = (
    ("efficienthrnet-h1", "litepose-s", (14.2, 5.0), ((283, 97), (267, 76), (1229, 420))),
    ("higherhrnet-w24", "litepose-s", (25.3, 5.0), ((330, 97), (289, 76), (1414, 420))),
    ("efficienthrnet-h1", "litepose-m", (14.4, 7.8), ((283, 144), (267, 97), (1229, 588))),
    ("lightweight-openpose", "litepose-m", (9.0, 7.8), ((97, 97),)),
    ("efficienthrnet-h2", "litepose-s", None, None),
    ("efficienthrnet-h3", "litepose-xs", None, None),
    ("efficienthrnet-h4", "litepose-xs", None, None),
    ("higherhrnet-w32", "litepose-l", None, None),
    ("higherhrnet-w48", "litepose-l", None, None),
)


@dataclass(frozen=True)
class Interval:
    """A ratio and where it lies with 95% confidence.

    Attributes:
        mean: geometric mean over the starts of each start's median.
        low, high: Student's interval of the logarithms over the starts.
        starts: how many.
    """

    mean: float
    low: float
    high: float
    starts: int


def interval(ratios: Sequence[Sequence[float]]) -> Interval:
    """The ratio of two networks' times from their ratios in each round, by start.

    Rounds of one start follow each other and drift together, so the start is the unit, not the round.

    Raises:
        InputError: fewer than two starts.
    """
    if len(ratios) < 2:
        raise InputError(f"intervals need two starts or more, and there are {len(ratios)}; measure on")
    logs = np.log([np.median(values) for values in ratios])
    mean, half = float(logs.mean()), float(stats.sem(logs))
    half *= float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1))
    low, high = np.exp([mean - half, mean + half])
    return Interval(float(np.exp(mean)), float(low), float(high), len(logs))


def network_rows(measured: Mapping[int, Rounds]) -> list[dict[str, Any]]:
    """One row per network: size, costs at 14 joints, latencies by thread count."""
    rows = []
    for name in NAMES:
        arch = load_arch(name)
        row: dict[str, Any] = {
            "network": name,
            "input": list(arch.input_shape),
            "params": count_params(arch, JOINTS),
            "macs_exact": count_macs(arch, JOINTS),
            "macs_litepose": count_macs(arch, JOINTS, "litepose"),
        }
        for threads, rounds in measured.items():
            values = rounds.values(name)
            low, high = np.percentile(values, [10, 90])
            median = float(np.median(values))
            row[f"ms_{threads}"] = {
                "median": median,
                "p10": float(low),
                "p90": float(high),
                "rounds": len(values),
                "per_exact_giga": 1e9 * median / row["macs_exact"],
            }
        rows.append(row)
    return rows


def pair_rows(measured: Mapping[int, Rounds]) -> list[dict[str, Any]]:
    """How many times the cost and latency of LitePose the other network of each pair has."""
    rows = []
    for other, ours, paper_macs, paper_ms in PAIRS:
        first, second = load_arch(other), load_arch(ours)
        row: dict[str, Any] = {
            "other": other,
            "ours": ours,
            "exact": count_macs(first, JOINTS) / count_macs(second, JOINTS),
            "litepose": count_macs(first, JOINTS, "litepose") / count_macs(second, JOINTS, "litepose"),
            "paper_macs": paper_macs[0] / paper_macs[1] if paper_macs else None,
            "paper_ms": [a / b for a, b in paper_ms] if paper_ms else None,
        }
        for threads, rounds in measured.items():
            row[f"latency_{threads}"] = asdict(interval(rounds.ratios(other, ours)))
        rows.append(row)
    return rows


def verdict(found: Mapping[str, float], low: float, high: float) -> str:
    """Where the interval `found` lies beside low..high of the paper, which are rounded to a decimal."""
    if found["high"] < low - 0.05:
        return f"below {low:.1f}"
    if found["low"] > high + 0.05:
        return f"above {high:.1f}"
    return "meets" if low == high else "within"
