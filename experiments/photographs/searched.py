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

import torch

from experiments.demo.baselines import compare, draw_baselines
from experiments.photographs.score import common_joints
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluation, Evaluator, SupernetEvaluator
from supernet.family import load_arch
from supernet.options import EvaluationOptions
from supernet.runs.files import read_json, write_json
from supernet.training.checkpoint import load_supernet


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
    test = Evaluator(common_joints(open_split(data, "test")), EvaluationOptions())
    evaluate = SupernetEvaluator(trained.net, open_split(data, "train"), test)
    drawn = draw_baselines(found)
    scored: dict[str, Evaluation] = {}
    for budget in found["chosen"]:
        scored[f"chosen {budget}"] = evaluate(load_arch(args.search / "subnets" / budget / "arch.yaml"))
    for number, archs in drawn.items():
        for index, arch in enumerate(archs):
            scored[f"random {number}-{index}"] = evaluate(arch)
    rows = compare(found, drawn, scored, test.ground_truth)
    for row in rows:
        print(json.dumps(row))
    write_json(Path(__file__).parent / "searched.json", {"search": args.search.name, "budgets": rows})


if __name__ == "__main__":
    main()
