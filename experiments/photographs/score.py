"""AP on photographs by CrowdPose's protocol with the 12 joints that all their sources label.

Head and neck of every person are set to 0: COCO never labels them. Networks and given detections are scored
alike.

    python -m experiments.photographs.score /data/real --split test --supernet runs/train/photographs \\
        --arch largest middle smallest@160 --detections /data/real/peer/movenet_multipose_256_test.json

An architecture is `largest`, `middle`, `smallest`, or a file or name; `@192` gives it another resolution.
Without a supernet it is what the commands take after `arch=`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from subnets.runtime import run_of
from subnets.source import open_source
from supernet.cost import count_macs
from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.family import load_arch
from supernet.options import EvaluationOptions
from supernet.pose.diagnosis import diagnose
from supernet.pose.grouping import DecodeOptions
from supernet.pose.protocols import score
from supernet.training.checkpoint import load_supernet

LEFT_OUT = ("head", "neck")
CALIBRATION = 256


def common_joints(dataset: PoseDataset) -> PoseDataset:
    """The same photographs without the labels of joints that a source never labels."""
    left_out = [dataset.skeleton.joints.index(name) for name in LEFT_OUT]
    part = dataset.subset(range(len(dataset)))
    records = []
    for record in part.records:
        keypoints = record.keypoints.copy()
        keypoints[:, left_out] = 0
        seen = (keypoints[..., 2] > 0).sum(axis=1)
        records.append(
            replace(record, keypoints=keypoints, num_keypoints=np.minimum(record.num_keypoints, seen))
        )
    part.records = tuple(records)
    return part


def by_source(dataset: PoseDataset, found: list[dict[str, Any]]) -> dict[str, float]:
    """AP of the photographs of each source."""
    sources = {}
    for name in sorted({record.source for record in dataset.records}):
        ids = {record.image_id for record in dataset.records if record.source == name}
        mine = [person for person in found if person["image_id"] in ids]
        sources[name] = round(score(dataset.ground_truth(ids), mine, dataset.protocol)["AP"], 4)
    return sources


def main() -> None:
    """Score, and print a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="the photographs' folder")
    parser.add_argument("--split", default="test")
    parser.add_argument("--supernet")
    parser.add_argument("--checkpoint", default="last")
    parser.add_argument("--arch", nargs="*", default=[])
    parser.add_argument("--detections", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int)
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image")
    parser.add_argument("--threshold", type=float, default=0.1, help="of a joint's peak")
    parser.add_argument("--diagnose", action="store_true", help="what is wrong with the poses as well")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = DataConfig(root=args.root)
    dataset = common_joints(open_split(data, args.split))
    options = EvaluationOptions(calibration_images=CALIBRATION, images=args.images, flip=args.flip)
    evaluator = Evaluator(dataset, options, decode=DecodeOptions(threshold=args.threshold))
    results = []

    def tell(name: str, found: list[dict[str, Any]], **more: Any) -> None:
        stats = score(evaluator.ground_truth, found, dataset.protocol)
        if args.diagnose:
            more["diagnosis"] = diagnose(
                evaluator.ground_truth, found, dataset.protocol, dataset.skeleton
            ).to_dict()
        results.append(
            {"name": name, **{key: round(value, 4) for key, value in stats.items()}, **more}
            | {f"AP_{key}": value for key, value in by_source(evaluator.dataset, found).items()}
        )
        print(json.dumps(results[-1]), flush=True)

    for path in args.detections:
        found = json.loads(Path(path).read_text())
        tell(Path(path).stem, [person for person in found if person["image_id"] in evaluator.image_ids])
    if args.arch and not args.supernet:
        for text in args.arch:
            opened = open_source(text).require_trained()
            scored = evaluator(run_of(opened, "torch", args.threads), opened.arch.resolution, opened.head)
            tell(text, scored.detections, gmacs=round(count_macs(opened.arch) / 1e9, 4))
    elif args.arch:
        trained = load_supernet(args.supernet, args.checkpoint)
        run = SupernetEvaluator(trained.net, open_split(data, "train"), evaluator)
        ends = {name: getattr(trained.space, name) for name in ("largest", "middle", "smallest")}
        for text in args.arch:
            name, _, side = text.partition("@")
            arch = ends[name]() if name in ends else load_arch(name)
            arch = replace(arch, resolution=int(side)) if side else arch
            start = time.time()
            found = run(arch).detections
            tell(
                text,
                found,
                step=trained.step,
                gmacs=round(count_macs(arch) / 1e9, 4),
                s=round(time.time() - start),
            )
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
