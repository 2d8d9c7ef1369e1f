"""Sandwich + distillation against one random subnet per step at equal wall-clock time, on rendered scenes.

    python -m experiments.training.equal_time.run time     # seconds per step, in turns; nothing else may run
    python -m experiments.training.equal_time.run train    # step counts follow from those times
    python -m experiments.training.equal_time.run report   # test AP, table, picture

`--seconds` sets the time of each arm; `--rate` a learning rate for all of them instead of the better of two.
`train` and `report` find what is done and go on from there, also with `--arms` and `--seeds` in several
processes: a run is over after so many steps, so pauses and neighbours change nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from experiments.training.equal_time.report import report
from supernet.runs.files import read_json, write_json
from supernet.runs.log import read_log

RUNS = Path("runs/train")
TIMES = Path("runs/experiments/equal_time/times.json")
RANDOM = ["train.sampling.rule=random", "train.sampling.random=1"]
SANDWICH = ["train.sampling.rule=sandwich", "train.sampling.random=1"]
# Of the demo's recipe: steps of the largest network alone for each step after them.
WARMUP = 1700 / 900
ARMS = ("sandwich", "random", "scratch")
RATES = (0.01, 0.03)
# Share of the full time that a run gets which only serves to choose a learning rate.
SHORT = 0.5


def command(name: str, *settings: str) -> list[str]:
    common = ["threads=1", "data.workers=1", "train.sampling.resolutions=[64,96,96]"]
    return ["-m", "supernet.train", f"name={name}", *common, *settings]


def measure(rounds: int, steps: int) -> None:
    """Write the median seconds per step of the largest network alone, the sandwich and a random subnet."""
    kinds = {"largest": [f"train.sampling.largest_first={steps}"], "sandwich": SANDWICH, "random": RANDOM}
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        for kind, settings in kinds.items():
            name = f"equal-time-{kind}-{number}"
            first = [] if kind == "largest" else ["train.sampling.largest_first=0"]
            rest = [f"train.steps={steps}", "train.log_every=10", "train.optimizer.lr=1e-4"]
            subprocess.run([sys.executable, *command(name, *settings, *first, *rest)], check=True)
            lines = [line for line in read_log(RUNS / name / "log.jsonl") if line["kind"] == "train"]
            taken[kind] += [line["seconds"] / 10 for line in lines[1:]]
    write_json(TIMES, {kind: round(float(np.median(values)), 4) for kind, values in taken.items()})
    print(TIMES.read_text())


def arm_settings(arm: str, seconds: float) -> list[str]:
    """The overrides of an arm that fill `seconds` by the measured times."""
    times = read_json(TIMES, "step times")
    after = seconds / (WARMUP * times["largest"] + times["sandwich"])
    first = round(WARMUP * after)
    rest = {
        "sandwich": after,
        "random": after * times["sandwich"] / times["random"],
        "scratch": seconds / times["random"],
    }[arm]
    first = 0 if arm == "scratch" else first
    rule = SANDWICH if arm == "sandwich" else RANDOM
    return [*rule, f"train.sampling.largest_first={first}", f"train.steps={first + round(rest)}"]


def train(name: str, arm: str, seconds: float, rate: float, seed: int) -> float:
    """Train, or find it trained; mean val AP of smallest, largest and two random subnets at the end."""
    scored = ["train.validation.every=1000000", "train.validation.images=0", "train.validation.pictures=0"]
    settings = [*arm_settings(arm, seconds), f"train.optimizer.lr={rate}", f"seed={seed}", *scored]
    log = RUNS / name / "log.jsonl"
    # Validation comes last: a log that holds one is complete.
    if not (log.exists() and validations(log)):
        subprocess.run([sys.executable, *command(name, *settings)], check=True)
    metrics = validations(log)[-1]
    return float(np.mean([value for key, value in metrics.items() if key.startswith("AP/")]))


def validations(log: Path) -> list[dict[str, Any]]:
    return [line for line in read_log(log) if line["kind"] == "validation"]


def run_name(arm: str, seconds: float, last: object) -> str:
    return f"equal-{seconds:g}s-{arm}-{last}"


def choose_rate(arm: str, seconds: float) -> tuple[float, dict[float, float]]:
    """The learning rate with the best val AP after short runs, and what each one reached."""
    short = SHORT * seconds
    found = {rate: train(run_name(arm, short, f"lr{rate}"), arm, short, rate, 0) for rate in RATES}
    return max(found, key=lambda rate: found[rate]), found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=("time", "train", "report"))
    parser.add_argument("--seconds", type=float, default=165, help="of training, per arm and seed")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1))
    parser.add_argument("--rate", type=float, help="learning rate of all arms")
    given = parser.parse_args()

    def rate_of(arm: str) -> tuple[float, dict[float, float]]:
        return (given.rate, {}) if given.rate else choose_rate(arm, given.seconds)

    if given.phase == "time":
        measure(rounds=3, steps=60)
    elif given.phase == "train":
        for arm in given.arms:
            rate, _ = rate_of(arm)
            for seed in given.seeds:
                train(run_name(arm, given.seconds, seed), arm, given.seconds, rate, seed)
    else:
        settings = {arm: " ".join(arm_settings(arm, given.seconds)) for arm in given.arms}
        rates = {
            arm: dict(zip(("rate", "val AP of short runs"), rate_of(arm), strict=True)) for arm in given.arms
        }
        runs = {
            arm: [RUNS / run_name(arm, given.seconds, seed) for seed in given.seeds] for arm in given.arms
        }
        about = {"seconds per step": read_json(TIMES), "settings": settings, "learning rates": rates}
        report(runs, about, f"{given.seconds:g}s")


if __name__ == "__main__":
    main()
