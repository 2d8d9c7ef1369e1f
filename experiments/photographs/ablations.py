"""What each part of the recipe is worth: equal short trainings with and without it, on test photographs.

    python -m experiments.photographs.ablations /data/real train.json movenet.safetensors OUT

`train.json` and `movenet.safetensors` are what relabel.py and movenet.py wrote. Starts are compared from the
beginning, all layers learning; the rest goes on from the shipped supernet, the first layers frozen. A row
that was scored is not trained again. Differences are to the first row of the group, the mean over the seeds
that have both: 95% intervals by resampled photographs, and by seeds (Student's) where there are several.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.ablations.results import by_seed
from experiments.photographs.score import common_joints
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.options import EvaluationOptions
from supernet.pose.bootstrap import bootstrap_ap
from supernet.pose.diagnosis import JOINT_TYPES, diagnose
from supernet.pose.people import Floats
from supernet.pose.results import GroundTruth
from supernet.runs.files import read_json, write_json
from supernet.training.checkpoint import load_supernet

SIDE, BATCH = 128, 16
STARTS = ("start: MoveNet", "start: ImageNet", "start: random")
PARTS = ("recipe", "no mosaic", "rendered crowds mixed in", "no masks of unlabelled joints")
AUGMENT = (
    "augment={rotation: 20.0, scale: [0.6, 1.3], translation: 0.1, flip: 0.5, mosaic: %g, brightness: 0.1, "
    "contrast: 0.2, saturation: 0.2}"
)


def file_name(row: str) -> str:
    """What the run and the score of `row` are called in the folder."""
    return row.replace(":", "").replace(" ", "_")


def without_sources(labels: Path, path: Path) -> Path:
    """The labels without the word where a photograph comes from, from which masks of joints follow."""
    data = json.loads(labels.read_text())
    data["images"] = [{k: v for k, v in image.items() if k != "source"} for image in data["images"]]
    path.write_text(json.dumps(data))
    return path


def settings(row: str, root: str, labels: Path, movenet: Path, folder: Path) -> list[str]:
    """What the training of `row` sets beside what all share."""
    mosaic = AUGMENT % (0.0 if row == "no mosaic" else 0.3)
    if row == "no masks of unlabelled joints":
        labels = without_sources(labels, folder / "without_sources.json")
    photographs = [("root", root), ("train_split", labels)]
    if row == "rendered crowds mixed in":
        data = ["data=mix", "data.skeleton=crowdpose", "+data@data.sources.photographs=crowdpose"]
        data += [f"data.sources.photographs.{key}={value}" for key, value in photographs]
        data += ["+data@data.sources.drawn=synthetic", "data.sources.drawn.val_split=null"]
        data += [f"data.sources.drawn.root={folder / 'drawn'}", "data.sources.drawn.render.two_tone=0"]
        data += [f"data.{mosaic}"]
    else:
        data = ["data=crowdpose", *[f"data.{key}={value}" for key, value in photographs], f"data.{mosaic}"]
    starts = dict(zip(STARTS, (str(movenet), "efficientnet_lite0", "null"), strict=True))
    frozen = "" if row in starts else "freeze: [stem, stages.0, stages.1], "
    share = 1.0 if row == "start: random" else 0.25
    optimizer = (
        f"name: adamw, lr: 2.0e-3, backbone: {share}, {frozen}betas: [0.9, 0.99], warmup: 50, clip: 5.0"
    )
    return [*data, f"init={starts.get(row, 'photographs')}", f"train.optimizer={{{optimizer}, ema: 0.995}}"]


def train(row: str, steps: int, seed: int, folder: Path, args: argparse.Namespace) -> Path:
    """Run the training of `row` below `folder`, or go on with it; where it is."""
    run = folder / file_name(row)
    command = [sys.executable, "-m", "supernet.train", f"hydra.run.dir={run}", f"name={run.name}"]
    command += ["threads=1", "data.workers=1", f"seed={seed}", "space=photographs", "train=gpu"]
    command += ["train.epochs=null", f"train.steps={steps}", f"train.batch_size={BATCH}"]
    command += [f"train.sampling={{random: 1, resolutions: [{SIDE}], largest_first: {steps}}}"]
    command += ["train.loss={heat: [1.0, 4.0], positive_weight: 8.0, pull: 0.03, push: 0.2}"]
    command += ["train.validation.every=0", "train.checkpoint.every=100"]
    command += settings(row, args.root, args.labels, args.movenet, folder)
    subprocess.run(command, check=True)
    return run


def scored(folder: Path, data: DataConfig, test: Evaluator) -> dict[str, Any]:
    """What the largest of a finished run finds in the test photographs, and what its last steps lost."""
    trained = load_supernet(str(folder))
    evaluate = SupernetEvaluator(trained.net, open_split(data, "train"), test)
    found = evaluate(replace(trained.space.largest(), resolution=SIDE)).detections
    dataset = test.dataset
    report = diagnose(test.ground_truth, found, dataset.protocol, dataset.skeleton)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [line["heat_quarter"] for line in lines if "heat_quarter" in line][-4:]
    return {
        "detections": found,
        "heat": round(sum(losses) / len(losses), 5),
        "diagnosis": report.to_dict(),
    }


def good_joints(diagnosis: dict[str, Any]) -> float:
    """The share of joints within reach of their label, of those of people who were found."""
    counts = [[each[kind] for kind in JOINT_TYPES] for each in diagnosis["joints"].values()]
    return sum(row[0] for row in counts) / max(1, sum(map(sum, counts)))


def compared(
    group: tuple[str, ...], steps: int, folders: list[Path], truth: GroundTruth
) -> list[dict[str, Any]]:
    """A line for every row of `group` that was scored for a seed whose first row was."""
    aps: dict[str, dict[Path, float]] = {row: {} for row in group}
    draws: dict[str, dict[Path, Floats]] = {row: {} for row in group}
    seen: dict[str, list[dict[str, Any]]] = {row: [] for row in group}
    for folder in folders:
        files = {row: folder / f"{file_name(row)}.json" for row in group}
        held = {row: read_json(path, "a scored row") for row, path in files.items() if path.exists()}
        if group[0] not in held:
            continue
        drawn = bootstrap_ap(truth, {row: each["detections"] for row, each in held.items()})
        for row, each in held.items():
            aps[row][folder], draws[row][folder] = drawn.metrics[row].value, drawn.draws[row]
            seen[row].append(each)
    lines = []
    for row in group:
        if not seen[row]:
            continue
        line: dict[str, Any] = {"row": row, "steps": steps}
        line["AP"] = [round(value, 4) for value in aps[row].values()]
        line["heat"] = [each["heat"] for each in seen[row]]
        line["good"] = [round(good_joints(each["diagnosis"]), 3) for each in seen[row]]
        if row != group[0]:
            first, second = [aps[group[0]][folder] for folder in aps[row]], list(aps[row].values())
            moved = np.mean([draws[row][folder] - draws[group[0]][folder] for folder in aps[row]], axis=0)
            line["change"] = round(float(np.subtract(second, first).mean()), 4)
            line["by photographs"] = np.nanquantile(moved, [0.025, 0.975]).round(4).tolist()
            if len(second) > 1:
                by = by_seed(first, second)
                line["by seeds"] = [round(by.low, 4), round(by.high, 4)]
        lines.append(line)
    return lines


def main() -> None:
    """Train, score and write `ablations.json` beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="the photographs' folder")
    parser.add_argument("labels", type=Path)
    parser.add_argument("movenet", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--steps", type=int, nargs=2, default=[400, 600], help="of starts, and of the rest")
    parser.add_argument("--rows", nargs="*", default=[*STARTS, *PARTS])
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = DataConfig(root=args.root)
    test = Evaluator(common_joints(open_split(data, "test")), EvaluationOptions(calibration_images=256))
    for seed in args.seeds:
        folder = args.out.resolve() / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        for row in args.rows:
            path = folder / f"{file_name(row)}.json"
            if not path.exists():
                run = train(row, args.steps[row in PARTS], seed, folder, args)
                write_json(path, scored(run, data, test))
                print(f"seed {seed}, {row}: scored", flush=True)
    folders = sorted(args.out.resolve().glob("seed-*"))
    rows = [
        line
        for group, steps in zip((STARTS, PARTS), args.steps, strict=True)
        for line in compared(group, steps, folders, test.ground_truth)
    ]
    for line in rows:
        print(json.dumps(line))
    write_json(Path(__file__).parent / "ablations.json", {"rows": rows})


if __name__ == "__main__":
    main()
