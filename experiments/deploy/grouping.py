"""Rules of grouping by AP: one network's maps, decoded under each rule, with paired bootstrap intervals.

    python experiments/deploy/grouping.py largest --supernet runs/train/demo --splits val test --name demo
    python experiments/deploy/grouping.py photographs:large --photographs /data/real --name photographs
    python experiments/deploy/grouping.py runs/export/demo-p30 --data runs/train/demo --splits val --name p30

The data are those of the training run `--data` (that of `--supernet` by itself). Every rule sees the same
maps; differences are to the Hungarian rule of the reference, with 95% intervals over images. Rows go to
grouping.json beside this file (or `--out`), one per name and split; old ones of the same name and split go.

With `--rendered ANNOTATIONS --images N` the maps are drawn around real poses instead, with tags as good as
`--spread` says: what a long-trained network may come to.

Two rules are registered here for comparison alone: `gated` is the Hungarian method in which all pairs from
the threshold on cost the same, `exact` is the greedy one by exact distances.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from experiments.benchmarks.decode.rendered import Noise, ground_truth, render, scenes
from subnets.console import SourceOptions
from subnets.runtime import torch_runtime
from subnets.source import open_source
from supernet.data.source import DataConfig, data_from, open_split
from supernet.evaluation import Evaluator
from supernet.heads.embedding import merge_passes
from supernet.options import EvaluationOptions
from supernet.pose import DecodeOptions, People, Skeleton, bootstrap_ap, decode, to_coco_results
from supernet.pose.inference import run_passes
from supernet.pose.peaks import RULES
from supernet.pose.preprocess import normalise, to_image
from supernet.runs.environment import environment
from supernet.runs.files import read_json, read_yaml, write_json

RECORD = Path(__file__).resolve().parent / "grouping.json"
SAMPLES = 1000
FAR = 1e5


def gated(distance: np.ndarray, score: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The lowest total of rounded distances; pairs from the threshold on all cost the same."""
    close = distance < threshold
    more_peaks = distance.shape[0] > distance.shape[1]
    cost = np.where(close, np.round(distance) * 100 - more_peaks * score[:, None], FAR)
    peak, person = linear_sum_assignment(cost)
    return peak[close[peak, person]], person[close[peak, person]]


def exact(distance: np.ndarray, score: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The highest peak first, to the nearest person left by the distance as it is."""
    left = np.where(distance < threshold, distance, np.inf)
    pairs = []
    for peak in range(len(left)):
        person = int(left[peak].argmin())
        if np.isfinite(left[peak, person]):
            left[:, person] = np.inf
            pairs.append((peak, person))
    found = np.array(pairs, np.intp).reshape(-1, 2)
    return found[:, 0], found[:, 1]


RULES.register("gated", gated)
RULES.register("exact", exact)
HUNGARIAN = DecodeOptions(matching="hungarian")
GREEDY = DecodeOptions(matching="greedy")
SHIPPED = ("hungarian", "greedy", "first")
VARIANTS = {
    "hungarian": HUNGARIAN,
    "greedy": GREEDY,
    "gated": DecodeOptions(matching="gated"),
    "exact": DecodeOptions(matching="exact"),
    "first": DecodeOptions(matching="first"),
    "first, threshold 0.5": DecodeOptions(matching="first", tag_threshold=0.5),
    "hungarian, threshold 0.5": replace(HUNGARIAN, tag_threshold=0.5),
    "hungarian, threshold 1.5": replace(HUNGARIAN, tag_threshold=1.5),
    "greedy, threshold 0.5": replace(GREEDY, tag_threshold=0.5),
    "greedy, threshold 1.5": replace(GREEDY, tag_threshold=1.5),
    "first, threshold 1.5": DecodeOptions(matching="first", tag_threshold=1.5),
    "first, no refinement": DecodeOptions(matching="first", refine=False),
    "hungarian, no refinement": replace(HUNGARIAN, refine=False),
    "greedy, no refinement": replace(GREEDY, refine=False),
}


def measure(arguments: argparse.Namespace, split: str) -> dict[str, Any]:
    """AP of every variant on `split`, and paired differences to the first."""
    if arguments.photographs:
        data = DataConfig(root=arguments.photographs, layout="crowdpose", workers=0)
    else:
        data = data_from(read_yaml(Path(arguments.data or arguments.supernet) / "config.yaml")["data"])
    opened = open_source(arguments.arch, SourceOptions(supernet=arguments.supernet)).require_trained()
    run, skeleton = torch_runtime(opened.require_net(), 1), opened.skeleton
    evaluator = Evaluator(open_split(data, split), EvaluationOptions(images=arguments.images, memory=0))
    chosen = arguments.rules or list(VARIANTS)
    found: dict[str, list[People]] = {name: [] for name in chosen}
    for item in evaluator.prepared(opened.arch.resolution):
        (passes,) = run_passes(run, normalise([item.views[0].pixels]), opened.head, skeleton, False)
        for name in chosen:
            found[name].append(opened.head.people([passes], item.views, skeleton, VARIANTS[name]))
    results = {name: to_coco_results(each, evaluator.image_ids) for name, each in found.items()}
    dataset = evaluator.dataset
    drawn = bootstrap_ap(
        evaluator.ground_truth, results, dataset.protocol, samples=SAMPLES, skeleton=dataset.skeleton
    )
    rows = {}
    for name in chosen:
        rows[name] = {
            "AP": round(drawn.metrics[name].value, 4),
            "people": round(float(np.mean([len(people) for people in found[name]])), 2),
        }
        if name != chosen[0]:
            change = drawn.differences[chosen[0], name]
            rows[name]["difference"] = [round(v, 4) for v in (change.value, change.low, change.high)]
    return {"images": len(dataset), "resolution": opened.arch.resolution, "rules": rows}


def rendered(annotations: Path, spread: float, people: int, count: int) -> dict[str, Any]:
    """AP of the shipped rules on maps drawn around real poses, whose tags are 1 apart and spread so much."""
    group = scenes(json.loads(annotations.read_text()), people, count, 0)
    skeleton = Skeleton.load("crowdpose")
    found: dict[str, list[People]] = {name: [] for name in SHIPPED}
    for index, scene in enumerate(group):
        rng = np.random.default_rng([7, people, index])
        passes = render(scene, Noise(tag_spread=spread), rng)[:1]
        heat, tags = merge_passes(passes, skeleton.flip)
        for name in SHIPPED:
            (each,) = decode(heat[None], tags[None], skeleton, VARIANTS[name])
            found[name].append(to_image(each, scene.view, heat.shape[1:]))
    results = {name: to_coco_results(each, range(1, count + 1)) for name, each in found.items()}
    drawn = bootstrap_ap(ground_truth(group), results, samples=SAMPLES)
    rows: dict[str, Any] = {name: {"AP": round(drawn.metrics[name].value, 4)} for name in SHIPPED}
    for name in SHIPPED[1:]:
        change = drawn.differences[SHIPPED[0], name]
        rows[name]["difference"] = [round(v, 4) for v in (change.value, change.low, change.high)]
    return {"images": count, "people": people, "tag spread": spread, "rules": rows}


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arch", nargs="?", help="a network's folder or name, as for the commands")
    parser.add_argument(
        "--rendered", type=Path, help="instead: annotations to draw maps of, without a network"
    )
    parser.add_argument("--spread", type=float, default=0.15, help="of the tags of drawn maps")
    parser.add_argument("--people", type=int, default=3, help="in each drawn image")
    parser.add_argument("--supernet", help="training run that the weights of a name come from")
    parser.add_argument("--data", help="training run whose data to score on")
    parser.add_argument("--photographs", help="instead: photographs in CrowdPose's layout to score on")
    parser.add_argument("--splits", nargs="+", default=["val"])
    parser.add_argument("--images", type=int, help="the first so many of a split")
    parser.add_argument(
        "--rules", nargs="+", choices=list(VARIANTS), help="only these; the first is the base"
    )
    parser.add_argument("--name", required=True, help="of the rows")
    parser.add_argument("--out", type=Path, default=RECORD)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    record = read_json(arguments.out) if arguments.out.exists() else {"networks": {}}
    for split in ["drawn"] if arguments.rendered else arguments.splits:
        if arguments.rendered:
            row = rendered(arguments.rendered, arguments.spread, arguments.people, arguments.images)
        else:
            row = measure(arguments, split)
        record["networks"].setdefault(arguments.name, {})[split] = {**row, "environment": environment(1)}
        write_json(arguments.out, record)
        print(arguments.name, split, json.dumps(row, indent=1), flush=True)


if __name__ == "__main__":
    main()
