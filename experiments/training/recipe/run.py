"""Recipes for what comes after the largest network alone, at equal time by the measured seconds per step.

    python -m experiments.training.recipe.run train --seconds 165 --seeds 0     # --arms chooses
    python -m experiments.training.recipe.run score --seconds 165 --seeds 0
    python -m experiments.training.recipe.run report --seconds 165 455 --seeds 0 1 2

All of it finds what is done and goes on from there. A run ends after so many steps, so pauses and neighbours
change nothing; the seconds per step are those of equal_time/165s.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.training.equal_time.report import chosen_subnets, scores, scores_file
from experiments.training.equal_time.run import RUNS, command
from supernet.cost import count_macs
from supernet.runs.environment import environment
from supernet.runs.files import read_json
from supernet.space import SearchSpace

HERE = Path(__file__).resolve().parent
TIMES = HERE.parent / "equal_time" / "165s.json"
# Share of the time that the demo's recipe gives to the largest network alone.
HALF = 0.5455
# The demo's seconds of one thread.
FULL = 455.0
RANDOM = ("train.sampling.rule=random",)
SANDWICH = ("train.sampling.rule=sandwich",)


@dataclass(frozen=True)
class Arm:
    """A recipe.

    Attributes:
        about: of the table.
        first: share of the time for the largest network alone.
        kind: of the steps after it, as `seconds per step` calls them.
        settings: of these steps.
        anew: whether warm-up and cosine start again after the first.
        dearer: seconds of such a step over those of its kind.
    """

    about: str
    first: float
    kind: str
    settings: tuple[str, ...]
    anew: bool = True
    dearer: float = 1.0


ARMS = {
    "sandwich": Arm("largest, then sandwich (the demo's)", HALF, "sandwich", SANDWICH, anew=False),
    "scratch": Arm("one random subnet from the start", 0, "random", RANDOM, anew=False),
    "random": Arm("largest, then one random subnet", HALF, "random", RANDOM, anew=False),
    "restart": Arm("largest, then one random subnet, rate anew", HALF, "random", RANDOM),
    "resandwich": Arm("largest, then sandwich, rate anew", HALF, "sandwich", SANDWICH),
    "short": Arm("largest for a fifth, then one random subnet", 0.2, "random", RANDOM, anew=False),
    "taught": Arm(
        "as short, taught by the averaged largest",
        0.2,
        "random",
        (*RANDOM, "train.sampling.teacher=true"),
        anew=False,
        # Process time of 8 steps of 8 images each, in turns.
        dearer=1.27,
    ),
}


def steps(arm: Arm, seconds: float) -> tuple[int, int]:
    """Steps of the largest alone, and those after them, that fill `seconds`."""
    times = read_json(TIMES, "step times")["seconds per step"]
    first = arm.first * seconds / times["largest"]
    return round(first), round((1 - arm.first) * seconds / (arm.dearer * times[arm.kind]))


def run_name(arm: str, seconds: float, seed: int) -> str:
    return f"recipe-{seconds:g}s-{arm}-{seed}"


def train(arm: str, seconds: float, seed: int) -> None:
    """Train an arm, or find it trained."""
    chosen = ARMS[arm]
    first, rest = steps(chosen, seconds)
    settings = [
        *(f"seed={seed}", f"train.steps={first + rest}", f"train.sampling.largest_first={first}"),
        *("train.sampling.random=1", "train.optimizer.lr=0.03", "train.validation.every=0", *chosen.settings),
        f"train.optimizer.restart={first if chosen.anew else 0}",
    ]
    subprocess.run([sys.executable, *command(run_name(arm, seconds, seed), *settings)], check=True)


def report(all_seconds: Sequence[float], seeds: Sequence[int], matching: str | None) -> None:
    """Write result.json of all that is scored, and print the table."""
    found = []
    space = None
    for seconds in all_seconds:
        for arm in ARMS:
            runs = [RUNS / run_name(arm, seconds, seed) for seed in seeds]
            runs = [one for one in runs if scores_file(one, matching).exists()]
            if not runs:
                continue
            space = space or SearchSpace.load(runs[0] / "space.yaml")
            each = [scores(one, matching) for one in runs]
            mean = {name: float(np.mean([one["AP"][name] for one in each])) for name in each[0]["AP"]}
            row = {
                "seconds": seconds,
                "arm": arm,
                "about": ARMS[arm].about,
                "planned steps": steps(ARMS[arm], seconds),
            }
            found.append({**row, "runs": [{"steps": one["steps"], "test AP": one["AP"]} for one in each]})
            shown = "  ".join(f"{100 * value:5.1f}" for value in mean.values())
            print(
                f"{seconds:5g} {arm:12} {len(runs)}  {shown}  mean {100 * np.mean(list(mean.values())):.1f}"
            )
    about = {
        "machine": environment(1),
        "subnets": {name: count_macs(arch) for name, arch in chosen_subnets(space).items()} if space else {},
    }
    (HERE / "result.json").write_text(json.dumps({**about, "arms": found}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=("train", "score", "report"))
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[FULL], help="of training, per arm and seed"
    )
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--matching", help="rule by which people are grouped; the network's own without it")
    given = parser.parse_args()
    if given.phase == "report":
        return report(given.seconds, given.seeds, given.matching)
    for seconds in given.seconds:
        for seed in given.seeds:
            for arm in given.arms:
                if given.phase == "train":
                    train(arm, seconds, seed)
                else:
                    print(arm, scores(RUNS / run_name(arm, seconds, seed), given.matching), flush=True)
    return None


if __name__ == "__main__":
    main()
