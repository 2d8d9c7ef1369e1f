"""The three heads on photographs, from one backbone: python -m experiments.heads.photographs WORK /data/real.

Each learns the same pictures for as many steps, at MACs within 2%, from the backbone of the supernet that
ships; all heads are made anew. A stopped run goes on. Scored on the test photographs with the 12 joints that
all sources label; timed in onnxruntime on one thread. Writes `photographs.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.photographs.score import common_joints
from supernet import Arch
from supernet.cost import count_macs, count_params
from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluation, Evaluator, SupernetEvaluator
from supernet.litepose.arch import Stage
from supernet.network import Supernet
from supernet.options import EvaluationOptions
from supernet.pose.bootstrap import bootstrap_ap
from supernet.runs.files import write_json
from supernet.runs.snapshot import Snapshot, write_snapshot
from supernet.space import SearchSpace
from supernet.training.checkpoint import load_supernet, supernet_about, take_over

from .networks import HEADS, NEAR, space_of
from .score import LEVELS, command, exported, in_turns, predictors_of

HERE = Path(__file__).parent
START = "photographs"
WIDTHS, DEPTHS, KERNEL, EXPANSION = (24, 32, 64, 96), (2, 3, 4, 4), 5, 6
# What a head saves goes into the input, and what is left into its widths or the depth of the last stage.
SHAPES: dict[str, tuple[int, tuple[int, ...], int]] = {
    "embedding": (128, (38, 28, 28), 4),
    "ae_resize": (160, (16, 12, 12), 3),
    "onestage": (160, (24, 18, 18), 4),
}
CALIBRATION, SAMPLES = 256, 1000
TIMED, ROUNDS = 40, 5


def networks() -> dict[str, Arch]:
    """By head."""
    found = {}
    for head in HEADS:
        side, widths, last = SHAPES[head]
        depths = zip(WIDTHS, (*DEPTHS[:3], last), strict=True)
        stages = tuple(Stage(width, (KERNEL,) * depth, (EXPANSION,) * depth) for width, depth in depths)
        found[head] = Arch(side, 16, stages, widths, head_kind=head)
    macs = [count_macs(arch) for arch in found.values()]
    assert max(macs) <= min(macs) * (1 + NEAR), macs
    return found


def write_start(path: Path) -> None:
    """The backbone of the supernet that ships under a head that none of the three is."""
    source = load_supernet(START)
    assert source.skeleton is not None
    whole = source.space.to_dict() | {"name": "backbone", "head_kind": "heatmaps"}
    net = Supernet(SearchSpace.from_dict(whole), source.net.num_joints, seed=0)
    net.skeleton = source.skeleton
    take_over(net, source, source.skeleton)
    tensors = {f"model.{name}": value.detach() for name, value in net.named_parameters()}
    meta = {**supernet_about(net), "step": 0, "config": {"space": "backbone"}}
    write_snapshot(path, Snapshot(tensors, meta))


def train(work: Path, root: Path, arch: Arch, seed: int, steps: int) -> str:
    """The name of the run of this network, trained unless it was."""
    name = f"photographs-{arch.head_kind}-{seed}"
    (work / f"{name}.yaml").write_text(json.dumps(space_of(arch, name)))
    settings = ["experiment=photographs", f"space={work / name}.yaml", f"init={work / 'start.safetensors'}"]
    settings += [f"name={name}", f"data.root={root}", "data.workers=0", "threads=1", f"seed={seed}"]
    settings += [f"train.steps={steps}", f"train.sampling.largest_first={steps}", "train.epochs=null"]
    settings += ["train.sampling.sort_channels=false", "train.batch_size=12", "train.validation.every=0"]
    settings += ["train.optimizer.warmup=20", "train.optimizer.ema=0.98", "train.checkpoint.every=50"]
    command(work, "supernet.train", *settings)
    return name


def milliseconds(work: Path, root: Path, runs: dict[str, str], pictures: PoseDataset) -> dict[str, Any]:
    """By head the 10th and 50th percentile of the time from photograph to people, the networks in turns."""
    data = ("data=crowdpose", f"data.root={root}")
    files = {head: exported(work, run, *data) for head, run in runs.items()}
    taken = in_turns(predictors_of(files), [pictures.read_image(index) for index in range(TIMED)], ROUNDS)
    return {head: np.percentile(each, [10, 50]).round(2).tolist() for head, each in taken.items()}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heads", nargs="+", default=HEADS)
    parser.add_argument("--times", action="store_true", help="export the networks, and time them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work, root = options.work.resolve(), options.root.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (start := work / "start.safetensors").exists():
        write_start(start)
    archs = {head: arch for head, arch in networks().items() if head in options.heads}
    runs = {head: train(work, root, arch, options.seed, options.steps) for head, arch in archs.items()}
    data = DataConfig(root=str(root))
    test = Evaluator(
        common_joints(open_split(data, "test")), EvaluationOptions(calibration_images=CALIBRATION)
    )
    scored: dict[str, Evaluation] = {}
    for head, run in runs.items():
        net = load_supernet(work / "runs/train" / run, "last").net
        scored[head] = SupernetEvaluator(net, open_split(data, "train"), test)(archs[head])
    found = {head: evaluation.detections for head, evaluation in scored.items()}
    resampled = bootstrap_ap(test.ground_truth, found, samples=SAMPLES)
    times = milliseconds(work, root, runs, test.dataset) if options.times else {}
    result: dict[str, Any] = {"steps": options.steps, "seed": options.seed}
    for head, arch in archs.items():
        interval = resampled.metrics[head]
        result[head] = {
            "resolution": arch.resolution,
            "macs": count_macs(arch),
            "params": count_params(arch),
            **{level: round(scored[head].stats[level], 4) for level in LEVELS},
            "AP, 95%": [round(interval.low, 4), round(interval.high, 4)],
        }
        if times:
            result[head]["ms, 10th and 50th percentile"] = times[head]
        print(head, result[head], flush=True)
    for pair, apart in resampled.differences.items():
        shown = [round(value, 4) for value in (apart.value, apart.low, apart.high)]
        result[f"{pair[1]} minus {pair[0]}"] = shown
        print(pair, shown, flush=True)
    write_json(HERE / "photographs.json", result)


if __name__ == "__main__":
    main()
