"""Sandwich + distillation against one random subnet per step (the reference's way), at equal wall-clock time.

Both are trained by the real command with the demo's recipe; the second gets as many steps as fit into the
time of the first, measured in turns beforehand. Scored on the test split: smallest, three in the middle,
largest.

    python -m experiments.training.equal_time.run [--steps 1400] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.training.scoring import between
from experiments.training.scoring import evaluator
from subnets.timing import conditions
from supernet.arch import Arch
from supernet.checkpoint import load_supernet
from supernet.cost import count_macs
from supernet.run_log import read_log
from supernet.space import SearchSpace

HERE = Path(__file__).resolve().parent
RULES = {
    "sandwich": ["train.sampling.rule=sandwich", "train.sampling.random=1", "train.sampling.largest_first=0"],
    "random": ["train.sampling.rule=random", "train.sampling.random=1", "train.sampling.largest_first=0"],
}
# Shares of the largest network's MACs between which the middle subnets lie.
LOW, HIGH = 0.25, 0.85


def command(name: str, rule: str, steps: int, threads: int) -> list[str]:
    settings = [f"train.steps={steps}", f"threads={threads}", "data.workers=1", "train.validation.every=0"]
    return ["-m", "supernet.train", f"name={name}", *RULES[rule], *settings]


def train(name: str, rule: str, steps: int, threads: int) -> float:
    """Train; the seconds that all steps took together."""
    subprocess.run([sys.executable, *command(name, rule, steps, threads)], check=True)
    lines = read_log(Path("runs/train") / name / "log.jsonl")
    return sum(line["seconds"] for line in lines if line["kind"] == "train")


def step_times(threads: int, rounds: int = 3, steps: int = 60) -> dict[str, float]:
    """Seconds per step of both rules, measured in turns."""
    taken: dict[str, list[float]] = {rule: [] for rule in RULES}
    for number in range(rounds):
        for rule in RULES:
            taken[rule].append(train(f"time-{rule}-{number}", rule, steps, threads) / steps)
    return {rule: float(np.median(values)) for rule, values in taken.items()}


def chosen_subnets(space: SearchSpace) -> dict[str, Arch]:
    """Smallest, three random ones of different size, largest."""
    archs = space.decode(space.sample_codes(np.random.default_rng(7), 400))
    middle = between(archs, [count_macs(arch) for arch in archs], LOW, HIGH, 3)
    return {
        "smallest": space.smallest(),
        **{f"middle {i}": arch for i, arch in enumerate(middle, start=1)},
        "largest": space.largest(),
    }


def draw(rows: list[dict], path: Path) -> None:
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for rule, style in (("sandwich", "o-"), ("random", "s--")):
        label = "sandwich + distillation" if rule == "sandwich" else "one random subnet per step"
        axes.plot([r["macs"] / 1e6 for r in rows], [100 * r[rule] for r in rows], style, label=label)
    axes.set(xlabel="exact MACs (millions)", ylabel="test AP (%)", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1400, help="sandwich steps")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    times = step_times(given.threads)
    steps = {"sandwich": given.steps, "random": round(given.steps * times["sandwich"] / times["random"])}
    seconds = {rule: train(f"equal-{rule}", rule, steps[rule], given.threads) for rule in RULES}
    rows: list[dict] = []
    for rule in RULES:
        trained = load_supernet(f"runs/train/equal-{rule}", "last")
        score = evaluator(trained, "test")
        for place, (name, arch) in enumerate(chosen_subnets(trained.space).items()):
            if place == len(rows):
                rows.append({"subnet": name, "resolution": arch.resolution, "macs": count_macs(arch)})
            rows[place][rule] = round(score(arch).stats["AP"], 4)
            print(name, rule, rows[place][rule], flush=True)
    result = {
        "commands": [" ".join(["python", *command(f"equal-{r}", r, steps[r], given.threads)]) for r in RULES],
        "machine": conditions(given.threads),
        "seconds per step, measured in turns": {rule: round(value, 4) for rule, value in times.items()},
        "steps": steps,
        "seconds of training": {rule: round(value, 1) for rule, value in seconds.items()},
        "test AP": rows,
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(rows, HERE / "equal_time.png")


if __name__ == "__main__":
    main()
