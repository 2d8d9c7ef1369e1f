"""The end of `make demo`: the four subnets and their random baselines on the test split, with pictures.

Writes runs/demo/report.md, accuracy.png, predictions.png and results.json; what is there already is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from baselines import CONFIDENCE, compare, draw_baselines
from pictures import accuracy_plot, prediction_sheet
from tables import markdown

from subnets import load
from subnets.runtime import torch_runtime
from supernet import Arch
from supernet.data.source import DataConfig, open_split
from supernet.errors import InputError
from supernet.evaluation import Evaluation, Evaluator, SupernetEvaluator
from supernet.heads.contract import head_of
from supernet.options import EvaluationOptions
from supernet.runs.files import read_json, write_json, write_text
from supernet.runs.progress import ProgressBar
from supernet.training.checkpoint import load_supernet

SCHEMA = 1


def main() -> int:
    """Write the report, or say that it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="demo", help="name of the training and search runs")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    try:
        fresh = write_report(options.name, options.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not fresh:
        print(f"report: {options.out / 'report.md'} (there already, reused)")
        return 0
    print(f"report: {options.out / 'report.md'}, with accuracy.png and predictions.png beside it")
    return 0


def write_report(name: str, folder: Path) -> bool:
    """Score the chosen subnets of search `name` and random ones on the test split and write everything.

    Returns:
        False if `folder` holds the report of this very search.
    """
    found = read_json(f"runs/search/{name}/candidates.json", "the search's candidates")
    source = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    results = folder / "results.json"
    if (folder / "report.md").exists() and results.exists() and read_json(results).get("search") == source:
        return False
    trained = load_supernet(f"runs/train/{name}")
    data = DataConfig(root=trained.config["data"]["root"], cache="memory")
    test = Evaluator(open_split(data, "test"), EvaluationOptions())
    drawn = draw_baselines(found)
    evaluate = SupernetEvaluator(trained.net, open_split(data, "train"), test)
    scored = score_all(name, found, drawn, test, evaluate)
    rows = compare(found, drawn, scored, test.ground_truth)
    folder.mkdir(parents=True, exist_ok=True)
    accuracy_plot(found, rows, folder / "accuracy.png")
    best = max(rows, key=lambda row: float(row["AP"]))
    prediction_sheet(test, scored[f"chosen {best['budget']}"].detections, folder / "predictions.png")
    write_text(folder / "report.md", markdown(rows, len(test.dataset), best, machine(), CONFIDENCE))
    write_json(results, {"schema": SCHEMA, "machine": machine(), "search": source, "budgets": rows})
    return True


def score_all(
    name: str,
    found: dict[str, Any],
    drawn: dict[int, list[Arch]],
    test: Evaluator,
    evaluate: SupernetEvaluator,
) -> dict[str, Evaluation]:
    """Every exported subnet and every random architecture on the test split."""
    scored: dict[str, Evaluation] = {}
    total = len(found["chosen"]) + sum(map(len, drawn.values()))
    with ProgressBar("test split", total) as bar:
        for budget in found["chosen"]:
            net = load(f"runs/export/{name}-{budget}")
            scored[f"chosen {budget}"] = test(torch_runtime(net), net.arch.resolution, head_of(net.arch))
            bar.update(len(scored))
        for number, archs in drawn.items():
            for index, arch in enumerate(archs):
                scored[f"random {number}-{index}"] = evaluate(arch)
                bar.update(len(scored))
    return scored


def machine() -> str:
    """What the metrics were measured on, in general terms."""
    threads = torch.get_num_threads()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {threads} threads, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())
