"""Score, export and time what was trained: python -m experiments.heads.score WORK [--times].

Adds to `results.json` beside this file; what WORK does not have stays there as it is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from experiments.ablations.results import by_seed
from subnets.portable.predictor import Predictor
from subnets.portable.session import OnnxSession
from supernet.cost import Passes, count_macs, scored_macs
from supernet.data.synthetic.options import SyntheticOptions
from supernet.data.synthetic.scene import render_scene
from supernet.family import load_arch

from .networks import HEADS, SIDES

HERE = Path(__file__).parent
# (rows, columns) of the single people in a picture of 480 x 640.
CROWDS = {1: (1, 1), 5: (2, 3), 15: (3, 5)}
PICTURES, ROUNDS = 8, 25
LEVELS = ("AP", "AP50", "AP_easy", "AP_medium", "AP_hard")


def command(work: Path, module: str, *settings: str) -> None:
    """A command of the toolkit, in the folder of the trainings."""
    subprocess.run([sys.executable, "-m", module, *settings], cwd=work, check=True, stdout=subprocess.DEVNULL)


def score(work: Path, run: str) -> dict[str, Any]:
    """The metrics of a training's network on the test split."""
    folder = work / "runs/evaluate" / run
    if not (folder / "results.json").exists():
        data = (f"data.root={work / 'data'}", "split=test", "threads=1", f"name={run}")
        command(work, "subnets.evaluate", "arch=largest", f"supernet={run}", *data)
    (network,) = json.loads((folder / "results.json").read_text())["networks"]
    metrics = {key: round(network["stats"][key], 4) for key in LEVELS}
    return metrics | {
        "people found": round(network["diagnosis"]["matched"] / network["diagnosis"]["people"], 3)
    }


def exported(work: Path, run: str, *data: str) -> Path:
    """The training's network as an ONNX file; `data` are its settings where it is not the rendered scenes."""
    folder = work / "runs/export" / run
    if not folder.exists():
        told = data or (f"data.root={work / 'data'}",)
        told += ("export.latency_rounds=0", "export.vectors=0", f"name={run}")
        command(work, "subnets.export", "arch=largest", f"supernet={run}", "format=[onnx]", *told)
    return folder / "model.onnx"


def predictors_of(files: Mapping[str, Path]) -> dict[str, Predictor]:
    """By name, what finds people by an ONNX file on one thread."""
    sessions = {name: OnnxSession(path, threads=1) for name, path in files.items()}
    return {name: Predictor.of(session, session.require_manifest()) for name, session in sessions.items()}


def in_turns(
    predictors: Mapping[str, Predictor], pictures: Sequence[Any], rounds: int
) -> dict[str, list[float]]:
    """By name, milliseconds from picture to people: every picture by every network, then again."""
    taken: dict[str, list[float]] = {name: [] for name in predictors}
    for _ in range(rounds):
        for picture in pictures:
            for name, predictor in predictors.items():
                started = time.perf_counter()
                predictor(picture)
                taken[name].append(1000 * (time.perf_counter() - started))
    return taken


def rendered() -> list[Any]:
    """Scenes of a single person each."""
    wanted = SyntheticOptions(size=128, people=(1.0,), two_tone=1.0, clutter=0.2, height=(0.8, 0.93))
    seeds = itertools.product(range(PICTURES), range(max(CROWDS)))
    return [render_scene(np.random.SeedSequence(seed), wanted).image for seed in seeds]


def crowd(people: int, singles: Sequence[Any], number: int) -> Any:
    """A picture of 480 x 640 with so many people, each in a field of its own: pictures of a single person."""
    rows, columns = CROWDS[people]
    fields = []
    for place in range(rows * columns):
        single = singles[(number * max(CROWDS) + place) % len(singles)]
        field = cv2.resize(single, (640 // columns, 480 // rows))
        fields.append(field if place < people else np.full_like(field, 128))
    lines = [np.concatenate(fields[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    return cv2.resize(np.concatenate(lines), (640, 480))


def times(files: Mapping[str, Path], singles: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """By name and people, milliseconds from picture to people, all networks in turns, and people told.

    The people are those of `singles`, pictures of one.
    """
    predictors = predictors_of(files)
    found: dict[str, dict[str, Any]] = {name: {} for name in files}
    for people in CROWDS:
        pictures = [crowd(people, singles, number) for number in range(PICTURES)]
        counted = {
            name: [len(predictor(picture)) for picture in pictures] for name, predictor in predictors.items()
        }
        for name, each in in_turns(predictors, pictures, ROUNDS).items():
            fastest, low, middle, high = np.percentile(each, [0, 10, 50, 90]).round(2).tolist()
            found[name][str(people)] = {
                "fastest ms": fastest,
                "ms": middle,
                "ms, 10th to 90th percentile": [low, high],
                "told people": float(np.mean(counted[name])),
            }
    return found


def over_seeds(result: dict[str, Any], level: str) -> dict[str, Any]:
    """By budget and pair of heads how much a metric differs: the mean over the seeds that both have, and the
    ends of its interval, 95% by Student's distribution.
    """
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for run, found in result.items():
        if run.count("-") == 2:
            budget, head, seed = run.split("-")
            scores.setdefault((budget, head), {})[seed] = found[level]
    told: dict[str, Any] = {}
    for budget in SIDES:
        for first, second in itertools.combinations(HEADS, 2):
            one, other = (scores.get((budget, head), {}) for head in (first, second))
            apart = [other[seed] - one[seed] for seed in sorted(one.keys() & other.keys())]
            if len(apart) > 1:
                change = by_seed([0.0] * len(apart), apart)
                ends = [round(end, 4) for end in (change.value, change.low, change.high)]
                told[f"{budget}, {second} minus {first}"] = {"seeds": len(apart), "mean, low, high": ends}
    return told


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--times", action="store_true", help="measure those of seed 0 too")
    options = parser.parse_args()
    work = options.work.resolve()
    runs = sorted(path.name for path in (work / "runs/train").iterdir() if path.name[-1].isdigit())
    result: dict[str, Any] = json.loads((HERE / "results.json").read_text())
    for run in runs:
        arch = load_arch(exported(work, run).parent)
        macs = {"macs": count_macs(arch), "macs of a 4:3 image": scored_macs(arch, Passes(flip=False))}
        result[run] = result.get(run, {}) | macs | score(work, run)
        print(run, result[run], flush=True)
    if options.times:
        first = {run: exported(work, run) for run in runs if run.endswith("-0")}
        for run, told in times(first, rendered()).items():
            result[run]["picture to people"] = told
    result["differences over seeds"] = {level: over_seeds(result, level) for level in ("AP", "AP_hard")}
    (HERE / "results.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
