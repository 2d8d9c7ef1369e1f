"""Random architectures beside those that a search chose, of the same cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from supernet import Arch
from supernet.cost import MacsTable, count_macs
from supernet.evaluation import Evaluation
from supernet.pose.bootstrap import bootstrap_ap
from supernet.sampling import sample_near
from supernet.space import SearchSpace

SAMPLES, CONFIDENCE = 500, 0.95
# Random architectures beside each chosen subnet, and how far their MACs may be from its own.
RANDOM, TOLERANCE, SEED = 8, 0.1, 0


def draw_baselines(found: dict[str, Any]) -> dict[int, list[Arch]]:
    """For each chosen candidate (by number), random architectures whose MACs are within 10% of its own."""
    space = SearchSpace.from_dict(found["space"])
    table = MacsTable(space, found["num_joints"])
    by_number = {candidate["number"]: candidate for candidate in found["candidates"]}
    drawn = {}
    for number in sorted(set(found["chosen"].values())):
        rng = np.random.default_rng([SEED, number])
        macs = by_number[number]["costs"]["macs"]
        drawn[number] = space.decode(sample_near(space, table, rng, macs, TOLERANCE, RANDOM))
    return drawn


def compare(
    found: dict[str, Any],
    drawn: dict[int, list[Arch]],
    scored: dict[str, Evaluation],
    ground_truth: dict[str, Any],
) -> list[dict[str, Any]]:
    """One row per budget: the nine metrics, and the chosen subnet's AP minus the random ones' median."""
    detections = {key: evaluation.detections for key, evaluation in scored.items()}
    resampled = bootstrap_ap(ground_truth, detections, samples=SAMPLES, confidence=CONFIDENCE)
    by_number = {candidate["number"]: candidate for candidate in found["candidates"]}
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    rows = []
    for budget in found["budgets"]:
        key, number = f"chosen {budget['name']}", found["chosen"][budget["name"]]
        randoms = [f"random {number}-{index}" for index in range(len(drawn[number]))]
        medians = np.median([resampled.draws[other] for other in randoms], axis=0)
        random_ap = [scored[other].stats["AP"] for other in randoms]
        interval = np.quantile(resampled.draws[key] - medians, tails)
        chosen = by_number[number]
        rows.append(
            {
                "budget": budget["name"],
                "limit_macs": dict(budget["limits"])["macs"],
                "candidate": number,
                "macs": chosen["costs"]["macs"],
                "val_AP": chosen["stats"]["AP"],
                **scored[key].stats,
                "AP_interval": [resampled.metrics[key].low, resampled.metrics[key].high],
                "random_AP": random_ap,
                "random_macs": [count_macs(arch, found["num_joints"]) for arch in drawn[number]],
                "random_median": float(np.median(random_ap)),
                "gain": scored[key].stats["AP"] - float(np.median(random_ap)),
                "gain_interval": interval.tolist(),
            }
        )
    return rows
