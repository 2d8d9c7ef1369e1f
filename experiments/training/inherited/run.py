"""Does the AP with inherited weights rank subnets as their AP after fine-tuning does?

Subnets of different size are scored on the test split straight out of the supernet (batch norm calibrated),
then each is fine-tuned by the same recipe and scored again.

    python -m experiments.training.inherited.run runs/train/demo [--subnets 12] [--steps 400] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from experiments.training.scoring import between
from experiments.training.scoring import data_config
from experiments.training.scoring import evaluator
from subnets.folder import load
from subnets.runtime import open_runtime
from subnets.timing import conditions
from supernet.arch import Arch
from supernet.checkpoint import TrainedSupernet
from supernet.checkpoint import load_supernet
from supernet.cost import count_macs
from supernet.data.source import open_split
from supernet.evaluation import Evaluator
from supernet.evaluation_options import EvaluationOptions

HERE = Path(__file__).resolve().parent


def subnets(trained: TrainedSupernet, count: int) -> list[Arch]:
    """Smallest, largest and random ones in between, spread over the MACs."""
    space = trained.space
    archs = space.decode(space.sample_codes(np.random.default_rng(11), 600))
    macs = [count_macs(arch) for arch in archs]
    largest = count_macs(space.largest())
    within = [(a, m) for a, m in zip(archs, macs, strict=True) if 0.1 * largest < m < 0.95 * largest]
    middle = between([a for a, _ in within], [m for _, m in within], 0.1, 1.0, count - 2)
    return [space.smallest(), *middle, space.largest()]


def finetune(run: str, arch: Arch, number: int, steps: int, threads: int) -> Path:
    """Fine-tune by the real command; the subnet's folder."""
    folder = Path("runs/experiments/inherited")
    file = folder / f"{number:02d}.yaml"
    arch.save(file)
    data = data_config(load_supernet(run, "last"))
    arguments = [
        "-m",
        "subnets.finetune",
        f"arch={file}",
        f"supernet={run}",
        f"name=inherited-{number:02d}",
        f"data.root={data.root}",
        f"train.steps={steps}",
        f"threads={threads}",
        "data.workers=1",
        "train.validation.every=0",
    ]
    subprocess.run([sys.executable, *arguments], check=True)
    return Path("runs/finetune") / f"inherited-{number:02d}" / "subnet"


def draw(rows: list[dict], tau: float, path: Path) -> None:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    points = axes.scatter(
        [100 * row["inherited"] for row in rows],
        [100 * row["finetuned"] for row in rows],
        c=[row["macs"] / 1e6 for row in rows],
        cmap="viridis",
    )
    figure.colorbar(points, label="exact MACs (millions)")
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="test AP, inherited weights (%)", ylabel="test AP, fine-tuned (%)")
    axes.set_title(f"Kendall tau {tau:.2f} over {len(rows)} subnets", fontsize=10)
    low = 100 * min(row["inherited"] for row in rows) - 2
    high = 100 * max(max(row["finetuned"], row["inherited"]) for row in rows) + 2
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--subnets", type=int, default=12)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    trained = load_supernet(given.run, "last")
    score = evaluator(trained, "test")
    test = Evaluator(open_split(data_config(trained), "test"), EvaluationOptions())
    rows = []
    for number, arch in enumerate(subnets(trained, given.subnets)):
        inherited = score(arch).stats["AP"]
        net = load(finetune(given.run, arch, number, given.steps, given.threads))
        tuned = test(open_runtime(net, "torch"), arch.resolution).stats["AP"]
        figures = {"inherited": round(inherited, 4), "finetuned": round(tuned, 4)}
        rows.append({"macs": count_macs(arch), "resolution": arch.resolution, **figures})
        print(number, rows[-1], flush=True)
    tau = kendalltau([row["inherited"] for row in rows], [row["finetuned"] for row in rows])
    result = {
        "command": " ".join(["python -m experiments.training.inherited.run", *sys.argv[1:]]),
        "machine": conditions(given.threads),
        "kendall_tau": round(float(tau.statistic), 4),
        "p_value": float(tau.pvalue),
        "rows": rows,
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(rows, float(tau.statistic), HERE / "inherited.png")
    print(f"tau {tau.statistic:.3f}")


if __name__ == "__main__":
    main()
