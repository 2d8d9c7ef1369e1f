"""One search with the head as a gene beside three with a fixed one.

    python -m experiments.heads.head_search WORK

WORK holds runs/train/heads, a supernet of `space.yaml`. All four search it with as many evaluations on val;
those of a fixed head in the part of the space that has it (`space=`). What they chose is scored on test.
Writes `head_search.json` beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from supernet.cost import count_macs
from supernet.data.source import open_split
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.family import Architecture, load_arch
from supernet.options import EvaluationOptions
from supernet.pose.bootstrap import bootstrap_ap
from supernet.pose.protocols import score
from supernet.runs.files import read_json, write_json, write_yaml
from supernet.space import SearchSpace
from supernet.training.checkpoint import load_supernet

HERE = Path(__file__).parent
SPACE, RUN = HERE / "space.yaml", "heads"
FREE = "any"
BUDGETS = {"12M": 12_000_000, "18M": 18_000_000, "27M": 27_000_000}
EVALUATIONS, IMAGES, SAMPLES = 60, 100, 1000
SHOWN = ("AP", "AP_easy", "AP_medium", "AP_hard")


def searched(work: Path, head: str, seed: int) -> dict[str, Any]:
    """What the search of this seed found with this head (`FREE`: whichever it takes)."""
    path = work / f"runs/search/{head}-{seed}/candidates.json"
    if not path.exists():
        search(work, head, seed)
    found: dict[str, Any] = read_json(path, "a search's candidates")
    return found


def search(work: Path, head: str, seed: int) -> None:
    """Run it, or go on with it."""
    part, name = SearchSpace.load(SPACE).to_dict(), f"{head}-{seed}"
    if head != FREE:
        part |= {"name": f"heads_{head}", "head_kind": head}
    write_yaml(work / f"{part['name']}.yaml", part)
    command = [sys.executable, "-m", "search.run", f"name={name}", f"supernet={RUN}", "checkpoint=last"]
    command += [f"space={work / part['name']}.yaml", f"seed={seed}", "threads=1", "accelerator=cpu"]
    command += [f"budgets.macs=[{','.join(BUDGETS)}]", f"budgets.names=[{','.join(BUDGETS)}]"]
    command += [f"search.evaluations={EVALUATIONS}", "search.baseline=0", f"evaluation.images={IMAGES}"]
    subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)


def chosen(work: Path, head: str, seed: int) -> dict[str, tuple[Architecture, float]]:
    """By budget the chosen architecture, and its AP on val."""
    found, folder = searched(work, head, seed), work / f"runs/search/{head}-{seed}/subnets"
    by_number = {candidate["number"]: candidate for candidate in found["candidates"]}
    return {
        budget: (load_arch(folder / budget / "arch.yaml"), by_number[number]["stats"]["AP"])
        for budget, number in found["chosen"].items()
    }


def compare(
    budget: str,
    picks: dict[str, tuple[Architecture, float]],
    scored: dict[Architecture, list[Any]],
    truth: dict[str, Any],
) -> dict[str, Any]:
    """The choices of one budget, and the free one's AP minus that of the best fixed one on test."""
    rows = {
        head: {
            "head": arch.head_kind,
            "resolution": arch.resolution,
            "macs": count_macs(arch),
            "val AP": round(val, 4),
            **{key: round(value, 4) for key, value in score(truth, scored[arch]).items() if key in SHOWN},
        }
        for head, (arch, val) in picks.items()
    }
    best = max((head for head in rows if head != FREE), key=lambda head: float(str(rows[head]["AP"])))
    detections = {head: scored[picks[head][0]] for head in (best, FREE)}
    apart = bootstrap_ap(truth, detections, samples=SAMPLES).differences[best, FREE]
    difference = [round(value, 4) for value in (apart.value, apart.low, apart.high)]
    return {"budget": BUDGETS[budget], **rows, "best fixed": best, "difference, low, high": difference}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    work = options.work.resolve()
    torch.set_num_threads(1)
    trained = load_supernet(work / "runs/train" / RUN, "last")
    data = trained.data()
    test = Evaluator(open_split(data, "test"), EvaluationOptions())
    evaluate = SupernetEvaluator(trained.net, open_split(data, "train"), test)
    scored: dict[Architecture, list[Any]] = {}
    result: dict[str, Any] = {
        "training steps": trained.step,
        "evaluations": EVALUATIONS,
        "val images": IMAGES,
    }
    for seed in options.seeds:
        by_head = {head: chosen(work, head, seed) for head in (FREE, *trained.space.head_kinds)}
        for arch in {arch for found in by_head.values() for arch, _ in found.values()} - scored.keys():
            kept = work / f"scored/{hashlib.sha256(repr(arch).encode()).hexdigest()[:16]}.json"
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                write_json(kept, evaluate(arch).detections, indent=None)
            scored[arch] = read_json(kept, "detections")
        for budget in BUDGETS:
            picks = {head: found[budget] for head, found in by_head.items()}
            row = compare(budget, picks, scored, test.ground_truth)
            result[f"seed {seed}, {budget}"] = row
            print(seed, budget, row, flush=True)
    write_json(HERE / "head_search.json", result)


if __name__ == "__main__":
    main()
