"""Train the networks that are compared: python -m experiments.heads.train WORK --seeds 0 --steps 1000."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from .networks import HEADS, networks, space_of

# That of train=demo, made for the first; the last was tried at 3e-2 and 1e-2 for 300 steps.
RATES = {"embedding": 3e-2, "ae_resize": 3e-2, "onestage": 3e-2}


def train(work: Path, name: str, head: str, seed: int, steps: int, rate: float, more: list[str]) -> None:
    """One network, unless it is there already; a stopped training goes on."""
    command = [sys.executable, "-m", "supernet.train", f"space={work / name}.yaml", f"name={name}-{seed}"]
    command += [f"data.root={work / 'data'}", "data.workers=0", "threads=1", f"seed={seed}"]
    command += [f"train.steps={steps}", f"train.sampling.largest_first={steps}"]
    command += ["train.sampling.sort_channels=false", f"train.optimizer.lr={rate}", *more]
    subprocess.run(command, cwd=work, check=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--heads", nargs="+", default=HEADS)
    parser.add_argument("--budgets", nargs="+", default=["small", "large"])
    parser.add_argument("--rate", type=float)
    parser.add_argument("--suffix", default="")
    parser.add_argument("more", nargs="*", help="further settings of the training")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for budget, by_head in networks().items():
            for head, arch in by_head.items():
                if head in options.heads and budget in options.budgets:
                    name = f"{budget}-{head}{options.suffix}"
                    (work / f"{name}.yaml").write_text(json.dumps(space_of(arch, name)))
                    rate = options.rate or RATES[head]
                    train(work, name, head, seed, options.steps, rate, options.more)


if __name__ == "__main__":
    main()
