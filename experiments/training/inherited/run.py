"""Does the AP with inherited weights rank subnets as their AP after fine-tuning does?

Subnets of different size are scored on the test split straight out of the supernet (batch norm calibrated),
then each is fine-tuned by the same recipe and scored again in the same way.

    python -m experiments.training.inherited.run runs/train/demo [--subnets 12] [--steps 200] [--threads 1]

A second start goes on with the subnets that are left; `--only 0 2 4` leaves the others to other processes.
`--name NAME` keeps another supernet's scores apart and writes NAME.json and NAME.png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from experiments.training.inherited.report import report
from experiments.training.scoring import CALIBRATION, between, data_config, evaluator
from subnets.folder import load
from subnets.runtime import open_runtime
from supernet import Arch
from supernet.cost import count_macs
from supernet.data.source import open_split
from supernet.evaluation import Evaluator
from supernet.heads.contract import head_of
from supernet.options import EvaluationOptions
from supernet.runs.environment import environment
from supernet.runs.files import read_json, write_json
from supernet.training.checkpoint import TrainedSupernet, load_supernet

FOLDER = Path("runs/experiments")
# The supernet's own targets and loss (conf/train/demo.yaml), and a learning rate between its last and its
# peak.
RECIPE = (
    *("train.sigma=1.25", "train.loss.positive_weight=15", "train.loss.pull=0.1", "train.loss.push=0.5"),
    *("train.optimizer.lr=2e-3", "train.optimizer.betas=[0.9,0.99]", "train.optimizer.warmup=20"),
    # The command's own val metrics are not used here.
    *(
        "train.validation.every=0",
        "train.validation.images=16",
        f"train.validation.calibration={CALIBRATION}",
    ),
)


def subnets(trained: TrainedSupernet, count: int) -> list[Arch]:
    """Smallest, largest and random ones in between, spread over the MACs."""
    space = trained.space
    archs = space.decode(space.sample_codes(np.random.default_rng(11), 600))
    macs = [count_macs(arch) for arch in archs]
    largest = count_macs(space.largest())
    within = [(a, m) for a, m in zip(archs, macs, strict=True) if 0.1 * largest < m < 0.95 * largest]
    low = min(m for _, m in within) / max(m for _, m in within)
    middle = between([a for a, _ in within], [m for _, m in within], low, 1.0, count - 2)
    return [space.smallest(), *middle, space.largest()]


def command(run: str, name: str, file: Path, data_root: str, steps: int, threads: int) -> list[str]:
    """The fine-tuning command, without the interpreter."""
    arguments = ["-m", "subnets.finetune", f"arch={file}", f"supernet={run}", f"name={name}"]
    settings = [f"data.root={data_root}", f"train.steps={steps}", f"threads={threads}", "data.workers=1"]
    return [*arguments, *settings, *RECIPE]


def row(given: argparse.Namespace, trained: TrainedSupernet, arch: Arch, number: int) -> dict[str, Any]:
    """Score, fine-tune and score again, or find it done."""
    folder = FOLDER / given.name
    done = folder / f"{number:02d}.json"
    if done.exists():
        return dict(read_json(done, "scores"))
    name = f"{given.name}-{number:02d}"
    file = folder / f"{number:02d}.yaml"
    arch.save(file)
    data = data_config(trained)
    inherited = evaluator(trained, "test")(arch).stats["AP"]
    arguments = command(given.run, name, file, data.root, given.steps, given.threads)
    subprocess.run([sys.executable, *arguments], check=True)
    test = Evaluator(open_split(data, "test"), EvaluationOptions())
    net = load(Path("runs/finetune") / name / "subnet")
    tuned = test(open_runtime(net, "torch"), arch.resolution, head_of(arch)).stats["AP"]
    found_ap = {"inherited": round(inherited, 4), "finetuned": round(tuned, 4)}
    found = {"macs": count_macs(arch), "resolution": arch.resolution, **found_ap}
    write_json(done, found)
    print(number, found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--subnets", type=int, default=12)
    parser.add_argument("--only", type=int, nargs="+", default=None)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", default="inherited", help="of the fine-tunings and of what is written")
    given = parser.parse_args()
    trained = load_supernet(given.run, "last")
    chosen = subnets(trained, given.subnets)
    mine = range(given.subnets) if given.only is None else given.only
    rows = [row(given, trained, chosen[number], number) for number in mine]
    if given.only is None:
        about = {
            "command": " ".join(["python -m experiments.training.inherited.run", *sys.argv[1:]]),
            "recipe": " ".join(RECIPE),
            "machine": environment(given.threads),
        }
        print(json.dumps(report(rows, about, given.name), indent=1))


if __name__ == "__main__":
    main()
