"""What each part of the recipe is worth: equal short trainings with and without it, on test photographs.

    python -m experiments.photographs.ablations /data/real train.json movenet.safetensors OUT

`train.json` and `movenet.safetensors` are what relabel.py and movenet.py wrote. Starts are compared from the
beginning, all layers learning; the rest goes on from the shipped supernet, the first layers frozen. A row
that was scored is not trained again. Intervals: 95%, photographs resampled, paired with the first row of the
group.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from experiments.photographs.score import common_joints
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.options import EvaluationOptions
from supernet.pose.bootstrap import bootstrap_ap
from supernet.pose.diagnosis import JOINT_TYPES, diagnose
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


def train(row: str, steps: int, args: argparse.Namespace) -> Path:
    """Run the training of `row`, or go on with it; its folder."""
    folder = args.out / file_name(row)
    command = [sys.executable, "-m", "supernet.train", f"hydra.run.dir={folder}", f"name={folder.name}"]
    command += ["threads=1", "data.workers=1", f"seed={args.seed}", "space=photographs", "train=gpu"]
    command += ["train.epochs=null", f"train.steps={steps}", f"train.batch_size={BATCH}"]
    command += [f"train.sampling={{random: 1, resolutions: [{SIDE}], largest_first: {steps}}}"]
    command += ["train.loss={heat: [1.0, 4.0], positive_weight: 8.0, pull: 0.03, push: 0.2}"]
    command += ["train.validation.every=0", "train.checkpoint.every=100"]
    command += settings(row, args.root, args.labels, args.movenet, args.out)
    subprocess.run(command, check=True)
    return folder


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


def main() -> None:
    """Train, score and write `ablations.json` beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="the photographs' folder")
    parser.add_argument("labels", type=Path)
    parser.add_argument("movenet", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, nargs=2, default=[400, 1000], help="of starts, and of the rest")
    parser.add_argument("--rows", nargs="*", default=[*STARTS, *PARTS])
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    data = DataConfig(root=args.root)
    test = Evaluator(common_joints(open_split(data, "test")), EvaluationOptions(calibration_images=256))
    for row in args.rows:
        path = args.out / f"{file_name(row)}.json"
        if not path.exists():
            write_json(path, scored(train(row, args.steps[row in PARTS], args), data, test))
            print(f"{row}: scored", flush=True)
    rows = []
    for group, steps in zip((STARTS, PARTS), args.steps, strict=True):
        files = {row: args.out / f"{file_name(row)}.json" for row in group}
        held = {row: read_json(path, "a scored row") for row, path in files.items() if path.exists()}
        if group[0] not in held:
            continue
        drawn = bootstrap_ap(test.ground_truth, {row: each["detections"] for row, each in held.items()})
        for row, each in held.items():
            line = {
                "row": row,
                "steps": steps,
                "AP": round(drawn.metrics[row].value, 4),
                "heat": each["heat"],
            }
            if row != group[0]:
                change = drawn.differences[group[0], row]
                line["change"] = [round(v, 4) for v in (change.value, change.low, change.high)]
            line["good"] = round(good_joints(each["diagnosis"]), 3)
            rows.append(line)
            print(json.dumps(line))
    write_json(Path(__file__).parent / "ablations.json", {"seed": args.seed, "rows": rows})


if __name__ == "__main__":
    main()
