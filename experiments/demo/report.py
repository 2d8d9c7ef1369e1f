"""The end of `make demo`: the four subnets and their random baselines on the test split, with pictures.

Writes runs/demo/report.md, accuracy.png, predictions.png and results.json; what is there already is kept.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import accuracy_plot
from pictures import prediction_sheet
from tables import markdown

from subnets import load
from subnets.runtime import torch_runtime
from supernet.checkpoint import load_supernet
from supernet.data.source import DataConfig
from supernet.data.source import open_split
from supernet.evaluation import Evaluation
from supernet.evaluation import Evaluator
from supernet.evaluation import SupernetEvaluator
from supernet.evaluation_options import EvaluationOptions
from supernet.files import read_json
from supernet.files import write_json
from supernet.files import write_text
from supernet.pose.bootstrap import bootstrap_ap
from supernet.progress import ProgressBar
from supernet.space import SearchSpace

SCHEMA = 1
SAMPLES = 500
CONFIDENCE = 0.95


def main() -> int:
    """Write the report, or say that it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="demo", help="name of the training and search runs")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    if (options.out / "report.md").exists():
        print(f"report: {options.out / 'report.md'} (there already, reused)")
        return 0
    write_report(options.name, options.out)
    print(f"report: {options.out / 'report.md'}, with accuracy.png and predictions.png beside it")
    return 0


def write_report(name: str, folder: Path) -> None:
    """Score the chosen subnets and the baselines of search `name` on the test split and write everything."""
    found = read_json(f"runs/search/{name}/candidates.json")
    trained = load_supernet(f"runs/train/{name}")
    data = DataConfig(root=trained.config["data"]["root"], cache="memory")
    test = Evaluator(open_split(data, "test"), EvaluationOptions())
    scored = score_all(name, found, test, SupernetEvaluator(trained.net, open_split(data, "train"), test))
    rows = compare(found, scored, test.ground_truth)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", {"schema": SCHEMA, "machine": machine(), "budgets": rows})
    accuracy_plot(found, rows, folder / "accuracy.png")
    best = max(rows, key=lambda row: float(row["AP"]))
    prediction_sheet(test, scored[f"chosen {best['budget']}"].detections, folder / "predictions.png")
    write_text(folder / "report.md", markdown(rows, len(test.dataset), best, machine(), CONFIDENCE))


def score_all(
    name: str, found: dict[str, Any], test: Evaluator, baselines: SupernetEvaluator
) -> dict[str, Evaluation]:
    """Every exported subnet and every baseline architecture on the test split."""
    space = SearchSpace.from_dict(found["space"])
    by_number = {candidate["number"]: candidate for candidate in found["candidates"]}
    drawn = sorted({number for numbers in found["baseline"].values() for number in numbers})
    scored = {}
    with ProgressBar("test split", len(found["chosen"]) + len(drawn)) as bar:
        for budget in found["chosen"]:
            net = load(f"runs/export/{name}-{budget}")
            scored[f"chosen {budget}"] = test(torch_runtime(net), net.arch.resolution)
            bar.update(len(scored))
        for number in drawn:
            (arch,) = space.decode(np.array([by_number[number]["codes"]], dtype=np.int64))
            scored[f"random {number}"] = baselines(arch)
            bar.update(len(scored))
    return scored


def compare(
    found: dict[str, Any], scored: dict[str, Evaluation], ground_truth: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row per budget: the nine figures, and the chosen subnet's AP minus the baselines' median."""
    detections = {key: evaluation.detections for key, evaluation in scored.items()}
    drawn = bootstrap_ap(ground_truth, detections, samples=SAMPLES, confidence=CONFIDENCE)
    by_number = {candidate["number"]: candidate for candidate in found["candidates"]}
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    rows = []
    for budget in found["budgets"]:
        key = f"chosen {budget['name']}"
        randoms = [f"random {number}" for number in found["baseline"][budget["name"]]]
        medians = np.median([drawn.draws[other] for other in randoms], axis=0)
        random_ap = [scored[other].stats["AP"] for other in randoms]
        interval = np.quantile(drawn.draws[key] - medians, tails)
        chosen = by_number[found["chosen"][budget["name"]]]
        rows.append(
            {
                "budget": budget["name"],
                "limit_macs": dict(budget["limits"])["macs"],
                "macs": chosen["costs"]["macs"],
                "val_AP": chosen["stats"]["AP"],
                **scored[key].stats,
                "AP_interval": [drawn.figures[key].low, drawn.figures[key].high],
                "random_AP": sorted(random_ap),
                "random_macs": [by_number[n]["costs"]["macs"] for n in found["baseline"][budget["name"]]],
                "random_median": float(np.median(random_ap)),
                "gain": scored[key].stats["AP"] - float(np.median(random_ap)),
                "gain_interval": interval.tolist(),
            }
        )
    return rows


def machine() -> str:
    """What the figures were measured on, in general terms."""
    threads = torch.get_num_threads()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {threads} threads, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())
