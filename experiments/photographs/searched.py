"""What a search of the shipped supernet found, beside random subnets of the same cost, on test photographs.

    python -m search.run name=photographs supernet=photographs 'budgets.macs=[0.1G,0.17G,0.24G]' \\
        data=crowdpose data.root=/data/real
    python -m experiments.photographs.searched /data/real runs/search/photographs

The search scores on val with all 14 joints; this scores the chosen ones and 8 random ones within 10% of the
MACs of each on test with the 12 joints that all sources label. Intervals: 95%, photographs resampled, paired.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.photographs.score import common_joints
from supernet.cost import MacsTable, count_macs
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.family import load_arch
from supernet.options import EvaluationOptions
from supernet.pose.bootstrap import bootstrap_ap
from supernet.runs.files import read_json, write_json
from supernet.sampling import sample_near
from supernet.training.checkpoint import load_supernet

RANDOM, TOLERANCE, SAMPLES, SEED = 8, 0.1, 500, 0


def main() -> None:
    """Score, print a line for each budget, and write `searched.json` beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="the photographs' folder")
    parser.add_argument("search", type=Path, help="the search's folder")
    parser.add_argument("--supernet", default="photographs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = read_json(args.search / "candidates.json", "the search's candidates")
    trained, data = load_supernet(args.supernet), DataConfig(root=args.root)
    space, joints = trained.space, trained.net.num_joints
    test = Evaluator(common_joints(open_split(data, "test")), EvaluationOptions())
    evaluate = SupernetEvaluator(trained.net, open_split(data, "train"), test)
    table = MacsTable(space, joints)
    by_number = {candidate["number"]: candidate for candidate in found["candidates"]}
    detections: dict[str, list[dict[str, Any]]] = {}
    scores: dict[str, float] = {}
    rows = []
    for budget, number in found["chosen"].items():
        macs = by_number[number]["costs"]["macs"]
        rng = np.random.default_rng([SEED, number])
        randoms = space.decode(sample_near(space, table, rng, macs, TOLERANCE, RANDOM))
        names = [f"chosen {budget}", *(f"random {budget} {i}" for i in range(RANDOM))]
        chosen = load_arch(args.search / "subnets" / budget / "arch.yaml")
        for name, arch in zip(names, [chosen, *randoms], strict=True):
            evaluation = evaluate(arch)
            detections[name], scores[name] = evaluation.detections, evaluation.stats["AP"]
        rows.append(
            {
                "budget": budget,
                "macs": macs,
                "val_AP": by_number[number]["stats"]["AP"],
                "test_AP": scores[names[0]],
                "random_AP": [scores[name] for name in names[1:]],
                "random_macs": [count_macs(arch, joints) for arch in randoms],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    draws = bootstrap_ap(test.ground_truth, detections, samples=SAMPLES, confidence=0.95).draws
    for row in rows:
        names = [f"random {row['budget']} {i}" for i in range(RANDOM)]
        gains = draws[f"chosen {row['budget']}"] - np.median([draws[name] for name in names], axis=0)
        row["gain"] = row["test_AP"] - float(np.median(row["random_AP"]))
        row["gain_interval"] = np.quantile(gains, [0.025, 0.975]).tolist()
        print(row["budget"], round(row["gain"], 4), np.round(row["gain_interval"], 4))
    write_json(Path(__file__).parent / "searched.json", {"search": str(args.search.name), "budgets": rows})


if __name__ == "__main__":
    main()
